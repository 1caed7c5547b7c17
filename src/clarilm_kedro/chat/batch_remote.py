"""Batches at a provider: made, awaited and collected over the Batch API."""

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from clarilm_kedro.chat.batch import BatchRows
from clarilm_kedro.chat.batch_api import BatchApi, BatchUnreachable
from clarilm_kedro.chat.batch_files import read_requests
from clarilm_kedro.chat.client import Attempt
from clarilm_kedro.chat.errors import EndpointRefused
from clarilm_kedro.chat.journal import Shard, State
from clarilm_kedro.chat.orders import Delivery
from clarilm_kedro.chat.stats import StageStats
from clarilm_kedro.chat.store import ResponseStore
from clarilm_kedro.chat.types import Kind

if TYPE_CHECKING:
    from openai.types import Batch

    from clarilm_kedro.chat.endpoint import ChatEndpoint

logger = logging.getLogger(__name__)

_LOG_SECONDS = 30.0
# A provider that is out of reach for less than this costs nothing but time, and batches go on without being looked at.
_PATIENCE_SECONDS = 3600.0
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
# The account has as many tokens in batches as it may have; the batch can be made when others have ended.
_FULL = "token_limit_exceeded"
_MISSING = {
    "expired": Attempt(Kind.TIMEOUT, "The batch expired before this request was answered."),
    "cancelled": Attempt(Kind.TIMEOUT, "The batch was cancelled before this request was answered."),
}
_NO_ANSWER = Attempt(Kind.SERVER, "The batch ended without an answer to this request.")


