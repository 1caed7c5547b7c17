"""Buying replies in batches, round by round.

A round walks over all rows, spools to disk what the store does not hold, and buys it; the next one finds the replies in
the store, asks a second time where they are invalid, and ends with the results once nothing is left to buy. Batches of
an earlier run are collected before anything new is bought, whatever rows this run asks for.
"""

import hashlib
import logging
import os
import re
import sqlite3
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from clarilm_kedro.chat.batch_files import Answer, Cut, Spool, cut, read_answers, read_requests
from clarilm_kedro.chat.client import Attempt
from clarilm_kedro.chat.errors import StoreUnusable
from clarilm_kedro.chat.journal import BatchJournal, Shard, State
from clarilm_kedro.chat.ledger import Settled
from clarilm_kedro.chat.orders import Delivery, stored_response
from clarilm_kedro.chat.outcomes import ACTIONS, Action
from clarilm_kedro.chat.stats import StageStats
from clarilm_kedro.chat.store import ResponseStore
from clarilm_kedro.chat.types import ChatRequest, ChatResult, Kind
from clarilm_kedro.chat.usage import Usage, read_usage
from clarilm_kedro.chat.window import Row, Rows
from clarilm_kedro.chat.window import count as count_delivery

if TYPE_CHECKING:
    from clarilm_kedro.chat.endpoint import ChatEndpoint

logger = logging.getLogger(__name__)

_FOLDER = "batches"
_ANSWERS_PER_COMMIT = 256
_SHA = re.compile("[0-9a-f]{64}")


