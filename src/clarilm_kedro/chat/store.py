"""Every reply ever paid for, in one SQLite file, written before anyone looks at what it says.

Two tables: ``responses`` (the raw replies) and ``attempts``, the ledger: a row is committed before a request is sent
and completed when its outcome is known. An attempt whose process died has no outcome; the provider may have billed it.
Two more keep what :mod:`clarilm_kedro.chat.journal` says about batches.

``sqlite3 responses.sqlite 'select stage, model, kind, count(*), sum(cost_usd) from attempts group by 1, 2, 3'``
"""

import logging
import queue
import sqlite3
import threading
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clarilm_kedro.chat.budget import Budget
from clarilm_kedro.chat.errors import StoreUnusable
from clarilm_kedro.chat.layout import connect
from clarilm_kedro.chat.ledger import LedgerEntry, LedgerOutcome, Settled, StoredResponse

logger = logging.getLogger(__name__)

_INSERT = "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
_BEGIN = "INSERT INTO attempts (id, key, stage, model, endpoint, started) VALUES (?, ?, ?, ?, ?, ?)"
_END = """
UPDATE attempts SET kind = ?, seconds = ?, prompt_tokens = ?, cached_tokens = ?, completion_tokens = ?,
    reasoning_tokens = ?, estimated = ?, cost_usd = ? WHERE id = ?
"""
#: Kind, in the ledger, of an attempt whose process ended before its outcome was known.
LOST = "lost"
_BATCH_ROWS = 256
# More than are on their way at a time; what is received while nothing can be written must not fill the memory either.
_MOST_UNWRITTEN = 4096
# A commit costs about as much for one row as for 64 (3 ms with fsync), so a writer that finds several entries commits
# them together. It waits this long for company.
_LINGER_SECONDS = 0.001

#: A statement and its values.
Statement = tuple[str, tuple[object, ...]]