class RemoteBatches(BatchRows):
    """A call in the mode ``batch``."""

    way = "batch"
    answers_stay = False

    def __init__(self, model: "ChatEndpoint", store: ResponseStore, stage: str, stats: StageStats) -> None:
        super().__init__(model, store, stage, stats)
        self._opened: BatchApi | None = None
        self._reserved: dict[str, float] = {}
        self._turned_away: list[tuple[Shard, str]] = []
        self._refused: str | None = None
        self._late: dict[str, float] = {}

    def close(self) -> None:
        """Close the connections and delete the spool; batches on their way go on."""
        super().close()
        # What is set aside for good would let nobody else buy, and a later run sets nothing aside for these batches.
        while self._reserved:
            _, reserved = self._reserved.popitem()
            self._store.budget.settle(reserved, 0.0)
        if self._opened:
            self._opened.close()

    @property
    def _api(self) -> BatchApi:
        if self._opened is None:
            self._opened = self._model.batch_api()
        return self._opened

    def _owes(self) -> bool:
        return bool(self._journal.unfinished())

    def _round(self, owed: bool) -> None:
        self._received = 0
        over_budget = None
        with self._told_when_interrupted():
            if owed or self._owes():
                self._find_lost()
            else:
                over_budget = self._create()
            self._await()
            self._judge_turned_away()
            for ending in (self._hopeless, over_budget):
                if ending:
                    self._raise_if_hopeless(ending)
            if self._refused:
                raise EndpointRefused(self._refused)
            if not self._received:
                # Everything failed: what is tried again should find something changed.
                time.sleep(self._model.options.batch_poll_seconds)

    def _create(self) -> Delivery | None:
        for cut_file in self._cuts():
            reserved = self._reserve(cut_file)
            if isinstance(reserved, Delivery):
                cut_file.path.unlink()
                if self._reserved:
                    logger.warning("%s The batches made so far are awaited first.", reserved.detail)
                return reserved
            # Under the name of the content until the shard has one, so that it is given back whatever happens.
            self._reserved[cut_file.content_sha] = reserved
            shard = self._journalled(cut_file)
            self._reserved[shard.sha] = self._reserved.pop(cut_file.content_sha)
            file_id = self._api.upload(self._requests_of(shard.sha))
            shard = self._journal.update(replace(shard, file_id=file_id))
            batch_id = self._api.create(file_id, shard.sha)
            self._journal.update(replace(shard, batch_id=batch_id, state=State.CREATED))
            logger.info("Batch %s: %d requests for stage %s.", batch_id, shard.n_requests, shard.stage)
        return None

    def _find_lost(self) -> None:
        """Find the batches whose making was interrupted; a shard without one was never paid for and is forgotten."""
        lost = {shard.sha: shard for shard in self._journal.unfinished() if shard.state is State.WRITTEN}
        found = self._api.find(lost.keys()) if lost else {}
        for sha, shard in lost.items():
            if sha in found:
                logger.info("Batch %s of an interrupted run is found again.", found[sha])
                self._journal.update(replace(shard, batch_id=found[sha], state=State.CREATED))
            else:
                self._journal.remove(shard)
                self._requests_of(sha).unlink(missing_ok=True)
                if shard.file_id:
                    self._api.delete(shard.file_id)

    def _await(self) -> None:
        waiting = {shard.sha: shard for shard in self._journal.unfinished()}
        seen = dict.fromkeys(waiting, (0, "created"))
        answered_at = time.monotonic()
        with _progress_bar(self._model.name, self._stage, waiting.values()) as bar:
            while waiting:
                for shard in list(waiting.values()):
                    try:
                        batch, ended = self._look(shard)
                    except BatchUnreachable as error:
                        if time.monotonic() - answered_at > _PATIENCE_SECONDS:
                            raise
                        logger.warning("%s Batches go on without being looked at; it is tried again.", error)
                        continue
                    answered_at = time.monotonic()
                    done = batch.request_counts
                    seen[shard.sha] = (done.completed + done.failed if done else 0, batch.status)
                    if ended:
                        del waiting[shard.sha]
                bar.n = sum(number for number, _ in seen.values())
                states = Counter(state for _, state in seen.values())
                bar.set_postfix_str(", ".join(f"{number} {state}" for state, number in sorted(states.items())))
                if waiting:
                    time.sleep(self._model.options.batch_poll_seconds)

    def _look(self, shard: Shard) -> "tuple[Batch, bool]":
        """Look at a batch, and collect it if it has ended; say so."""
        try:
            batch = self._api.look(shard.batch_id or "")
            ended = self._has_ended(batch)
            if ended:
                self._collect(shard, batch)
        except EndpointRefused as error:
            raise EndpointRefused(
                f"{error} The journal of {self._store.path} expects batch {shard.batch_id} there. If it is gone for "
                f"good: sqlite3 {self._store.path} \"delete from batches where batch_id = '{shard.batch_id}'\""
            ) from None
        return batch, ended

    def _has_ended(self, batch: "Batch") -> bool:
        if batch.status not in _ENDED:
            return False
        if batch.request_counts and batch.request_counts.completed and not batch.output_file_id:
            # To go on without would be to buy every one of them again.
            now = time.monotonic()
            if now - self._late.setdefault(batch.id, now) > _PATIENCE_SECONDS:
                raise EndpointRefused(
                    f"{self._url} says that batch {batch.id} is {batch.status}, and gives no answers."
                )
            logger.warning("Batch %s is %s, and its answers are not there yet.", batch.id, batch.status)
            return False
        return True

    def _collect(self, shard: Shard, batch: "Batch") -> None:
        if batch.status == "failed":
            self._turn_away(shard, batch)
            return
        paths = []
        for name, file_id in (("out", batch.output_file_id), ("errors", batch.error_file_id)):
            if file_id:
                paths.append(self._folder / f"{shard.sha}.{name}.jsonl")
                self._folder.mkdir(parents=True, exist_ok=True)
                self._api.download(file_id, paths[-1])
        try:
            self._read_in(shard, paths, self._api.secret, _MISSING.get(batch.status, _NO_ANSWER))
        finally:
            self._give_back(shard)
        for path in paths:
            path.unlink()
        self._api.delete(batch.input_file_id)
        if batch.status == "cancelled":
            self._refused = (
                f"Batch {batch.id} was cancelled at {self._url}. What it had answered is in {self._store.path}; the "
                "next run asks for the rest."
            )

    def _give_back(self, shard: Shard) -> None:
        # Nothing is set aside for batches of an earlier run.
        if (reserved := self._reserved.pop(shard.sha, None)) is not None:
            self._store.budget.settle(reserved, 0.0)

    def _turn_away(self, shard: Shard, batch: "Batch") -> None:
        errors = (batch.errors.data if batch.errors else None) or []
        said = "; ".join(error.message or error.code or "" for error in errors[:3]) or "no explanation"
        said = said.replace(self._api.secret, "***") if self._api.secret else said
        self._give_back(shard)
        shard = self._journal.update(replace(shard, state=State.FAILED))
        self._api.delete(batch.input_file_id)
        if any(error.code == _FULL for error in errors):
            self._turned_away.append((shard, said))
        else:
            self._requests_of(shard.sha).unlink(missing_ok=True)
            self._refused = (
                f"{self._url} takes no request of batch {batch.id} (stage {shard.stage}): {said.rstrip('.')}."
            )

    def _judge_turned_away(self) -> None:
        """Count an attempt of the requests that found the account full, unless others went through meanwhile."""
        for shard, said in self._turned_away:
            requests = self._requests_of(shard.sha)
            if not self._received and requests.exists():
                detail = f"{said.rstrip('.')}. A smaller batch_max_requests makes smaller batches."
                asked = read_requests(requests)
                self._enter(shard, [(key, Attempt(Kind.RATE_LIMIT, detail)) for key in sorted(asked)], asked)
            requests.unlink(missing_ok=True)
        self._turned_away.clear()

    @contextmanager
    def _told_when_interrupted(self) -> Iterator[None]:
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            on_their_way = [shard for shard in self._journal.unfinished() if shard.batch_id]
            logger.warning(
                "Interrupted. %d batches with %d requests go on at %s; nothing of them is lost, and the next run of "
                "the same command collects them before it buys anything.",
                len(on_their_way),
                sum(shard.n_requests for shard in on_their_way),
                self._url,
            )
            raise


def _progress_bar(name: str, stage: str, shards: Iterable[Shard]) -> "tqdm[Any]":
    return tqdm(
        total=sum(shard.n_requests for shard in shards),
        desc=f"{stage} ({name}), batches",
        unit="request",
        leave=False,
        mininterval=0.2 if sys.stderr.isatty() else _LOG_SECONDS,
    )
