"""Nodes of the ingestion pipeline: Ibis expressions, which the engine of the environment computes."""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd
from ibis import _
from tqdm import tqdm

from clarilm_kedro.logs.chunks import PLACE, join_chunks
from clarilm_kedro.logs.engines import read_batches
from clarilm_kedro.logs.filters import SessionFilters, filter_sessions, find_duplicates, judge
from clarilm_kedro.logs.languages import detect_batch, language_column
from clarilm_kedro.logs.near_duplicates import NearDuplicateOptions, group_near_duplicates, sign_batch
from clarilm_kedro.logs.sessions import TEXTS, clean_messages, describe_sessions
from clarilm_kedro.logs.statistics import count_sessions, funnel_line, log_funnel, log_statistics
from clarilm_kedro.logs.workers import map_batches
from clarilm_kedro.pipelines.ingestion.schemas import (
    DETECTED,
    LOG_FUNNEL,
    LOG_STATISTICS,
    NEAR_DUPLICATES,
    REJECTED_SESSIONS,
    SESSIONS,
    IngestionOptions,
    LanguageOptions,
)
from clarilm_kedro.tables import table

logger = logging.getLogger(__name__)

#: Sessions per batch of the steps that run in Python.
BATCH_ROWS = 2_000


def read_conversations(
    sharegpt: ir.Table, wildchat: ir.Table, options: IngestionOptions, filters: SessionFilters
) -> ir.Table:
    """Read facts and texts off every row of the logs, and put parts of a chat together.

    Args:
        sharegpt: Rows of ShareGPT, or of any log in its place (:mod:`clarilm_kedro.logs.rows`).
        wildchat: Likewise.
        options: ``clean_page_remnants``, ``join_chunks``.
        filters: The filters that look at one session alone; what they take keeps its facts but not its texts.

    Returns:
        One row per row: the columns of :func:`clarilm_kedro.logs.sessions.describe_sessions`, filtered and
        filtered_detail.
    """
    described = []
    for rows in (sharegpt, wildchat):
        cleaned = clean_messages(rows, page_remnants=options.clean_page_remnants)
        described.append(describe_sessions(join_chunks(cleaned, join=options.join_chunks)))
    united = ibis.union(*described)
    judged = filter_sessions(united.mutate(language=language_column(united.language)), filters)
    in_use = judged.unfit.isnull() & judged.filtered.isnull()
    return judged.mutate(**{name: ibis.ifelse(in_use, judged[name], ibis.null(judged[name].type())) for name in TEXTS})


def mark_duplicates(conversations: ir.Table) -> ir.Table:
    """Find every copy but the first of each conversation, over all logs.

    Args:
        conversations: What :func:`read_conversations` gives.

    Returns:
        source, source_file, position and detail of the copies.
    """
    return find_duplicates(conversations).order_by(list(PLACE))


def detect_languages(conversations: ir.Table, duplicates: ir.Table, options: LanguageOptions) -> ir.Table:
    """Tell the language of the sessions that no filter took and whose log does not publish it.

    Args:
        conversations: What :func:`read_conversations` gives.
        duplicates: Copies that are not looked at.
        options: ``confidence``, ``workers``.

    Returns:
        session_id, detected_language, language_confidence, ordered by session_id.
    """
    judged = judge(conversations, duplicates)
    unknown = judged.filter(judged.reason.isnull(), judged.language.isnull()).select("session_id", "user_questions")
    count = int(unknown.count().execute())
    found = map_batches(
        partial(detect_batch, sure=options.confidence), _batches(unknown, "languages", count), count, options.workers
    )
    frame = pd.concat([table([], DETECTED), *found], ignore_index=True)
    return ibis.memtable(frame.sort_values("session_id", ignore_index=True), schema=ibis.schema(_ibis_types(DETECTED)))


def mark_near_duplicates(
    conversations: ir.Table,
    duplicates: ir.Table,
    detected_languages: ir.Table,
    filters: SessionFilters,
    options: NearDuplicateOptions,
) -> ir.Table:
    """Find sessions whose first question another session asks nearly in the same words.

    Args:
        conversations: What :func:`read_conversations` gives.
        duplicates: Copies.
        detected_languages: What :func:`detect_languages` gives.
        filters: The filter on detected languages.
        options: When two questions count as the same.

    Returns:
        session_id, near_duplicate_of and similarity of the sessions kept that are like an earlier one, ordered by
        session_id; see :func:`clarilm_kedro.logs.near_duplicates.group_near_duplicates`.
    """
    judged = judge(conversations, duplicates, detected_languages, filters)
    kept = judged.filter(judged.reason.isnull()).select("session_id", "first_question").order_by("session_id")
    count = int(kept.count().execute())
    signed = map_batches(
        partial(sign_batch, permutations=options.permutations),
        _batches(kept, "near-duplicates", count),
        count,
        options.workers,
    )
    return ibis.memtable(group_near_duplicates(signed, options), schema=ibis.schema(_ibis_types(NEAR_DUPLICATES)))