class BatchRows(Rows):
    """One call of :meth:`clarilm_kedro.chat.endpoint.ChatEndpoint.complete` in a batch mode.

    Args:
        model: Builds bodies and keys.
        store: Replies that are there, and the journal of batches.
        stage: Name of the stage.
        stats: Counted into.
    """

    #: What the ledger and the journal add to the address.
    way: ClassVar[str]
    #: Whether files of answers are the user's: they stay when they are in the store, and may be written anew.
    answers_stay: ClassVar[bool]

    def __init__(self, model: "ChatEndpoint", store: ResponseStore, stage: str, stats: StageStats) -> None:
        super().__init__(model, store, stage, stats)
        self._url = model.addresses()[0]
        self._folder = store.path.parent / _FOLDER
        self._journal = BatchJournal(store, f"{self._url} ({self.way})", model.options.model)
        self._spool = Spool()
        self._hopeless: Delivery | None = None
        self._received = 0

    def results(self, requests: Iterable[ChatRequest]) -> Iterator[ChatResult]:
        """Answer requests; see :meth:`clarilm_kedro.chat.endpoint.ChatEndpoint.complete`."""
        rows = requests if isinstance(requests, Sequence) else list(requests)
        done = bytearray(len(rows))
        while True:
            self._undelivered = self._journal.failures(self._stage, self._model.options.max_attempts)
            owed = self._owes()
            for number, request in enumerate(rows):
                if done[number]:
                    continue
                if result := self._advance(self._row(request)):
                    done[number] = 1
                    yield result
                elif owed:
                    break
            if not len(self._spool):
                break
            with self._store.buying_batches, self._told_when_the_disk_fails():
                self._round(owed)
            self._spool.clear()
        self._journal.forget_failures(self._stage)

    def close(self) -> None:
        """Delete the spool."""
        self._spool.close()

    @abstractmethod
    def _owes(self) -> bool:
        """Say whether there are answers to collect before anything is bought."""

    @abstractmethod
    def _round(self, owed: bool) -> None:
        """Collect what is owed; if nothing was, buy what the spool holds."""

    def _buy(self, row: Row) -> None:
        with self._told_when_the_disk_fails():
            self._spool.add(row.key, row.body, row.request.prompt_sha)

    @contextmanager
    def _told_when_the_disk_fails(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise StoreUnusable(
                f"The files of batches in {self._folder}, or the one of what is missing in SQLite's folder for "
                f"temporary files, cannot be written or read: {error}. If a disk is full, make room and run again; "
                "everything bought before is kept."
            ) from error

    def _advance(self, row: Row) -> ChatResult | None:
        attempts, paid = self._spool.bought_for(row.key, row.request.row_id)
        if attempts:
            cost = row.cost_usd if paid is None else (row.cost_usd or 0.0) + paid
            row = replace(row, attempts=row.attempts + attempts, cost_usd=cost)
        return super()._advance(row)

    def _met_invalid(self, row: Row) -> None:
        # Every round meets it again.
        self._stats.invalid += self._spool.first_invalid(row.key)

    def _cuts(self) -> Iterator[Cut]:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in (*self._folder.glob("*.part"), *filter(self._is_left_over, self._folder.glob("*.jsonl"))):
            path.unlink()
        options = self._model.options
        return cut(
            self._spool,
            self._folder,
            max_requests=options.batch_max_requests,
            max_bytes=options.batch_max_bytes,
            # Another stage may have bought it while this one waited for its turn.
            wanted=lambda key: self._store.get(key) is None,
        )

    def _is_left_over(self, path: Path) -> bool:
        """Say whether a run that died left a file behind: one of a shard that is over, or that was never journalled."""
        sha, *sort = path.name.split(".")
        if not _SHA.fullmatch(sha):
            return False
        shard = self._journal.find(sha)
        if shard and shard.is_open:
            return False
        of_this_endpoint = shard is not None and shard.endpoint == self._journal.endpoint
        return sort == ["jsonl"] or (of_this_endpoint and not self.answers_stay)

    def _journalled(self, cut_file: Cut) -> Shard:
        """Give a file its name and its row in the journal; one whose answers were all failures gets another name."""
        for number in count():
            content = f"{self._journal.endpoint}\n{number}\n{cut_file.content_sha}"
            sha = hashlib.sha256(content.encode()).hexdigest()
            shard = self._journal.find(sha)
            if shard is None or shard.is_open:
                break
        os.replace(cut_file.path, self._requests_of(sha))
        if shard is None:
            shard = Shard(
                sha,
                self._journal.endpoint,
                self._journal.model,
                self._stage,
                cut_file.n_requests,
                prompt_sha=cut_file.prompt_sha,
            )
            self._journal.enter(shard)
        return shard

    def _reserve(self, cut_file: Cut) -> float | Delivery:
        """Set money aside for a whole file; where it is not there, say so."""
        price, limit = self._model.price, self._model.options.budget_usd
        estimate = price.cost(cut_file.usage, batch=True) if price else 0.0
        if self._store.budget.reserve(estimate, limit):
            return estimate
        detail = (
            f"${self._store.budget.spent:.2f} of the budget of ${limit:g} are spent, and the next batch of "
            f"{cut_file.n_requests} requests may cost ${estimate:.4f}."
        )
        return Delivery("", Kind.BUDGET, detail, endpoint=self._journal.endpoint)

    def _read_in(self, shard: Shard, paths: Sequence[Path], secret: str | None, missing: Attempt | None) -> Shard:
        """Put the answers of a shard into the store.

        Args:
            shard: The shard; lines that were read before a crash are not entered again.
            paths: Files of answers.
            secret: Cut out of them.
            missing: What became of the requests without an answer; ``None``: an answer may still come.

        Returns:
            The shard as it is now.
        """
        requests = self._requests_of(shard.sha)
        asked = read_requests(requests) if requests.exists() else None
        left = set(asked or ())
        answers: list[tuple[str, Attempt]] = []
        before = lines_read = shard.lines_read
        for answer in read_answers(paths, secret):
            key = answer.key
            foreign = asked is not None and key not in left
            left.discard(key or "")
            if self._was_read(answer, before):
                continue
            lines_read = max(before, answer.number)
            if key is not None and foreign:
                logger.warning("Line %d of the answers to %s is to no open request of it.", lines_read, requests)
            elif key is not None:
                answers.append((key, answer.attempt))
            if len(answers) >= _ANSWERS_PER_COMMIT:
                self._enter(replace(shard, lines_read=lines_read), answers, asked)
                answers = []
        answers += [(key, missing) for key in sorted(left) if missing]
        finished = missing is not None or all(self._store.get(key) is not None for key in left)
        shard = replace(shard, lines_read=lines_read, state=State.COLLECTED if finished else shard.state)
        self._enter(shard, answers, asked)
        if finished:
            requests.unlink(missing_ok=True)
        return shard

    def _was_read(self, answer: Answer, before: int) -> bool:
        """Say whether a line is one of those read before; in a file that was written anew, its number does not tell."""
        if not self.answers_stay or answer.key is None or answer.attempt.kind is not Kind.OK:
            return answer.number <= before
        return self._store.get(answer.key) is not None

    def _enter(self, shard: Shard, answers: Sequence[tuple[str, Attempt]], asked: Mapping[str, int] | None) -> None:
        price = self._model.price
        stats = self._model.stats.setdefault(shard.stage, StageStats(self._model.name, shard.stage))
        settled: list[Settled] = []
        for key, attempt in answers:
            usage, reply = Usage(), None
            if attempt.completion is not None:
                usage = read_usage(attempt.completion, (asked or {}).get(key, 0))
                reply = stored_response(key, shard.model, shard.stage, shard.prompt_sha, attempt, usage)
            cost = price.cost(usage, batch=True) if price else None
            settled.append(Settled(key, shard.stage, shard.model, shard.endpoint, attempt.kind, usage, cost, reply))
        self._journal.record(shard, settled, {key: attempt for key, attempt in answers if attempt.kind is not Kind.OK})
        # What a row cost is not known where it got no reply.
        paid = [entry.cost_usd if entry.response else None for entry in settled]
        self._spool.note_bought([(entry.key, cost) for entry, cost in zip(settled, paid, strict=True)])
        for (key, attempt), entry in zip(answers, settled, strict=True):
            delivery = Delivery(
                key,
                attempt.kind,
                attempt.detail,
                kinds=(attempt.kind,),
                endpoint=shard.endpoint,
                usage=entry.usage,
                cost_usd=entry.cost_usd,
            )
            count_delivery(delivery, stats)
            self._received += attempt.kind is Kind.OK
            self._store.budget.spend(entry.cost_usd or 0.0)
            if ACTIONS[attempt.kind] is Action.FAIL_RUN:
                self._hopeless = self._hopeless or delivery

    def _requests_of(self, sha: str) -> Path:
        return self._folder / f"{sha}.jsonl"
