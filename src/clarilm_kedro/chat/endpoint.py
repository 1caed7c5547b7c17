"""A chat model behind an OpenAI-compatible endpoint: OpenAI, DeepSeek, vLLM, Ollama, llama.cpp, scripted teacher."""

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from functools import cached_property
from typing import Any

from tqdm import tqdm

from clarilm_kedro.chat.batch_api import BatchApi
from clarilm_kedro.chat.batch_local import LocalBatches
from clarilm_kedro.chat.batch_remote import RemoteBatches
from clarilm_kedro.chat.client import EndpointClient, is_loopback
from clarilm_kedro.chat.journal import BatchJournal
from clarilm_kedro.chat.keys import request_key
from clarilm_kedro.chat.lane import Lane
from clarilm_kedro.chat.limits import AdaptiveLimit, TokenBucket
from clarilm_kedro.chat.logprobs import TOP_LOGPROBS
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.chat.prices import Price, read_price
from clarilm_kedro.chat.prompts import well_formed
from clarilm_kedro.chat.runner import Runner, RunnerOptions
from clarilm_kedro.chat.servers import server_url, weights_identity
from clarilm_kedro.chat.signals import ended_by_sigterm
from clarilm_kedro.chat.stats import StageStats
from clarilm_kedro.chat.store import ResponseStore, close_store, open_store
from clarilm_kedro.chat.types import ChatRequest, ChatResult, Message
from clarilm_kedro.chat.window import Rows, Window
from clarilm_kedro.errors import ClarilmError

logger = logging.getLogger(__name__)

# One more line in a log file is worth more than ten a second; a terminal redraws in place.
_LOG_SECONDS = 30.0
_WINDOWS: dict[str, type[Rows]] = {"live": Window, "batch": RemoteBatches, "batch_files": LocalBatches}


