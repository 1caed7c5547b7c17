"""A stage of a pipeline: ask for every row, then decide whether too many failed.

Two nodes call the two functions, because a node that raises saves nothing: results and failures are saved first.
"""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from clarilm_kedro.chat.errors import TooManyFailures
from clarilm_kedro.chat.types import ChatModel, ChatRequest, ChatResult
from clarilm_kedro.errors import ClarilmError

if TYPE_CHECKING:  # pandas is most of the memory of a process that asks a chat model
    import pandas as pd

_EXCERPT = 500


def ask(
    requests: Sequence[ChatRequest], chat_model: ChatModel, *, stage: str
) -> "tuple[dict[str, ChatResult], pd.DataFrame]":
    """Ask a chat model for every row.

    Args:
        requests: The rows; their ``row_id`` are unique.
        chat_model: Who answers.
        stage: Name of the stage.

    Returns:
        The usable results by ``row_id``, ordered by it, and a table of the rows that failed: ``row_id, stage, kind,
        error, attempts, cost_usd (null where the model has no price), model, excerpt`` (the first 500 characters of
        the reply), sorted by ``row_id``.

    Raises:
        ClarilmError: Two requests have the same ``row_id``, or the chat model can answer nothing at all.
    """
    from clarilm_kedro.tables import FAILED, table

    if len({request.row_id for request in requests}) < len(requests):
        raise ClarilmError(f"Stage {stage}: two chat requests have the same row_id; give every sample one of its own.")
    answered: dict[str, ChatResult] = {}
    failed: list[dict[str, object]] = []
    results = chat_model.complete(requests, stage=stage)
    try:
        for result in results:
            if result.status == "ok":
                answered[result.row_id] = result
            else:
                failed.append(_failure(result, chat_model.name, stage))
    finally:
        # At once, not when the traceback of an interruption lets go of it: only then is what is on its way stored.
        if isinstance(results, Generator):
            results.close()
    return dict(sorted(answered.items())), table(failed, FAILED, sort_by="row_id")


def accept(
    n_ok: int, failures: "pd.DataFrame", *, stage: str, max_failed_share: float, dataset: str | None = None
) -> None:
    """Stop the run if too many rows of a stage failed.

    Args:
        n_ok: Rows with a usable reply.
        failures: The stage's table of failed rows.
        stage: Name of the stage.
        max_failed_share: Largest share of failed rows that is accepted, 0 to 1.
        dataset: Catalog name of ``failures``; ``<stage>_failed`` if not given.

    Raises:
        TooManyFailures: More failed. Names the counts, the most frequent error and the dataset to look into.
    """
    n_failed = len(failures)
    if n_failed <= max_failed_share * (n_ok + n_failed):
        return
    frequent = failures.groupby(["kind", "error"], sort=True).size().sort_values(ascending=False, kind="stable")
    kind, error = frequent.index[0]
    raise TooManyFailures(
        f"Stage {stage}: {n_failed} of {n_ok + n_failed} rows failed, more than max_failed_share = "
        f"{max_failed_share:g} allows. The most frequent error ({frequent.iloc[0]} rows, {kind}): {error} "
        f"Every failed row is in the dataset '{dataset or stage + '_failed'}'. Replies are stored: once the cause is "
        "gone, a new run asks only for what is missing."
    )


def _failure(result: ChatResult, model: str, stage: str) -> dict[str, object]:
    return {
        "row_id": result.row_id,
        "stage": stage,
        "kind": str(result.error_kind),
        "error": result.error or "",
        "attempts": result.attempts,
        "cost_usd": result.cost_usd,
        "model": model,
        "excerpt": result.text[:_EXCERPT],
    }
