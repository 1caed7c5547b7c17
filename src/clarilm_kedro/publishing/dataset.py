"""The dataset repository: which tables of a run are published, which are not, and why."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from clarilm_kedro.errors import ClarilmError
from clarilm_kedro.publishing.files import CARD, RepoFile, Upload, joined_card, split_card


@dataclass(frozen=True)
class Table:
    """A table that is published.

    Attributes:
        dataset: Its name in the catalog.
        config: The configuration of ``datasets.load_dataset`` that it belongs to.
        split: Its split there; None takes the column ``split`` of the table, one file for each.
        columns: The columns that are published, in this order.
        question_id: The column with the id of its question in Q.
        why: Why it is published.
    """

    dataset: str
    config: str
    split: str | None
    columns: tuple[str, ...]
    question_id: str
    why: str


_ROWS = ("row_id", "question", "asks", "text", "origin", "teacher")
_PAIRS = ("row_id", "question", "chosen", "rejected", "chosen_asks", "rejected_asks", "type")
TABLES = (
    Table("sft_train", "sft", "train", _ROWS, "row_id", "trains the assistant (Eq. 5)"),
    Table("validation", "sft", "validation", _ROWS, "row_id", "fits the asking threshold"),
    Table("dpo_train", "dpo", "train", _PAIRS, "row_id", "trains its preferences (Eq. 6)"),
    Table(
        "preferences",
        "preferences",
        None,
        (
            *("preference_id", "question_id", "question", "split", "type", "chosen", "rejected", "chosen_asks"),
            *("rejected_asks", "chosen_source", "rejected_source", "teacher"),
        ),
        "question_id",
        "every preference pair, of which dpo is drawn",
    ),
    Table(
        "our_test",
        "our_test",
        "test",
        ("item_id", "question", "needs_clarification", "reference", "references", "facet", "thought", "teacher"),
        "item_id",
        "the held-out test (section 4.2)",
    ),
)
# For people who wonder, and for the dry run. Nothing that TABLES does not name is uploaded.
NOT_PUBLISHED = {
    "sessions, rejected_sessions, conversations": "whole private conversations",
    "clarifications, fm_log_examples, seed_questions": "messages of sessions, or the ids of sessions",
    "responses.sqlite": "every prompt and reply, with the excerpts of logs that prompts hold",
    "synthetic_questions": "personas, which have a licence of their own",
    "answers, candidates, facets, annotations": "steps on the way; what was chosen stands in the published rows",
    "in3_rows, benchmarks, predictions": "rows of other people's data sets",
}
_HASHES = "request_key, prompt_sha and prompt of preferences: keys of the response store, and what can be made again"


def dataset_upload(
    tables: Mapping[str, pd.DataFrame], questions: pd.DataFrame, answers: pd.DataFrame, card: str, *, logs: bool = True
) -> Upload:
    """Lay out the dataset repository.

    Rows whose direct answer is the log's own first reply are left out: that is text of the log beyond the question.
    Rows of other data sets, such as IN3's in ``sft_train``, are left out as well.

    Args:
        tables: The tables of :data:`TABLES` by name of dataset; one that is missing or empty is left out.
        questions: Q: question_id, origin (``log`` or ``generated``).
        answers: question_id, source (``generated`` or the log).
        card: The data card.
        logs: Whether rows about questions of the logs, Q^L, are published.

    Returns:
        The files ``CONFIG/SPLIT.parquet`` and the card, whose head lists them for ``load_dataset``.

    Raises:
        ClarilmError: The card has no head, or no row is left.
    """
    head, text = split_card(card, "the data card")
    origin = questions.set_index("question_id")["origin"]
    replies_of_logs = set(answers.loc[answers["source"] != "generated", "question_id"])
    files: list[RepoFile] = []
    configs: dict[str, list[dict[str, str]]] = {}
    left_out: list[str] = []
    of_logs = 0
    for table in TABLES:
        rows = tables.get(table.dataset)
        if rows is None or rows.empty:
            left_out.append(f"{table.dataset}: this run made no rows of it")
            continue
        ids = rows[table.question_id].map(_question_of(tables)) if table.dataset == "dpo_train" else None
        from_where = (rows[table.question_id] if ids is None else ids).map(origin)
        told = rows[table.question_id] if ids is None else ids
        kept = from_where.notna() & ~told.isin(replies_of_logs)
        kept &= (from_where != "log") | logs
        for reason, gone in (
            ("are of other data sets, or of questions that are not in Q", from_where.isna()),
            ("hold a reply of the log", from_where.notna() & told.isin(replies_of_logs)),
            ("are about questions of the logs (--without-logs)", (from_where == "log") & ~told.isin(replies_of_logs)),
        ):
            n_gone = int((gone & ~kept).sum())
            if n_gone:
                left_out.append(f"{table.dataset}: {n_gone} of {len(rows)} rows, which {reason}")
        shown = rows.loc[kept]
        of_logs += int((from_where[kept] == "log").sum())
        for split, part in [(table.split, shown)] if table.split else sorted(shown.groupby("split")):
            name = {"valid": "validation"}.get(str(split), str(split))
            if part.empty:
                continue
            path = f"{table.config}/{name}.parquet"
            files.append(RepoFile(path, _parquet(part[list(table.columns)]), f"{table.why}; {len(part)} rows"))
            configs.setdefault(table.config, []).append({"split": name, "path": path})
    if not files:
        raise ClarilmError(f"There is no row to publish. {'; '.join(left_out)}.")
    head["configs"] = [{"config_name": name, "data_files": data_files} for name, data_files in configs.items()]
    files.append(RepoFile(CARD, joined_card(head, text), "the data card, with the list of splits"))
    left_out += [f"{names}: {why}" for names, why in {**NOT_PUBLISHED, "columns": _HASHES}.items()]
    warnings = []
    if of_logs:
        warnings.append(
            f"{of_logs} rows hold questions that users wrote in chat logs. They are these people's own words, and "
            "the licences of the logs apply to them: read the sources' terms before you publish. --without-logs leaves "
            "them out."
        )
    return Upload("dataset", tuple(files), tuple(left_out), tuple(warnings))


def _question_of(tables: Mapping[str, pd.DataFrame]) -> Callable[[str], str | None]:
    pairs = tables.get("preferences")
    if pairs is None:
        return lambda _: None
    of_pair = dict(zip(pairs["preference_id"], pairs["question_id"], strict=True))
    return of_pair.get


def _parquet(rows: pd.DataFrame) -> bytes:
    target = io.BytesIO()
    rows.to_parquet(target, index=False)
    return target.getvalue()
