"""Buying replies: what is sent when and where, retries and commits, on an event loop in a thread of its own.

Orders wait in one heap by the time at which they are due; a retry is an order due later, so it neither holds a place
while it waits nor goes to the end. The thread makes it work below Jupyter, which has a loop running already.
"""

import asyncio
import gc
import heapq
import logging
import math
import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import orjson

from clarilm_kedro.chat.client import Attempt
from clarilm_kedro.chat.errors import StoreUnusable
from clarilm_kedro.chat.lane import Lane, choose
from clarilm_kedro.chat.ledger import LedgerEntry, LedgerOutcome, StoredResponse
from clarilm_kedro.chat.orders import Delivery, Order, prompt_bytes, room, stored_response
from clarilm_kedro.chat.outcomes import ACTIONS, Action
from clarilm_kedro.chat.prices import Price
from clarilm_kedro.chat.store import ResponseStore
from clarilm_kedro.chat.types import Kind
from clarilm_kedro.chat.usage import BYTES_PER_TOKEN, FIRST_GUESS_TOKENS, Usage, estimate_tokens, read_usage

logger = logging.getLogger(__name__)

_LONGEST_BACKOFF = 30.0
_GROWTH = 4
_DRAIN_SECONDS = 60.0
# Requests turned away by a rate limit are not the row's fault, but a limit that never lifts must end somewhere.
_MOST_THROTTLED = 50
# Weight of the newest reply in running means of reply lengths.
_WEIGHT = 0.05
# Between two looks at a budget of which another model's requests hold the rest.
_BUDGET_SECONDS = 0.2
# More at once would come back at once too, and the thread would be idle between two bursts.
_MOST_AT_ONCE = 32
# New objects after which Python looks for cycles among them, while requests are sent (its own setting is 700). One on
# its way is hundreds of objects and no cycle; looking took a tenth of the time.
_NEW_OBJECTS = 5_000


class _Job:
    """An order on its way to its delivery."""

    __slots__ = ("bytes", "endpoint", "kinds", "order", "reached", "seconds")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.bytes = prompt_bytes(order.body)
        self.kinds: list[Kind] = []
        self.seconds: list[float] = []
        self.reached = False
        self.endpoint = ""

    def delivery(self, kind: Kind, detail: str = "", usage: Usage | None = None, cost: float | None = None) -> Delivery:
        kinds, seconds = tuple(self.kinds), tuple(self.seconds)
        reached = self.reached or not kinds
        return Delivery(self.order.key, kind, detail, kinds, seconds, reached, self.endpoint, usage or Usage(), cost)


@dataclass(frozen=True, slots=True)
class RunnerOptions:
    """How orders are worked off.

    Attributes:
        max_attempts: Requests per order; those that a rate limit turned away do not count.
        first_pause: Seconds before the second attempt; see :func:`pause`.
        longest_pause: Seconds that a server may ask for at most.
        price: What tokens cost, for the ledger and the budget.
        budget_usd: US dollars that all models of the store may spend until it is closed.
    """

    max_attempts: int
    first_pause: float
    longest_pause: float
    price: Price | None = None
    budget_usd: float | None = None


