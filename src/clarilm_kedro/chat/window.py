"""The rows of a stage that are in work: from a request to its result, over the store, a purchase, a second asking."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clarilm_kedro.chat.errors import BudgetExceeded, EndpointRefused, EndpointUnreachable, MissingOffline
from clarilm_kedro.chat.orders import Delivery, Order
from clarilm_kedro.chat.outcomes import ACTIONS, ADVICE, Action
from clarilm_kedro.chat.parse import InvalidReplyError, Reply, parse_reply, read_reply, strip_fence
from clarilm_kedro.chat.prompts import neutralise
from clarilm_kedro.chat.runner import Runner
from clarilm_kedro.chat.stats import StageStats
from clarilm_kedro.chat.store import ResponseStore
from clarilm_kedro.chat.types import ChatRequest, ChatResult, Kind, Message

if TYPE_CHECKING:
    from clarilm_kedro.chat.endpoint import ChatEndpoint

_ASK_AGAIN = (
    "Your reply cannot be used. {error}\n"
    "Send the whole reply again, as JSON of the required shape and nothing else: no explanation, no code fence."
)
_GROWTH = 2
# Rows that wait for a second attempt must not keep the endpoint idle, so more are in work than requests on their way.
_ROWS_PER_PLACE = 2


@dataclass(frozen=True, slots=True)
class Row:
    """A request on its way: what is asked now, and what that has taken so far."""

    request: ChatRequest
    messages: tuple[Message, ...]
    max_tokens: int | None
    body: dict[str, Any]
    key: str
    asked_again: bool = False
    grown: bool = False
    earlier: tuple[str, ...] = ()
    attempts: int = 0
    cost_usd: float | None = None


class Rows(ABC):
    """One call of :meth:`clarilm_kedro.chat.endpoint.ChatEndpoint.complete`, however replies are bought.

    Args:
        model: Builds bodies and keys, and reaches for the endpoint at the first request that the store cannot answer.
        store: Replies that are there.
        stage: Name of the stage.
        stats: Counted into.
    """

    def __init__(self, model: "ChatEndpoint", store: ResponseStore, stage: str, stats: StageStats) -> None:
        self._model = model
        self._store = store
        self._stage = stage
        self._stats = stats
        self._undelivered: dict[str, Delivery] = {}

    @abstractmethod
    def results(self, requests: Iterable[ChatRequest]) -> Iterator[ChatResult]:
        """Answer requests; see :meth:`clarilm_kedro.chat.endpoint.ChatEndpoint.complete`."""

    @abstractmethod
    def close(self) -> None:
        """End; what is on its way is stored."""

    @abstractmethod
    def _buy(self, row: Row) -> None:
        """See that the reply of a row is bought."""

    def _met_invalid(self, row: Row) -> None:
        """Count an invalid reply, if it was bought in this call."""
        self._stats.invalid += row.attempts > 0

    def _row(self, request: ChatRequest) -> Row:
        max_tokens = request.max_tokens or self._model.options.max_tokens
        body = self._model.body(request.messages, request, max_tokens)
        return Row(request, request.messages, max_tokens, body, self._model.key(body, request))

    def _changed(self, row: Row, messages: tuple[Message, ...], max_tokens: int | None) -> Row:
        body = self._model.body(messages, row.request, max_tokens)
        key = self._model.key(body, row.request)
        earlier = (*row.earlier, row.key)
        return replace(row, messages=messages, max_tokens=max_tokens, body=body, key=key, earlier=earlier)

    def _again(self, row: Row, reply: Reply, error: InvalidReplyError) -> Row:
        # The reply may quote log text, which must not gain a role by being sent back.
        said = Message("assistant", neutralise(reply.text))
        told = Message("user", neutralise(_ASK_AGAIN.format(error=error)))
        return replace(self._changed(row, (*row.messages, said, told), row.max_tokens), asked_again=True)

    def _advance(self, row: Row) -> ChatResult | None:
        """Take a row as far as the store reaches: to its result, or to an order for what is missing."""
        if undelivered := self._undelivered.get(row.key):
            return self._failed(row, undelivered.kind, undelivered.detail)
        body = self._store.get(row.key)
        if body is not None:
            return self._read(row, read_reply(body))
        if self._model.options.offline:
            raise MissingOffline(
                f"The response store {self._store.path} holds no reply for row {row.request.row_id} of stage "
                f"{self._stage}, and offline is set for the chat model '{self._model.name}'. Unset it to buy what is "
                "missing."
            )
        self._buy(row)
        return None

    def _read(self, row: Row, reply: Reply) -> ChatResult | None:
        if reply.kind is Kind.TRUNCATED and not row.request.whole:
            return self._answered(row, reply, reply.text, None)
        if ACTIONS[reply.kind] is Action.GROW and row.max_tokens and not row.grown:
            return self._advance(replace(self._changed(row, row.messages, row.max_tokens * _GROWTH), grown=True))
        if reply.kind is not Kind.OK:
            return self._failed(row, reply.kind, reply.error or "", reply)
        schema = row.request.response
        if schema is None:
            return self._answered(row, reply, reply.text, None)
        try:
            return self._answered(row, reply, strip_fence(reply.text), parse_reply(reply.text, schema.model))
        except InvalidReplyError as error:
            self._met_invalid(row)
            if row.asked_again or ACTIONS[error.kind] is not Action.ASK_AGAIN:
                return self._failed(row, error.kind, str(error), reply)
            return self._advance(self._again(row, reply, error))

    def _raise_if_hopeless(self, delivery: Delivery) -> None:
        where = f"{delivery.endpoint} (chat model '{self._model.name}', stage {self._stage})"
        kept = f" Replies received so far are kept in {self._store.path}; the next run goes on from there."
        if not delivery.reached:
            raise EndpointUnreachable(
                f"No server answers at {where}: {delivery.detail} "
                f"in each of {delivery.attempts} attempts. Start the server or correct base_url." + kept
            )
        if delivery.kind is Kind.BUDGET:
            name = self._model.name
            raise BudgetExceeded(
                f"Stage {self._stage} (chat model '{name}') stops: {delivery.detail} {ADVICE[Kind.BUDGET]}" + kept
            )
        if ACTIONS[delivery.kind] is Action.FAIL_RUN:
            raise EndpointRefused(
                f"No request is answered at {where}: {delivery.detail} {ADVICE[delivery.kind]}" + kept
            )

    def _answered(self, row: Row, reply: Reply, text: str, parsed: Any) -> ChatResult:
        return ChatResult(
            row_id=row.request.row_id,
            key=row.key,
            status="ok",
            text=text,
            reasoning=reply.reasoning,
            parsed=parsed,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cost_usd=row.cost_usd,
            served_model=reply.served_model,
            source="net" if row.attempts else "store",
            attempts=row.attempts,
            logprobs=reply.logprobs,
        )

    def _failed(self, row: Row, kind: Kind, error: str, reply: Reply | None = None) -> ChatResult:
        # From the ledger, so that the table of failures is the same when it is made again from the store.
        attempts, cost = self._store.taken_by((*row.earlier, row.key))
        return ChatResult(
            row_id=row.request.row_id,
            key=row.key,
            status="failed",
            text=reply.text if reply else "",
            reasoning=reply.reasoning if reply else None,
            finish_reason=reply.finish_reason if reply else None,
            prompt_tokens=reply.prompt_tokens if reply else None,
            completion_tokens=reply.completion_tokens if reply else None,
            cost_usd=cost,
            served_model=reply.served_model if reply else None,
            source="net" if row.attempts or reply is None else "store",
            attempts=attempts,
            error_kind=kind,
            error=error,
        )


class Window(Rows):
    """Buys replies one by one: rows are drawn only as places become free, so few are in work at a time."""

    def __init__(self, model: "ChatEndpoint", store: ResponseStore, stage: str, stats: StageStats) -> None:
        super().__init__(model, store, stage, stats)
        self._runner: Runner | None = None
        self._waiting: dict[str, list[Row]] = {}
        self._in_work = 0

    def results(self, requests: Iterable[ChatRequest]) -> Iterator[ChatResult]:
        """Answer requests; see :meth:`clarilm_kedro.chat.endpoint.ChatEndpoint.complete`."""
        coming = iter(requests)
        most = self._model.places * _ROWS_PER_PLACE
        while True:
            while self._in_work < most:
                request = next(coming, None)
                if request is None:
                    break
                if result := self._advance(self._row(request)):
                    yield result
            if self._runner is None or not self._waiting:
                return
            for row in self._receive(self._runner.next()):
                if result := self._advance(row):
                    yield result

    def close(self) -> None:
        """End the runner; what is on its way is stored."""
        if self._runner:
            self._runner.close()

    def _buy(self, row: Row) -> None:
        self._in_work += 1
        if row.key in self._waiting:
            self._waiting[row.key].append(row)
            return
        if self._runner is None:
            self._runner = self._model.runner(self._store)
        self._waiting[row.key] = [row]
        self._runner.submit(Order(row.key, row.body, self._stage, row.request.prompt_sha))

    def _receive(self, delivery: Delivery) -> list[Row]:
        first, *others = self._waiting.pop(delivery.key)
        self._in_work -= 1 + len(others)
        count(delivery, self._stats)
        if delivery.kind is not Kind.OK:
            self._raise_if_hopeless(delivery)
            self._undelivered[delivery.key] = delivery
        cost = first.cost_usd
        if delivery.cost_usd is not None:
            cost = (cost or 0.0) + delivery.cost_usd
        return [replace(first, attempts=first.attempts + delivery.attempts, cost_usd=cost), *others]


def count(delivery: Delivery, stats: StageStats) -> None:
    """Count a delivery into the statistics of its stage."""
    usage = delivery.usage
    stats.requests_sent += delivery.attempts
    stats.kinds.update(map(str, delivery.kinds))
    for seconds in delivery.seconds:
        stats.latencies.add(seconds)
    stats.prompt_tokens += usage.prompt
    stats.cached_tokens += usage.cached
    stats.completion_tokens += usage.completion
    stats.reasoning_tokens += usage.reasoning
    stats.cost_usd += delivery.cost_usd or 0.0
