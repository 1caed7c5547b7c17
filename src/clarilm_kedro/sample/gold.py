"""Gold labels of the sample files, for auditing a teacher and for tests."""

from collections.abc import Iterator, Sequence
from typing import Any

from clarilm_kedro.sample.sharegpt import Published
from clarilm_kedro.sample.splits import Splits
from clarilm_kedro.sample.world import Intent, World


def gold_clarifications(published: Sequence[Published]) -> list[dict[str, Any]]:
    """List the clarification steps in the logs.

    Args:
        published: The sessions as they stand in the files, duplicates included.

    Returns:
        Rows with source, session (ShareGPT's id, WildChat's conversation_hash), chat_id (as the table ``sessions`` has
        it), first and second (0-based among the session's user messages that hold text), question and next_question
        (word for word), intent, facet, clarifying_question. A step stands once per source, session and pair of
        questions; where the chunks of a chat meet, the steps of the joined chat stand beside those of its chunks, so
        chat_id, question and next_question are the key to join by.
    """
    rows = {}
    for item in published:
        for step in item.chat.steps:
            questions = item.chat.questions
            row = {
                "source": item.source,
                "session": item.session,
                "chat_id": f"{item.source}-{item.root}",
                "first": step.first,
                "second": step.second,
                "question": questions[step.first],
                "next_question": questions[step.second],
                "intent": step.intent,
                "facet": step.facet,
                "clarifying_question": step.clarifying_question,
            }
            rows[item.source, item.session, step.first, questions[step.first]] = row
    return [rows[key] for key in sorted(rows)]


def gold_intents(world: World, splits: Splits) -> list[dict[str, Any]]:
    """List every question of the world.

    Returns:
        Rows with question, intent (or fact) id, role (vague, specified, says, next_step, follow_up, fact, reading) and
        use (log, in3_train, reserved, in3_test, clamber, ambigqa, nq, popqa; None for what no file can hold).
    """
    return list(_intent_questions(world, splits))


def _intent_questions(world: World, splits: Splits) -> Iterator[dict[str, Any]]:
    use = _uses(splits)
    for intent in world.intents:
        held_out = "in3_test" if intent in splits.in3_test else "clamber" if intent in splits.clamber else "log"
        for role, question in _phrasings(intent):
            request = role in {"vague", "specified"}
            used = use[question] if request else "log" if held_out == "log" else None
            yield {"question": question, "intent": intent.id, "role": role, "use": used}
    for fact in world.facts:
        yield {"question": fact.question, "intent": fact.id, "role": "fact", "use": fact.dataset}
        for reading in fact.readings:
            used = fact.dataset if fact.dataset == "ambigqa" else None
            yield {"question": reading.question, "intent": fact.id, "role": "reading", "use": used}


def _phrasings(intent: Intent) -> Iterator[tuple[str, str]]:
    yield from (("vague", text) for text in intent.vague)
    yield from (("specified", item.question) for item in intent.specified)
    yield from (("says", text) for facet in intent.facets for text in facet.says)
    yield from (("next_step", text) for text in intent.next_step)
    yield from (("follow_up", text) for text in intent.follow_up)


def _uses(splits: Splits) -> dict[str, str]:
    use: dict[str, str] = {}
    for name, intents in (("in3_test", splits.in3_test), ("clamber", splits.clamber)):
        for intent in intents:
            use |= {text: name for role, text in _phrasings(intent) if role in {"vague", "specified"}}
    for part in splits.training:
        use |= dict.fromkeys((*part.log_vague, *(item.question for item in part.log_specified)), "log")
        use |= dict.fromkeys((*part.in3_vague, *(item.question for item in part.in3_specified)), "in3_train")
        use |= dict.fromkeys((*part.reserved_vague, *(item.question for item in part.reserved_specified)), "reserved")
    return use


def gold_necessity(world: World) -> list[dict[str, Any]]:
    """Say of every request of the world whether it needs asking back (question, needs_clarification, intent)."""
    rows = [
        {"question": text, "needs_clarification": role == "vague", "intent": intent.id}
        for intent in world.intents
        for role, text in _phrasings(intent)
        if role in {"vague", "specified"}
    ]
    for fact in world.facts:
        rows.append({"question": fact.question, "needs_clarification": fact.ambiguous, "intent": fact.id})
        rows += [{"question": item.question, "needs_clarification": False, "intent": fact.id} for item in fact.readings]
    return rows


def gold_facets(world: World) -> list[dict[str, Any]]:
    """Name the best facet of every vague request.

    Returns:
        Rows with question, intent, facet and clarifying_question (the best ones), facets and clarifying_questions (all,
        most useful first).
    """
    rows: list[dict[str, Any]] = [
        {
            "question": text,
            "intent": intent.id,
            "facet": intent.facets[0].facet,
            "clarifying_question": intent.facets[0].question,
            "facets": [facet.facet for facet in intent.facets],
            "clarifying_questions": [facet.question for facet in intent.facets],
        }
        for intent in world.intents
        for text in intent.vague
    ]
    rows += [
        {
            "question": fact.question,
            "intent": fact.id,
            "facet": fact.facet,
            "clarifying_question": fact.clarifying_question,
            "facets": [fact.facet],
            "clarifying_questions": [fact.clarifying_question],
        }
        for fact in world.facts
        if fact.ambiguous
    ]
    return rows