class ResponseStore:
    """A response store; made by :func:`open_store`. Any thread may read and write.

    Args:
        path: The SQLite file.

    Raises:
        StoreUnusable: Another process holds the store, or the file is not one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.budget = Budget()
        #: Held while batches are bought: two stages at once would collect the same ones.
        self.buying_batches = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{path}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreUnusable(
                f"Another run uses the response store {path}. Two runs on one store would pay for the same answers "
                "twice: wait until it has ended, or give this run a store of its own (--params store=DIR)."
            ) from None
        try:
            self._reader = connect(path)
            writer = connect(path)
            self.lost_attempts = self._mark_lost(writer)
            (last,) = writer.execute("SELECT coalesce(max(id), 0) FROM attempts").fetchone()
        except sqlite3.Error as error:
            self._lock.release()
            raise StoreUnusable(
                f"The response store {path} cannot be opened: {error}. If the disk is full, make room; if the file is "
                "no store, move it away."
            ) from error
        except StoreUnusable:
            self._lock.release()
            raise
        self._ids = count(last + 1)
        self._reading = threading.Lock()
        self._unwritten: deque[Statement] = deque(maxlen=_MOST_UNWRITTEN)
        self._queue: queue.SimpleQueue[tuple[Sequence[Statement], Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, args=(writer,), name="response-store", daemon=True)
        self._thread.start()

    def get(self, key: str) -> bytes | None:
        """Find a reply.

        Args:
            key: The request's key.

        Returns:
            The raw body, or ``None``.

        Raises:
            StoreUnusable: The file is damaged.
        """
        rows = self.select("SELECT body FROM responses WHERE key = ?", (key,))
        try:
            return zlib.decompress(rows[0][0]) if rows else None
        except zlib.error as error:
            raise self._unreadable(error) from error

    def select(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Read what is on disk.

        Args:
            statement: SQL.
            values: Its parameters.

        Returns:
            The rows.

        Raises:
            StoreUnusable: The file is damaged.
        """
        try:
            with self._reading:
                return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def taken_by(self, keys: Sequence[str]) -> tuple[int, float | None]:
        """Say what requests have taken so far, in all runs.

        Args:
            keys: Their keys.

        Returns:
            Attempts, and US dollars; ``None`` where no price was known.
        """
        marks = ", ".join("?" * len(keys))
        ((attempts, cost),) = self.select(f"SELECT count(*), sum(cost_usd) FROM attempts WHERE key IN ({marks})", keys)
        return attempts, cost

    def begin(self, attempts: Sequence[tuple[str, str, str, str]]) -> tuple[list[LedgerEntry], Future[None]]:
        """Enter attempts that are about to be made.

        Args:
            attempts: Key, stage, model and endpoint of each.

        Returns:
            Their entries, and a future that ends when they are on disk, as for :meth:`put`.
        """
        entries = [LedgerEntry(next(self._ids), *attempt) for attempt in attempts]
        started = _now()
        rows = [(entry.id, entry.key, entry.stage, entry.model, entry.endpoint, started) for entry in entries]
        return entries, self._enqueue([(_BEGIN, row) for row in rows])

    def end(self, ended: Sequence[tuple[LedgerOutcome, StoredResponse | None]]) -> Future[None]:
        """Complete attempts, together with their replies.

        Args:
            ended: What became of each, and its reply; a key that is there keeps its first one.

        Returns:
            A future as for :meth:`put`.
        """
        return self._enqueue([each for outcome, response in ended for each in _ended(outcome, response)])

    def enter(self, settled: Sequence[Settled], also: Sequence[Statement] = ()) -> Future[None]:
        """Enter attempts whose outcome is known already, with their replies, in one commit.

        Args:
            settled: The attempts.
            also: Statements that must hold exactly if these do.

        Returns:
            A future as for :meth:`put`.
        """
        statements: list[Statement] = []
        started = _now()
        for attempt in settled:
            number = next(self._ids)
            begun = (number, attempt.key, attempt.stage, attempt.model, attempt.endpoint, started)
            outcome = LedgerOutcome(number, attempt.kind, None, attempt.usage, attempt.cost_usd)
            statements += [(_BEGIN, begun), *_ended(outcome, attempt.response)]
        return self._enqueue([*statements, *also])

    def put(self, response: StoredResponse) -> Future[None]:
        """Write a reply; a key that is there keeps its first reply.

        Args:
            response: What to write.

        Returns:
            A future that ends when the reply is on disk, with :class:`StoreUnusable` if it cannot be.
        """
        return self._enqueue([(_INSERT, _row(response))])

    def close(self) -> None:
        """Write what is waiting, try once more what could not be written, and free the file for other runs."""
        self._queue.put(None)
        self._thread.join()
        self._reader.close()
        self._lock.release()

    def _enqueue(self, statements: Sequence[Statement]) -> Future[None]:
        written: Future[None] = Future()
        self._queue.put((statements, written))
        return written

    def _unreadable(self, error: Exception) -> StoreUnusable:
        return StoreUnusable(f"The response store {self.path} cannot be read: {error}. Move it away.")

    def _mark_lost(self, connection: sqlite3.Connection) -> int:
        lost = connection.execute("UPDATE attempts SET kind = ? WHERE kind IS NULL", (LOST,)).rowcount
        if lost:
            logger.warning(
                "The last run on %s ended while %d requests were on their way. Their replies were not stored; the "
                "provider may bill them, and those still needed are bought again.",
                self.path,
                lost,
            )
        return lost

    def _write(self, connection: sqlite3.Connection) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            if batch:
                self._commit(connection, batch)
        if self._unwritten:
            self._write_after_all(connection)
        connection.close()

    def _next_batch(self) -> tuple[list[tuple[Sequence[Statement], Future[None]]], bool]:
        first = self._queue.get()
        if first is None:
            return [], False
        batch = [first]
        while len(batch) < _BATCH_ROWS:
            try:
                item = self._queue.get(timeout=_LINGER_SECONDS)
            except queue.Empty:
                break
            if item is None:
                return batch, False
            batch.append(item)
        return batch, True

    def _commit(self, connection: sqlite3.Connection, batch: list[tuple[Sequence[Statement], Future[None]]]) -> None:
        try:
            _execute(connection, [statement for statements, _ in batch for statement in statements])
        except Exception as error:  # whatever it is: a writer that ended would leave everyone waiting
            # An attempt that is not entered is not made, so what is left are replies and outcomes.
            left = [each for statements, _ in batch for each in statements if each[0] is not _BEGIN]
            self._unwritten.extend(left)
            answers = sum(statement is _INSERT for statement, _ in left)
            failure = StoreUnusable(
                f"The response store {self.path} cannot be written: {error}. Writing {answers} answers is tried once "
                "more at the end of the run; make room on the disk and run again, everything stored before is kept."
            )
            for _, written in batch:
                written.set_exception(failure)
        else:
            for _, written in batch:
                written.set_result(None)

    def _write_after_all(self, connection: sqlite3.Connection) -> None:
        answers = sum(statement is _INSERT for statement, _ in self._unwritten)
        try:
            _execute(connection, self._unwritten)
        except Exception as error:
            logger.error("%d answers are lost: %s still cannot be written: %s.", answers, self.path, error)
        else:
            logger.warning("%d answers that could not be written to %s at first are there now.", answers, self.path)


def _ended(outcome: LedgerOutcome, response: StoredResponse | None) -> list[Statement]:
    usage = outcome.usage
    tokens = (usage.prompt, usage.cached, usage.completion, usage.reasoning, int(usage.estimated))
    ended: Statement = (_END, (outcome.kind, outcome.seconds, *tokens, outcome.cost_usd, outcome.id))
    return [ended] if response is None else [(_INSERT, _row(response)), ended]


def _execute(connection: sqlite3.Connection, statements: Iterable[Statement]) -> None:
    """Execute statements in one transaction: all of them or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement, values in statements:
            connection.execute(statement, values)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _row(response: StoredResponse) -> tuple[object, ...]:
    return (
        response.key,
        response.model,
        response.served_model,
        response.stage,
        response.prompt_sha,
        zlib.compress(response.body),
        response.prompt_tokens,
        response.completion_tokens,
        _now(),
        response.system_fingerprint,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


_open: dict[Path, tuple[ResponseStore, int]] = {}
_opening = threading.Lock()


def open_store(path: Path) -> ResponseStore:
    """Open a store, or share it where this process has it open; pair with :func:`close_store`.

    Args:
        path: The SQLite file; made if it is not there.

    Returns:
        The store.

    Raises:
        StoreUnusable: Another process holds the store, or the file is not one.
    """
    path = path.resolve()
    with _opening:
        store, users = _open.get(path, (None, 0))
        store = store or ResponseStore(path)
        _open[path] = (store, users + 1)
        return store


def close_store(store: ResponseStore) -> None:
    """Give a store back; the last user closes it."""
    with _opening:
        _, users = _open[store.path]
        if users > 1:
            _open[store.path] = (store, users - 1)
            return
        del _open[store.path]
        store.close()