class ChatEndpoint:
    """Answers requests from the response store, and buys from the endpoint what is not there.

    Nothing happens before the first request: then the store is opened, and at the first request that the store cannot
    answer the server is started (where the project starts it) and the endpoint contacted. A store that holds every
    reply therefore needs neither endpoint nor key.

    Args:
        options: The endpoint and how to ask it.
        api_key: Its key; endpoints on this machine need none.
        first_pause: Seconds before a second attempt; see :func:`clarilm_kedro.chat.runner.pause`.
    """

    def __init__(self, options: ChatEndpointOptions, api_key: str | None = None, *, first_pause: float = 0.1) -> None:
        self.name = options.model
        self.options = options
        self.stats: dict[str, StageStats] = {}
        self.first_pause = first_pause
        self._api_key = api_key
        self._store: ResponseStore | None = None
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        return f"ChatEndpoint({self.name!r} at {self.options.base_url or self.options.server!r})"

    @property
    def places(self) -> int:
        """Requests on their way at a time, over all endpoints, where no rate limit lowers it."""
        return self.options.concurrency * (1 if self.options.server else len(self.addresses()))

    @cached_property
    def price(self) -> Price | None:
        """What the model costs, where that is known.

        Raises:
            ClarilmError: There is a budget but no price to hold it against.
        """
        options = self.options
        price = read_price(options.prices, options.model) if options.prices else None
        if price is None and options.budget_usd is not None:
            table = f"{options.prices} has no entry for it" if options.prices else "`prices` names no table"
            raise ClarilmError(
                f"The chat model '{self.name}' has a budget of ${options.budget_usd:g} but no price: {table}. Add one "
                "(US dollars per million tokens: input, output, date, source), or set budget_usd to null."
            )
        return price

    @cached_property
    def _weights(self) -> str | None:
        return weights_identity(self.options.server) if self.options.server else None

    def complete(self, requests: Iterable[ChatRequest], *, stage: str) -> Iterator[ChatResult]:
        """Answer requests.

        Requests are drawn only as places become free (two rows in work per place), so memory does not grow with their
        number. Requests with the same key are sent once. A reply that is not of the shape asked for is asked for once
        more, with the error; one that was cut off, once more with twice the room. Interrupted (Ctrl-C, SIGTERM, or the
        iterator closed), no more is sent and what is on its way is stored.

        In the batch modes all rows are walked over, round by round, and what is missing is bought in batches; see
        :mod:`clarilm_kedro.chat.batch`. An iterator is drawn into a list first.

        Args:
            requests: The rows.
            stage: Name for the store, the progress bar and the statistics.

        Yields:
            One result per request, in the order they are ready; replies to be had from the store come at once.

        Raises:
            EndpointUnreachable: A request met no server in any of its attempts.
            EndpointRefused: The endpoint rejects the key or does not know the model, or the account is empty.
            BudgetExceeded: The next request might cost more than is left.
            BatchPending: The requests are in files that the user must run (mode ``batch_files``).
            MissingOffline: A reply is missing, and the endpoint may not be asked.
            StoreUnusable: The response store is in use elsewhere or cannot be written.
            ClarilmError: A remote endpoint has no key, a server cannot be started, or a budget has no price.
        """
        store = self._open()
        stats = self.stats.setdefault(stage, StageStats(self.name, stage))
        window = _WINDOWS[self.options.mode](self, store, stage, stats)
        started = time.monotonic()
        try:
            with ended_by_sigterm(), _progress_bar(self.name, stage, requests) as bar:
                for result in window.results(requests):
                    stats.rows += 1
                    stats.store_hits += result.source == "store"
                    stats.failures += result.status == "failed"
                    bar.set_postfix_str(self._postfix(stats), refresh=False)
                    bar.update()
                    yield result
        finally:
            window.close()
            stats.seconds += time.monotonic() - started

    def close(self) -> None:
        """Give the store back; the next request opens it again."""
        with self._opening:
            if self._store:
                close_store(self._store)
                self._store = None

    def body(self, messages: Sequence[Message], request: ChatRequest, max_tokens: int | None) -> dict[str, Any]:
        """Build the JSON body of a request.

        Args:
            messages: The request's messages, or those of its second asking.
            request: The request.
            max_tokens: Room for the reply; ``None`` leaves it to the endpoint.

        Returns:
            The body as it is sent and hashed.
        """
        options = self.options
        fields = {
            "temperature": options.temperature,
            "top_p": options.top_p,
            "max_tokens": max_tokens,
            "seed": None if options.seed is None else options.seed + request.sample_index,
            "response_format": self._response_format(request),
        }
        return {
            "model": options.model,
            "messages": [{"role": message.role, "content": well_formed(message.content)} for message in messages],
            **{name: value for name, value in fields.items() if value is not None},
            **({"logprobs": True, "top_logprobs": TOP_LOGPROBS} if options.logprobs and request.logprobs else {}),
            **options.extra_body,
        }

    def key(self, body: dict[str, Any], request: ChatRequest) -> str:
        """Name a body; see :func:`clarilm_kedro.chat.keys.request_key`."""
        return request_key(body, sample_index=request.sample_index, weights=self._weights)

    def runner(self, store: ResponseStore) -> Runner:
        """Reach for the endpoint: check its key, start its server, open a runner.

        Args:
            store: Where replies go.

        Returns:
            A runner, to be closed by the caller.

        Raises:
            ClarilmError: A remote endpoint has no key, a server cannot be started, or a budget has no price.
        """
        options, price = self.options, self.price
        urls = self._addresses_with_key()
        for url in urls:
            if pending := BatchJournal(store, f"{url} ({RemoteBatches.way})", options.model).unfinished():
                logger.warning(
                    "%d batches of '%s' are on their way at %s. What they answer is bought again here: set mode: batch "
                    "to collect them.",
                    len(pending),
                    self.name,
                    url,
                )
        return Runner(
            lambda: [self._lane(url) for url in urls],
            store,
            RunnerOptions(options.max_attempts, self.first_pause, options.longest_pause, price, options.budget_usd),
        )

    def batch_api(self) -> BatchApi:
        """Reach for the endpoint's Batch API.

        Returns:
            A client, to be closed by the caller.

        Raises:
            ClarilmError: A remote endpoint has no key, or a budget has no price.
        """
        options = self.options
        (url,) = self._addresses_with_key()
        return BatchApi(
            url,
            self._api_key,
            timeout=options.timeout,
            max_attempts=options.max_attempts,
            first_pause=self.first_pause,
            longest_pause=options.longest_pause,
        )

    def _addresses_with_key(self) -> tuple[str, ...]:
        urls = self.addresses()
        remote = next((url for url in urls if not is_loopback(url)), None)
        if remote and not self._api_key:
            raise ClarilmError(
                f"The chat model '{self.name}' at {remote} needs an API key and has none. Name a credentials entry in "
                "its settings (`credentials: openai`) and give the key in the environment variable <NAME>_API_KEY "
                "(OPENAI_API_KEY for openai) or as api_key of that entry in conf/local/credentials.yml. A server that "
                "asks for no key takes any text."
            )
        return urls

    def _lane(self, url: str) -> Lane:
        options = self.options
        return Lane(
            name=url,
            client=EndpointClient(url, self._api_key, timeout=options.timeout, concurrency=options.concurrency),
            at_a_time=AdaptiveLimit(options.concurrency),
            requests=TokenBucket(options.rpm),
            tokens=TokenBucket(options.tpm),
            # Two seconds, as rate controllers take, at the usual first pause.
            default_pause=20 * self.first_pause,
            longest_pause=options.longest_pause,
        )

    def addresses(self) -> tuple[str, ...]:
        """Give the endpoint's addresses; starts the server where the project runs it."""
        if self.options.server:
            return (server_url(self.options.server),)
        given = self.options.base_url or ()
        return (given,) if isinstance(given, str) else given

    def _response_format(self, request: ChatRequest) -> dict[str, Any] | None:
        if request.response is None or self.options.structured == "none":
            return None
        if self.options.structured == "json_object":
            return {"type": "json_object"}
        return request.response.bounded_format(self.options.max_string, self.options.max_items)

    def _open(self) -> ResponseStore:
        with self._opening:
            if self._store is None:
                self._store = open_store(self.options.store)
            return self._store

    def _postfix(self, stats: StageStats) -> str:
        spent = f", ${stats.cost_usd:.2f}" if stats.cost_usd else ""
        return f"stored {stats.store_hits}, tokens {stats.prompt_tokens}+{stats.completion_tokens}{spent}"


def _progress_bar(name: str, stage: str, requests: Iterable[ChatRequest]) -> "tqdm[Any]":
    return tqdm(
        total=len(requests) if isinstance(requests, Sized) else None,
        desc=f"{stage} ({name})",
        unit="row",
        mininterval=0.2 if sys.stderr.isatty() else _LOG_SECONDS,
    )
