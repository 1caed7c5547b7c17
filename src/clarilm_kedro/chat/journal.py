"""What is known of batches: the tables ``batches`` and ``batch_failures`` of the response store.

A shard is entered before anything of it leaves this machine, so that no crash can lose sight of a batch that
is paid for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from clarilm_kedro.chat.client import Attempt
from clarilm_kedro.chat.ledger import Settled
from clarilm_kedro.chat.orders import Delivery
from clarilm_kedro.chat.outcomes import ACTIONS, Action
from clarilm_kedro.chat.prompts import well_formed
from clarilm_kedro.chat.store import ResponseStore, Statement
from clarilm_kedro.chat.types import Kind


class State(StrEnum):
    """How far a shard is."""

    #: Its file is written; a batch may or may not have been created.
    WRITTEN = "written"
    #: Its batch is known by name.
    CREATED = "created"
    #: Its answers are in the store.
    COLLECTED = "collected"
    #: The provider took nothing of it.
    FAILED = "failed"


_OPEN = f"state IN ('{State.WRITTEN}', '{State.CREATED}')"
_COLUMNS = "shard_sha, endpoint, model, stage, file_id, batch_id, state, n_requests, lines_read, prompt_sha"
_ENTER = f"INSERT INTO batches ({_COLUMNS}, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SET = "UPDATE batches SET file_id = ?, batch_id = ?, state = ?, lines_read = ? WHERE shard_sha = ?"
_FAIL = """
INSERT INTO batch_failures (endpoint, key, model, stage, attempts, kind, detail) VALUES (?, ?, ?, ?, 1, ?, ?)
ON CONFLICT (endpoint, key) DO UPDATE SET attempts = attempts + 1, kind = excluded.kind, detail = excluded.detail
"""
_FOR_GOOD = ", ".join(f"'{kind}'" for kind, action in ACTIONS.items() if action is Action.FAIL_ROW)
_FAILURES = f"""
SELECT key, kind, detail FROM batch_failures WHERE endpoint = ? AND model = ? AND stage = ?
AND (attempts >= ? OR kind IN ({_FOR_GOOD})) AND key NOT IN (SELECT key FROM responses)
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """A row of the table ``batches``: one file of requests.

    Attributes:
        sha: Names the shard; the name of its file, and the metadata its batch carries.
        endpoint: Who is asked.
        model: Model asked for.
        stage: Stage that asks.
        n_requests: Lines of the file.
        file_id: The provider's name for the uploaded file.
        batch_id: The provider's name for the batch.
        state: How far it is.
        lines_read: Lines of the answers that are in the store.
        prompt_sha: SHA-256 of the prompt template that its requests come from.
    """

    sha: str
    endpoint: str
    model: str
    stage: str
    n_requests: int
    file_id: str | None = None
    batch_id: str | None = None
    state: State = State.WRITTEN
    lines_read: int = 0
    prompt_sha: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether answers may still come."""
        return self.state in (State.WRITTEN, State.CREATED)


class BatchJournal:
    """The shards of one model at one endpoint.

    Args:
        store: Where they are kept.
        endpoint: Its name.
        model: Model asked for.
    """

    def __init__(self, store: ResponseStore, endpoint: str, model: str) -> None:
        self.endpoint = endpoint
        self.model = model
        self._store = store

    def unfinished(self) -> list[Shard]:
        """Give the shards whose answers are not all in the store, the oldest first."""
        chosen = (
            f"SELECT {_COLUMNS} FROM batches WHERE endpoint = ? AND model = ? AND {_OPEN} ORDER BY created, shard_sha"
        )
        return [_shard(row) for row in self._store.select(chosen, (self.endpoint, self.model))]

    def find(self, sha: str) -> Shard | None:
        """Give a shard."""
        rows = self._store.select(f"SELECT {_COLUMNS} FROM batches WHERE shard_sha = ?", (sha,))
        return _shard(rows[0]) if rows else None

    def enter(self, shard: Shard) -> None:
        """Enter a shard; it is on disk when this returns."""
        known = (shard.file_id, shard.batch_id, shard.state, shard.n_requests, shard.lines_read, shard.prompt_sha)
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = (shard.sha, shard.endpoint, shard.model, shard.stage, *known, created)
        self._store.enter([], [(_ENTER, values)]).result()

    def update(self, shard: Shard) -> Shard:
        """Write what has become known of a shard; it is on disk when this returns."""
        self.record(shard, [], {})
        return shard

    def remove(self, shard: Shard) -> None:
        """Forget a shard that never became a batch."""
        self._store.enter([], [("DELETE FROM batches WHERE shard_sha = ?", (shard.sha,))]).result()

    def record(self, shard: Shard, settled: Sequence[Settled], failures: Mapping[str, Attempt]) -> None:
        """Write answers of a shard together with how far it has been read; on disk when this returns.

        Args:
            shard: With ``lines_read`` and ``state`` as they are then.
            settled: The answers.
            failures: Those among them, by key, that are no replies.
        """
        known = (shard.file_id, shard.batch_id, shard.state, shard.lines_read, shard.sha)
        also: list[Statement] = [(_SET, known)]
        for key, attempt in failures.items():
            # What ends a run is to be tried again by the next one.
            if ACTIONS[attempt.kind] is not Action.FAIL_RUN:
                values = (shard.endpoint, key, shard.model, shard.stage, attempt.kind, well_formed(attempt.detail))
                also.append((_FAIL, values))
        self._store.enter(settled, also).result()

    def failures(self, stage: str, max_attempts: int) -> dict[str, Delivery]:
        """Give the requests of a stage that are not to be sent again, by key."""
        rows = self._store.select(_FAILURES, (self.endpoint, self.model, stage, max_attempts))
        return {key: Delivery(key, Kind(kind), detail, endpoint=self.endpoint) for key, kind, detail in rows}

    def forget_failures(self, stage: str) -> None:
        """Let the next run of a stage try its failed requests again; this one is over."""
        values = (self.endpoint, self.model, stage)
        if self._store.select("SELECT 1 FROM batch_failures LIMIT 1"):
            forget = "DELETE FROM batch_failures WHERE endpoint = ? AND model = ? AND stage = ?"
            self._store.enter([], [(forget, values)]).result()


def _shard(row: Sequence[object]) -> Shard:
    sha, endpoint, model, stage, file_id, batch_id, state, n_requests, lines_read, prompt_sha = row
    return Shard(
        sha=str(sha),
        endpoint=str(endpoint),
        model=str(model),
        stage=str(stage),
        n_requests=int(str(n_requests)),
        file_id=None if file_id is None else str(file_id),
        batch_id=None if batch_id is None else str(batch_id),
        state=State(str(state)),
        lines_read=int(str(lines_read)),
        prompt_sha=None if prompt_sha is None else str(prompt_sha),
    )
