"""One question's whole story, read off the tables that a run left: ``kedro clarilm explain``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import pandas as pd
from kedro.io import DataCatalog

from clarilm_kedro.chat.errors import StoreUnusable
from clarilm_kedro.chat.store_tools import find_replies
from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.pipelines.stages import prompt_hash
from clarilm_kedro.tables import records

Row = dict[str, Any]

#: Prompts a row may have been made with, by their catalog names.
_PROMPTS = (
    "question_quality_prompt",
    "synthesis_prompt",
    "tuning_prompt",
    "facets_prompt",
    "answer_prompt",
    "annotation_prompt",
)


def explain_question(question_id: str, catalog: DataCatalog, store: Path) -> Iterator[str]:
    """Tell where a question came from, what it could be met with, what was chosen and what was trained on.

    Args:
        question_id: The question, or one of its preference rows; the first characters are enough where they name one.
        catalog: The catalog of the environment the run had.
        store: Its response store; what it knows of a reply is told too, if it is there.

    Yields:
        Lines of text. Texts of logs and models stand as they are, without control characters.

    Raises:
        ClarilmError: No table has such a question, or several have.
    """
    tables = _Tables(catalog)
    question_id = _resolve(question_id, tables)
    question = next(iter(tables.of("questions", question_id)), None)
    lines = _Story(tables, store, question_id)
    if question is None:
        yield from lines.fallen()
        return
    yield f"Question {question_id} ({question['split']})"
    yield f"  {_plain(question['question'])}"
    yield from lines.origin(question)
    yield from lines.candidates()
    yield from lines.choice()
    yield from lines.pairs()
    yield from lines.fallen()


class _Tables:
    """Tables of the catalog, each loaded once; one that is not there has no rows."""

    def __init__(self, catalog: DataCatalog) -> None:
        self._catalog = catalog
        self._loaded: dict[str, pd.DataFrame | ir.Table | None] = {}

    def of(self, name: str, value: str, column: str = "question_id") -> list[Row]:
        """Give the rows of a table in which a column has a value."""
        frame = self.get(name)
        if frame is None or column not in frame.columns:
            return []
        found = frame.filter(frame[column] == value).to_pandas() if isinstance(frame, ir.Table) else None
        return records(frame[frame[column] == value] if found is None else found)

    def get(self, name: str) -> pd.DataFrame | ir.Table | None:
        """Load a table, if it is there."""
        if name not in self._loaded:
            there = self._catalog.get(name) is not None and self._catalog.exists(name)
            self._loaded[name] = self._catalog.load(name) if there else None
        return self._loaded[name]

    def prompts(self) -> dict[str, str]:
        """Give the prompts by the hash of their template."""
        return {prompt_hash(self._catalog.load(name)): name for name in _PROMPTS}


def _resolve(given: str, tables: _Tables) -> str:
    found: set[str] = set()
    for name, column in (("questions", "question_id"), ("dropped_questions", "question_id")):
        frame = tables.get(name)
        if frame is not None:
            found |= {each for each in frame[column] if isinstance(each, str) and each.startswith(given)}
    preferences = tables.get("preferences")
    if not found and preferences is not None:
        found = set(preferences.loc[preferences["preference_id"].str.startswith(given), "question_id"])
    if len(found) == 1:
        return found.pop()
    if found:
        raise ClarilmError(f"{len(found)} questions begin with '{given}', such as {min(found)}: give more characters.")
    raise ClarilmError(
        f"No question and no preference row begins with '{given}'. The ids stand in the datasets questions and "
        "preferences (or in dropped_questions); did the run use another --env or store?"
    )


class _Story:
    """The parts of one question's story."""

    def __init__(self, tables: _Tables, store: Path, question_id: str) -> None:
        self._tables = tables
        self._store = store
        self._question_id = question_id
        self._prompts = tables.prompts()

    def origin(self, question: Row) -> Iterator[str]:
        """Where it came from: a session of a log, or a persona and examples."""
        if question["origin"] == "log":
            yield from self._from_log()
        else:
            yield from self._from_persona()

    def _from_log(self) -> Iterator[str]:
        for seed in self._tables.of("seed_questions", self._question_id):
            yield f"\nFrom a log (Q^L): session {seed['session_id']}"
            for session in self._tables.of("sessions", seed["session_id"], "session_id"):
                yield f"  row {session['position']} of {session['source_file']} ({session['source']}), " + (
                    f"{session['n_user_turns']} user turns, {session['language']}"
                )
                yield f"  the log's own reply: {_short(session['first_answer'])}"
            yield f"  kept because: {_plain(seed['reason'])}"
            yield from self._made_by(seed)

    def _from_persona(self) -> Iterator[str]:
        for row in self._tables.of("synthetic_questions", self._question_id):
            yield f"\nWritten (Q^G) for the persona: {_plain(row['persona'])}"
            for example_id in row["example_ids"]:
                for example in self._tables.of("in_context_examples", example_id, "example_id"):
                    yield f"  example {example_id} from {example['origin']}: {_short(example['question'])}"
            yield from self._made_by(row)
            yield f"  controlled clarification tuning: {row['tuning']}"
            if _given(row.get("parent")):
                yield f"  before that: {_short(row['parent'])}"
                yield from self._made_by(row, "tuning_")

    def candidates(self) -> Iterator[str]:
        """What it could be met with."""
        facets = {row["candidate_id"]: row for row in self._tables.of("facets", self._question_id)}
        offered = self._tables.of("candidates", self._question_id)
        yield f"\nCandidates ({len(offered)}), in the order shown to the first vote"
        for row in offered:
            name = _plain(row["facet"]) or "the direct answer"
            yield f"  {row['position']}. [{row['candidate_id']}] {name}: {_short(row['text'])}"
            if row["kind"] == "answer":
                for answer in self._tables.of("answers", self._question_id):
                    yield f"     source: {answer['source']}"
                    yield from self._made_by(answer, indent="     ")
            else:
                yield f"     source: {' and '.join(row['sources'])}, rank {row['rank']}"
                yield from self._made_by(facets.get(row["candidate_id"], {}), indent="     ")
        for merge in self._tables.of("facet_merges", self._question_id):
            both = f"'{_plain(merge['facet'])}' and '{_plain(merge['other_facet'])}'"
            alike = "equal in normal form" if merge["method"] == "exact" else f"cosine {merge['cosine']:.2f}"
            if merge["method"] == "vetoed":
                yield f"  kept apart: {both} ({alike}), by {_plain(merge['words'])}"
            else:
                sources = ", ".join(" and ".join(merge[name]) for name in ("sources", "other_sources"))
                yield f"  merged: {both} ({alike}; {sources})"

    def choice(self) -> Iterator[str]:
        """What the reasoning model thought and chose."""
        votes = self._tables.of("annotation_votes", self._question_id)
        for vote in votes:
            drawn = f"shuffled by seed {vote['seed']}, read as {vote['read_as']}"
            yield f"\nVote {vote['vote'] + 1} of {len(votes)} ({drawn})"
            yield f"  thought: {_plain(vote['thought'])}"
            yield f"  choice: {vote['choice_id']}"
            yield from self._made_by(vote)
        for row in self._tables.of("annotations", self._question_id):
            asks = f"ask about '{_plain(row['facet'])}'" if row["choice_kind"] == "ask" else "answer at once"
            yield f"\nChosen: {asks} ({row['agreement']:.0%} of the votes)"
            yield f"  {_plain(row['text'])}"
        for row in self._tables.of("annotations_failed", self._question_id, "row_id"):
            yield f"\nNot annotated ({row['kind']}): {_plain(row['error'])}"

    def pairs(self) -> Iterator[str]:
        """The preference rows, and which of them DPO uses."""
        used = self._tables.get("dpo_train")
        used_ids = set() if used is None else set(used["row_id"])
        for row in self._tables.of("preferences", self._question_id):
            use = (
                "used by DPO"
                if row["preference_id"] in used_ids
                else f"not used by DPO ({row['split']} split or limit)"
            )
            yield f"\nPreference {row['preference_id']}: {row['type']}, drawn by seed {row['seed']}, {use}"
            yield f"  r+ ({row['chosen_source']}): {_short(row['chosen_completion'])}"
            yield f"  r- ({row['rejected_source']}): {_short(row['rejected_completion'])}"

    def fallen(self) -> Iterator[str]:
        """Where and why it fell away, and what it leaked from."""
        for row in self._tables.of("dropped_questions", self._question_id):
            yield f"\nDropped at {row['stage']}: {_plain(row['reason'])}"
            yield f"  {_short(row['question'])}"
            if _given(row.get("other_id")):
                yield f"  the other one: {_plain(row['other_id'])}"
        for row in self._tables.of("leakage", self._question_id, "train_id"):
            yield (
                f"\nLeak guard: like {row['test_set']} {row['test_id']} by {row['method']} ({row['score']:.2f}), "
                f"{row['action']} ({row['train_table']})"
            )

    def _made_by(self, row: Row, prefix: str = "", *, indent: str = "  ") -> Iterator[str]:
        """Who made a row: the model, the prompt and the stored reply."""
        key, sha = row.get(f"{prefix}request_key"), row.get(f"{prefix}prompt_sha")
        if _given(key) and _given(sha):
            prompt = self._prompts.get(str(sha), "a prompt that has changed since")
            teacher = row.get(f"{prefix}teacher") or row["teacher"]
            reply = self._reply(str(key))
            served = f", served by {reply['served_model']} on {reply['created']}" if reply else ""
            yield f"{indent}made by {_plain(teacher)}{served}; {prompt} {str(sha)[:12]}; reply {str(key)[:12]}"
        if _given(row.get("model")):  # FM-LOG, in this process or behind an endpoint
            adapter = f", adapter {row['adapter_sha'][:12]}" if _given(row.get("adapter_sha")) else ""
            yield f"{indent}made by {_plain(row['model'])}{adapter}, drawn by seed {row['seed']}"

    def _reply(self, key: str) -> Row | None:
        try:
            return next(iter(find_replies(self._store, key)), None)
        except StoreUnusable:
            return None


def _given(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _plain(value: Any) -> str:
    """Write a value on one line, without control characters a terminal would obey."""
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(each if each.isprintable() else " " for each in text)


def _short(text: Any, limit: int = 160) -> str:
    plain = _plain(text)
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."
