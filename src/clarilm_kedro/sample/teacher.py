"""The scripted teacher: it does the pipeline's tasks from the sample world, and knows nothing else.

It recognises the texts of the world word for word or by sentence similarity (:mod:`clarilm_kedro.sample.matching`), so
that it also judges candidate lists and wordings it has never seen.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clarilm_kedro.finetuning.template import completion
from clarilm_kedro.sample.choosing import choose
from clarilm_kedro.sample.judging import judge
from clarilm_kedro.sample.matching import REQUESTS, Match, Vectors, WorldIndex
from clarilm_kedro.sample.request import ANSWER_TASK, ZERO_SHOT_TASK, RequestError, Task
from clarilm_kedro.sample.splits import split_world
from clarilm_kedro.sample.steps import find_steps
from clarilm_kedro.sample.synthesis import QuestionPool
from clarilm_kedro.sample.world import Fact, Intent, World
from clarilm_kedro.text.hashing import stable_id

_NOISE_REASONS = {
    "non_english": "It is not in English.",
    "context_dependent": "It refers to something said before and means nothing on its own.",
    "html": "It is a remnant of a web page, not a request.",
    "code_dump": "It is pasted text without a request.",
    "chit_chat": "It is small talk, not a request.",
}


@dataclass(frozen=True)
class Reply:
    """What the teacher says.

    Attributes:
        content: The message's text.
        reasoning: The thought behind it, for tasks that want one.
    """

    content: str
    reasoning: str | None = None


class SampleTeacher:
    """Answers tasks from a sample world.

    Args:
        world: The world.
        vectors: Encodes sentences; None takes the packaged MiniLM when the first unseen text comes in.
    """

    def __init__(self, world: World, vectors: Vectors | None = None) -> None:
        self._world = world
        self._vectors = vectors or Vectors()
        self._index = WorldIndex(world, self._vectors)
        self._pool = QuestionPool(split_world(world), self._vectors)
        self._tasks: Mapping[str, Callable[[Task], Reply]] = {
            "extraction": self._extraction,
            "facets": self._facets,
            "question_quality": self._question_quality,
            "synthesis": self._synthesis,
            "tuning": self._tuning,
            ANSWER_TASK: self._answer,
            "choice": self._choice,
            ZERO_SHOT_TASK: self._zero_shot,
            "judge": self._judge,
        }

    def reply(self, task: Task) -> Reply:
        """Do a task.

        Args:
            task: The task as read from a request.

        Returns:
            The reply: JSON where the task has a schema, else plain text.

        Raises:
            RequestError: The task is unknown, lacks its data, or is about something the world does not hold.
        """
        if task.name not in self._tasks:
            raise RequestError(
                f"The sample teacher does not know the task '{task.name}', only {', '.join(self._tasks)}.",
                "unknown_task",
                param="response_format",
            )
        return self._tasks[task.name](task)

    def _extraction(self, task: Task) -> Reply:
        rows = task.rows("user_questions", "index", "question")
        questions = [str(row["question"]) for row in rows]
        matches = [self._index.match(question) for question in questions]
        if questions and not any(matches):
            raise unknown(questions[0])
        steps = find_steps(self._index, self._vectors, questions, matches)
        found = [
            {
                "first": rows[step.first]["index"],
                "second": rows[step.first + 1]["index"],
                "question": step.question,
                "clarifying_question": step.facet.question,
                "clarified_question": step.clarified_question,
                "facet": step.facet.facet,
            }
            for step in steps
        ]
        return _json({"clarifications": found})

    def _facets(self, task: Task) -> Reply:
        match = self._known(task.text("question"))
        facets = [{"facet": facet, "clarifying_question": question} for facet, question in facets_of(match)]
        return _json({"facets": facets})

    def _question_quality(self, task: Task) -> Reply:
        question = task.text("question")
        if not question.strip():
            return _json({"reason": "It is empty.", "keep": False})
        match = self._known(question, any_role=True)
        if match.entry.role in REQUESTS:
            return _json({"reason": "It can be understood on its own and asks for something.", "keep": True})
        reason = _NOISE_REASONS.get(str(match.entry.owner), "It belongs to a conversation that is already under way.")
        return _json({"reason": reason, "keep": False})

    def _synthesis(self, task: Task) -> Reply:
        examples = (
            [str(row["question"]) for row in task.rows("examples", "question")] if "examples" in task.blocks else []
        )
        return _json({"questions": self._pool.write(task.text("persona"), examples, task.number("count"))})

    def _tuning(self, task: Task) -> Reply:
        question, adjustment = task.text("question"), task.text("adjustment").strip()
        if adjustment not in {"enrich", "simplify"}:
            raise RequestError(f"The adjustment must be enrich or simplify, not {adjustment[:40]!r}.", "bad_block")
        match = self._known(question)
        if match.fact is not None:
            simpler = match.fact.question
            richer = match.fact.readings[0].question if match.fact.readings else simpler
            return _json({"question": richer if adjustment == "enrich" else simpler})
        assert match.intent is not None  # a request belongs to a fact or an intent
        return _json({"question": self._pool.reword(match.intent, question, enrich=adjustment == "enrich")})

    def _answer(self, task: Task) -> Reply:
        question = task.blocks.get("question", task.prompt)
        match = self._known(question, any_role=True)
        if match.fact is not None:
            return Reply(_fact_answer(match, match.fact))
        if match.intent is not None:
            return Reply(_intent_answer(match, match.intent))
        lost = self._world.noise.fillers.lost
        return Reply(lost[int(stable_id(question), 16) % len(lost)])

    def _choice(self, task: Task) -> Reply:
        question, candidates = task.text("question"), task.rows("candidates", "id", "kind")
        match = self._known(question)
        chosen, thought = choose(self._vectors, needs_asking(match), facets_of(match), candidates)
        return _json({"thought": thought, "choice": chosen}, reasoning=thought)

    def _zero_shot(self, task: Task) -> Reply:
        """Decide and reply as an evaluated system would; scripted from the gold labels, so its scores mean nothing."""
        match = self._known(task.text("question"))
        facets = facets_of(match)
        if needs_asking(match) and facets:
            return Reply(completion(True, facets[0][1]))
        return Reply(completion(False, self._answer(task).content))

    def _judge(self, task: Task) -> Reply:
        match = self._known(task.text("question"))
        verdict, reason = judge(
            self._vectors, needs_asking(match), facets_of(match), task.text("reply_a"), task.text("reply_b")
        )
        return _json({"reason": f"Scripted verdict: {reason}", "verdict": verdict})

    def _known(self, question: str, *, any_role: bool = False) -> Match:
        match = self._index.match(question) if any_role else self._index.match(question, REQUESTS)
        if match is None:
            raise unknown(question)
        return match


def needs_asking(match: Match) -> bool:
    """Tell by the world whether what a text was recognised as needs a clarifying question."""
    if match.fact is not None:
        return match.fact.ambiguous and match.entry.role == "fact"
    return match.entry.role == "vague"


def facets_of(match: Match) -> Sequence[tuple[str, str]]:
    """List facets and clarifying questions of what a text was recognised as, the most useful first."""
    if match.intent is not None:
        return [(facet.facet, facet.question) for facet in match.intent.facets]
    if match.fact is not None and match.fact.facet and match.fact.clarifying_question:
        return [(match.fact.facet, match.fact.clarifying_question)]
    return []


def unknown(text: str) -> RequestError:
    """Make the error for a text that the world does not hold."""
    return RequestError(
        "The sample teacher is scripted and knows only the sample world; it does not recognise "
        f"{text.strip()[:120]!r}. Use `--env embedded` or a real model for any other data.",
        "unknown_question",
        param="messages",
    )


def _fact_answer(match: Match, fact: Fact) -> str:
    if match.entry.role == "reading":
        return _sentence(fact.readings[match.entry.place].answers[0])
    return _sentence(fact.answers[0] if fact.answers else fact.readings[0].answers[0])


def _intent_answer(match: Match, intent: Intent) -> str:
    return intent.specified[match.entry.place].answer if match.entry.role == "specified" else intent.generic_answer


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _json(value: Mapping[str, Any], reasoning: str | None = None) -> Reply:
    return Reply(json.dumps(value, ensure_ascii=False), reasoning)