class Runner:
    """Works off orders.

    Args:
        connect: Makes the endpoints; called on the runner's own loop.
        store: Where attempts are entered before they are made, and replies committed before they are delivered.
        options: Attempts, pauses, money.
    """

    def __init__(self, connect: Callable[[], Sequence[Lane]], store: ResponseStore, options: RunnerOptions) -> None:
        self._connect = connect
        self._store = store
        self._options = options
        self._deliveries: queue.SimpleQueue[list[Delivery] | BaseException] = queue.SimpleQueue()
        self._received: deque[Delivery] = deque()
        self._submitted: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._due: list[tuple[float, int, _Job]] = []
        self._number = 0
        self._told = False
        self._requests: set[asyncio.Task[None]] = set()
        self._commits: set[asyncio.Task[None]] = set()
        self._ended: list[tuple[LedgerOutcome, StoredResponse | None, Delivery | None]] = []
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._wake: asyncio.Event
        self._stopping = False
        self._lanes: Sequence[Lane] = ()
        self._bytes_per_token = BYTES_PER_TOKEN
        self._reply_tokens: float | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="chat-runner", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure:
            raise self._failure

    def submit(self, order: Order) -> None:
        """Take an order; it waits for its turn."""
        self._submitted.put(order)
        if not self._told:
            self._told = True
            self._call(self._wake.set)

    def next(self) -> Delivery:
        """Wait for an order to end.

        Returns:
            The next delivery, in the order they end.

        Raises:
            StoreUnusable: The reply could not be stored.
        """
        while not self._received:
            delivered = self._deliveries.get()
            if isinstance(delivered, BaseException):
                raise delivered
            self._received.extend(delivered)
        return self._received.popleft()

    def close(self) -> None:
        """End: nothing is sent any more, what is on its way is awaited and stored, then the thread ends."""
        self._call(self._stop)
        if self._requests:
            logger.info("Waiting up to %g s for %d requests on their way.", _DRAIN_SECONDS, len(self._requests))
        try:
            self._thread.join(_DRAIN_SECONDS)
        finally:
            if self._thread.is_alive():
                self._call(self._abandon)
                self._thread.join(5)

    def _call(self, function: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed already where the thread failed
            self._loop.call_soon_threadsafe(function)

    def _stop(self) -> None:
        self._stopping = True
        self._wake.set()

    def _abandon(self) -> None:
        for task in self._requests:
            task.cancel()

    def _run(self) -> None:
        before = gc.get_threshold()
        if 0 < before[0] < _NEW_OBJECTS:
            gc.set_threshold(_NEW_OBJECTS, *before[1:])
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._failure = error
            self._deliveries.put(error)
            self._ready.set()
        finally:
            gc.set_threshold(*before)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        async with AsyncExitStack() as stack:
            self._lanes = self._connect()
            for lane in self._lanes:
                await stack.enter_async_context(lane.client)
            self._ready.set()
            try:
                await self._work()
            except StoreUnusable as error:
                self._deliveries.put(error)
            self._hand_over()
            while left := self._requests | self._commits:
                await asyncio.wait(left)

    async def _work(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self._take_submitted()
            wait = await self._send_what_is_due()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    def _take_submitted(self) -> None:
        now = time.monotonic()
        self._told = False
        with suppress(queue.Empty):
            while True:
                self._queue(_Job(self._submitted.get_nowait()), now)

    def _queue(self, job: _Job, due: float) -> None:
        self._number += 1
        heapq.heappush(self._due, (due, self._number, job))

    async def _send_what_is_due(self) -> float | None:
        """Send what may be sent now; say how many seconds later there may be more, None: when something comes back."""
        chosen: list[tuple[_Job, Lane, int, float]] = []
        held: list[tuple[float, int, _Job]] = []
        wait = math.inf
        budget = self._store.budget
        now = time.monotonic()
        while self._due and len(chosen) < _MOST_AT_ONCE:
            due, _, job = self._due[0]
            if due > now:
                wait = min(wait, due - now)
                break
            lane, free_at = choose(self._lanes, now, job.endpoint)
            if lane is None:
                wait = min(wait, free_at - now)
                if choose(self._lanes, now)[0] is None:
                    break
                # It waits for another endpoint than the one that failed it; those behind it need not.
                held.append(heapq.heappop(self._due))
                continue
            most = self._most(job)
            if not budget.reserve(most, self._options.budget_usd):
                if budget.on_their_way:
                    # Requests mostly cost less than was set aside for them, so there may be more when they are back.
                    wait = min(wait, _BUDGET_SECONDS)
                    break
                detail = f"${budget.spent:.2f} of the budget of ${self._options.budget_usd:g} are spent, and the next"
                self._deliveries.put([job.delivery(Kind.BUDGET, f"{detail} request may cost ${most:.4f}.")])
                heapq.heappop(self._due)
                continue
            heapq.heappop(self._due)
            tokens = self._estimate(job)
            lane.sent(tokens, now)
            chosen.append((job, lane, tokens, most))
        for item in held:
            heapq.heappush(self._due, item)
        if chosen:
            await self._begin(chosen)
        if len(chosen) == _MOST_AT_ONCE:
            return 0.0
        return None if math.isinf(wait) else wait

    async def _begin(self, chosen: list[tuple[_Job, Lane, int, float]]) -> None:
        self._hand_over()  # first, so that the ledger never has more without an outcome than may be on their way
        attempts = [(job.order.key, job.order.stage, job.order.body["model"], lane.name) for job, lane, *_ in chosen]
        entries, written = self._store.begin(attempts)
        try:
            # Waited for: an attempt that the ledger does not know cannot be told after a crash.
            await asyncio.wrap_future(written)
        except StoreUnusable:
            for *_, reserved in chosen:
                self._store.budget.settle(reserved, 0.0)
            raise
        for entry, (job, lane, tokens, reserved) in zip(entries, chosen, strict=True):
            self._start(self._requests, self._attempt(entry, job, lane, tokens, reserved))

    def _start(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        self._commits.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._stop()  # a reply that cannot be kept is the last to be paid for
            self._deliveries.put(error)

    async def _attempt(self, entry: LedgerEntry, job: _Job, lane: Lane, tokens: int, reserved: float) -> None:
        sent_at = time.monotonic()
        usage, cost = Usage(), 0.0
        attempt = None
        try:
            attempt = await lane.client.attempt(job.order.body)
            if attempt.completion is not None:
                usage = read_usage(attempt.completion, job.bytes)
                cost = self._money(usage)
                self._learn(job, usage)
        finally:
            now = time.monotonic()
            told = attempt or Attempt(Kind.TIMEOUT, "Given up while draining.")
            used = usage.prompt + usage.completion
            lane.came_back(told, sent_at=sent_at, now=now, tokens=used - tokens)
            self._store.budget.settle(reserved, cost)
        job.kinds.append(attempt.kind)
        job.seconds.append(now - sent_at)
        job.reached = job.reached or attempt.connected
        job.endpoint = lane.name
        outcome = LedgerOutcome(entry.id, attempt.kind, now - sent_at, usage, cost if self._options.price else None)
        reply = _response(job.order, attempt, usage) if attempt.kind is Kind.OK else None
        delivery = None
        if attempt.kind is Kind.OK:
            delivery = job.delivery(Kind.OK, "", usage, outcome.cost_usd)
        elif self._may_retry(job, attempt) and not self._stopping:
            self._queue(job, now + self._pause(job, attempt))
        else:
            delivery = job.delivery(attempt.kind, attempt.detail)
        self._ended.append((outcome, reply, delivery))
        if len(self._ended) == 1:
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Give the store what has ended in this turn of the loop: threads that wake each other per reply are slow."""
        ended, self._ended = self._ended, []
        if ended:
            written = self._store.end([(outcome, reply) for outcome, reply, _ in ended])
            delivered = [delivery for *_, delivery in ended if delivery]
            self._start(self._commits, self._deliver(delivered, asyncio.wrap_future(written)))

    async def _deliver(self, delivered: list[Delivery], written: asyncio.Future[None]) -> None:
        await written
        self._deliveries.put(delivered)
        self._wake.set()

    def _may_retry(self, job: _Job, attempt: Attempt) -> bool:
        if ACTIONS[attempt.kind] is not Action.RETRY:
            return False
        throttled = job.kinds.count(Kind.RATE_LIMIT)
        return throttled < _MOST_THROTTLED and len(job.kinds) - throttled < self._options.max_attempts

    def _pause(self, job: _Job, attempt: Attempt) -> float:
        if attempt.kind is Kind.RATE_LIMIT:
            return 0.0  # the endpoint is paused as a whole
        failures = sum(kind is not Kind.RATE_LIMIT for kind in job.kinds)
        wanted = min(attempt.retry_after or 0.0, self._options.longest_pause)
        return pause(wanted, failures, self._options.first_pause)

    def _estimate(self, job: _Job) -> int:
        """Tokens of prompt and reply that are to be expected."""
        return estimate_tokens(job.bytes, self._bytes_per_token) + self._usual_reply(job)

    def _usual_reply(self, job: _Job) -> int:
        most = room(job.order.body)
        usual = self._reply_tokens or float(most or FIRST_GUESS_TOKENS)
        return round(min(usual, most) if most else usual)

    def _most(self, job: _Job) -> float:
        """US dollars that a request can cost: a token has a byte at least, and a reply fills its room at most."""
        if self._options.price is None:
            return 0.0
        body = job.order.body
        return self._money(Usage(len(orjson.dumps(body)), completion=room(body) or self._usual_reply(job)))

    def _learn(self, job: _Job, usage: Usage) -> None:
        if usage.estimated:
            return
        ratio = job.bytes / max(1, usage.prompt)
        self._bytes_per_token += _WEIGHT * (ratio - self._bytes_per_token)
        before = usage.completion if self._reply_tokens is None else self._reply_tokens
        self._reply_tokens = before + _WEIGHT * (usage.completion - before)

    def _money(self, usage: Usage) -> float:
        return self._options.price.cost(usage) if self._options.price else 0.0


def pause(retry_after: float, number: int, first_pause: float) -> float:
    """Say how long a request waits after a failed attempt.

    Args:
        retry_after: Seconds the server asked for.
        number: Attempts made so far, from 1.
        first_pause: Seconds after the first attempt.

    Returns:
        Seconds: four times as long after each attempt, up to 30, less up to a quarter at random so that requests which
        failed together do not come back together; never less than the server asked for.
    """
    backoff = min(_LONGEST_BACKOFF, first_pause * _GROWTH ** (number - 1)) * (1 - 0.25 * random.random())
    return max(backoff, retry_after)


def _response(order: Order, attempt: Attempt, usage: Usage) -> StoredResponse:
    return stored_response(order.key, order.body["model"], order.stage, order.prompt_sha, attempt, usage)