def select_sessions(
    conversations: ir.Table,
    duplicates: ir.Table,
    detected_languages: ir.Table,
    near_duplicates: ir.Table,
    filters: SessionFilters,
) -> tuple[ir.Table, ir.Table]:
    """Keep the sessions that the paper uses: English, several turns, no extremely long first question (section 3.3.1).

    Args:
        conversations: What :func:`read_conversations` gives.
        duplicates: Copies.
        detected_languages: What :func:`detect_languages` gives.
        near_duplicates: What :func:`mark_near_duplicates` gives.
        filters: The filter on detected languages.

    Returns:
        The table of sessions, ordered by session_id, and that of all rejected rows with their reasons, ordered by
        source, file and row. Together they hold every row of the logs once.
    """
    judged = judge(conversations, duplicates, detected_languages, filters)
    kept = judged.filter(judged.reason.isnull())
    marked = kept.left_join(near_duplicates.drop("similarity"), "session_id")
    rejected = judged.filter(judged.reason.notnull()).mutate(detail=_.detail.fill_null(""))
    return (
        marked.select(list(SESSIONS)).order_by("session_id"),
        rejected.select(list(REJECTED_SESSIONS)).order_by(list(PLACE)),
    )


def describe_logs(
    conversations: ir.Table, duplicates: ir.Table, detected_languages: ir.Table, filters: SessionFilters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Describe the logs as the paper's Table 1 does, before and after the filters, and count the rejected.

    Args:
        conversations: What :func:`read_conversations` gives.
        duplicates: Copies.
        detected_languages: What :func:`detect_languages` gives.
        filters: The filter on detected languages.

    Returns:
        The statistics, one row per stage (read, rejected, kept), reason and source
        (:func:`clarilm_kedro.logs.statistics.log_statistics`), and the funnel
        (:func:`clarilm_kedro.logs.statistics.log_funnel`).
    """
    judged = judge(conversations, duplicates, detected_languages, filters)
    rows = log_statistics(count_sessions(judged).to_pandas())
    for source in dict.fromkeys(row["source"] for row in rows):
        logger.info(funnel_line(rows, source))
    statistics = table(rows, LOG_STATISTICS)
    return statistics, table(log_funnel(statistics), LOG_FUNNEL)


def draw_log_funnel(log_funnel: pd.DataFrame) -> Any:  # Kedro warns of a name that it cannot resolve
    """Draw how many sessions each stage leaves, a panel per log.

    Args:
        log_funnel: source, stage, sessions.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.figure import Figure

    sources = list(dict.fromkeys(log_funnel["source"]))
    figure = Figure(figsize=(4.2 * max(1, len(sources)), 3.2), layout="constrained")
    for number, source in enumerate(sources, start=1):
        of = log_funnel[log_funnel["source"] == source]
        axes = figure.add_subplot(1, len(sources), number)
        bars = axes.barh(of["stage"], of["sessions"], color="#4c78a8")
        read = max(int(of["sessions"].max()), 1)
        axes.bar_label(bars, [f" {count:,} ({count / read:.0%})" for count in of["sessions"]], fontsize=8)
        axes.set_xlim(0, read * 1.45)
        axes.invert_yaxis()
        axes.set_title(source)
        axes.set_xlabel("sessions")
        axes.spines[["top", "right"]].set_visible(False)
        if number > 1:
            axes.set_yticklabels([])
    return figure


def _batches(rows: ir.Table, name: str, count: int) -> Iterator[dict[str, list[Any]]]:
    with tqdm(total=count, desc=name, unit="session", disable=None) as bar:
        for batch in read_batches(rows, BATCH_ROWS):
            yield batch
            bar.update(len(batch["session_id"]))


def _ibis_types(columns: dict[str, str]) -> dict[str, str]:
    return {name: {"str": "string"}.get(kind, kind) for name, kind in columns.items()}
