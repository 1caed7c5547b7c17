"""Looking into a response store, and keeping it small; no run may use it meanwhile where something is changed."""

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from clarilm_kedro.chat.errors import StoreUnusable
from clarilm_kedro.chat.layout import LAYOUT, OLDEST_READ

_STATISTICS = """
SELECT stage, model, kind, count(*) AS requests, coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
    coalesce(sum(completion_tokens), 0) AS completion_tokens, sum(cost_usd) AS cost_usd,
    min(started) AS first, max(started) AS last
FROM attempts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_SIZES = "SELECT count(*) AS replies, coalesce(sum(length(body)), 0) AS bytes FROM responses"
# Before layout 3 the column held something else.
_PROMPT_SHA = "CASE WHEN (SELECT user_version FROM pragma_user_version) >= 3 THEN prompt_sha END AS prompt_sha"
_PROMPTS = f"""
SELECT stage, model, {_PROMPT_SHA}, count(*) AS replies, min(created) AS first, max(created) AS last
FROM responses GROUP BY 1, 2, 3 ORDER BY 1, 2, first, 3
"""
#: Replies whose attempt ended, although an earlier one for the same key was lost on its way.
_TWICE = """
SELECT count(*) FROM attempts AS lost
WHERE lost.kind = 'lost' AND EXISTS (SELECT 1 FROM attempts AS again WHERE again.key = lost.key AND again.kind = 'ok')
"""
_MEANS = """
SELECT avg(completion_tokens) FROM attempts
WHERE kind = 'ok' AND model = :model AND (:stage IS NULL OR stage = :stage)
"""

_PRUNE = """
DELETE FROM responses WHERE (:model IS NULL OR model = :model) AND (:before IS NULL OR created < :before)
"""


@contextmanager
def read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store for reading, also while a run uses it; leaves no file behind.

    Args:
        path: The SQLite file.

    Yields:
        A connection that cannot write.

    Raises:
        StoreUnusable: There is no such file, or it is no store.
    """
    if not path.is_file():
        raise StoreUnusable(f"There is no response store {path} yet: a run with chat requests makes it.")
    # A reader of a WAL file makes the two files beside it, and leaves them there as it may not write. Where they are
    # not there, no run is using the store, and it can be read as a file that nobody changes.
    used = path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro" if used else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            (layout,) = connection.execute("PRAGMA user_version").fetchone()
            if not OLDEST_READ <= layout <= LAYOUT:
                raise StoreUnusable(
                    f"The response store {path} has layout {layout}, and this project reads layouts {OLDEST_READ} to "
                    f"{LAYOUT}: the next run with chat requests brings an older one up to date."
                )
            yield connection
    except sqlite3.Error as error:
        raise StoreUnusable(f"The response store {path} cannot be read: {error}.") from error


def store_statistics(path: Path) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Sum a store up.

    Args:
        path: The SQLite file.

    Returns:
        One row per stage, model and kind of outcome (requests, prompt_tokens, completion_tokens, cost_usd, first,
        last), and totals: replies, bytes (compressed), bought_twice (lost on their way and bought again).

    Raises:
        StoreUnusable: There is no store, or it cannot be read.
    """
    with read_only(path) as connection:
        rows = [dict(row) for row in connection.execute(_STATISTICS)]
        totals = dict(connection.execute(_SIZES).fetchone())
        (totals["bought_twice"],) = connection.execute(_TWICE).fetchone()
    return rows, totals


def stored_prompts(path: Path) -> list[dict[str, Any]]:
    """Say which prompt templates the replies of a store answer.

    Args:
        path: The SQLite file.

    Returns:
        One row per stage, model and template, the oldest first within a stage and model: stage, model, prompt_sha (null
        where the messages came from no template), replies, first, last.

    Raises:
        StoreUnusable: There is no store, or it cannot be read.
    """
    with read_only(path) as connection:
        return [dict(row) for row in connection.execute(_PROMPTS)]


def mean_reply_tokens(connection: sqlite3.Connection, model: str, stage: str | None) -> float | None:
    """Give the mean tokens of a model's replies, in one stage or in all; None where there are none."""
    (mean,) = connection.execute(_MEANS, {"model": model, "stage": stage}).fetchone()
    return None if mean is None else float(mean)


def export_replies(path: Path, target: IO[str], *, stage: str | None = None, model: str | None = None) -> int:
    """Write replies as JSON lines: key, stage, model, served_model, prompt_sha, created and the body as received.

    Args:
        path: The SQLite file.
        target: Where to.
        stage: Only this stage.
        model: Only this model.

    Returns:
        Lines written.

    Raises:
        StoreUnusable: There is no store, or it cannot be read.
    """
    query = (
        f"SELECT key, stage, model, served_model, {_PROMPT_SHA}, created, body FROM responses "
        "WHERE (:stage IS NULL OR stage = :stage) AND (:model IS NULL OR model = :model) ORDER BY key"
    )
    lines = 0
    with read_only(path) as connection:
        for row in connection.execute(query, {"stage": stage, "model": model}):
            reply = dict(row)
            reply["body"] = json.loads(zlib.decompress(reply["body"]))
            target.write(json.dumps(reply, ensure_ascii=False) + "\n")
            lines += 1
    return lines


def find_replies(path: Path, key: str) -> list[dict[str, Any]]:
    """Look a reply up, without its body.

    Args:
        path: The SQLite file.
        key: The request's key.

    Returns:
        At most one row with key, stage, model, served_model, prompt_sha, system_fingerprint and created.

    Raises:
        StoreUnusable: There is no store, or it cannot be read.
    """
    query = (
        "SELECT key, stage, model, served_model, prompt_sha, system_fingerprint, created FROM responses WHERE key = ?"
    )
    with read_only(path) as connection:
        return [dict(row) for row in connection.execute(query, (key,))]


def prune_replies(path: Path, *, older_than_days: float | None = None, model: str | None = None) -> int:
    """Delete replies; the ledger of what was spent stays.

    Args:
        path: The SQLite file.
        older_than_days: Only replies received before.
        model: Only this model's.

    Returns:
        Replies deleted. The file gives their space back.

    Raises:
        StoreUnusable: There is no store, or a run uses it.
    """
    if not path.is_file():
        raise StoreUnusable(f"There is no response store {path}.")
    before = None
    if older_than_days is not None:
        before = (datetime.now(UTC) - timedelta(days=older_than_days)).isoformat(timespec="seconds")
    try:
        with FileLock(f"{path}.lock", timeout=0), closing(sqlite3.connect(path, isolation_level=None)) as connection:
            deleted = connection.execute(_PRUNE, {"model": model, "before": before}).rowcount
            connection.execute("VACUUM")
    except Timeout:
        raise StoreUnusable(f"A run uses the response store {path}: prune it when that has ended.") from None
    except sqlite3.Error as error:
        raise StoreUnusable(f"The response store {path} cannot be changed: {error}.") from error
    return deleted
