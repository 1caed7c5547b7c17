"""One attempt at one request: send it, keep the bytes, say what became of it. No retry, no state."""

import asyncio
import ipaddress
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from clarilm_kedro.chat.prompts import well_formed
from clarilm_kedro.chat.secrets import keep_out_of_logs, secret_in, without_secret
from clarilm_kedro.chat.types import Kind

#: The api_key that the client library insists on where a server needs none.
NO_KEY = "none"
_CONNECT_SECONDS = 10.0
_EXCERPT = 300


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one attempt.

    Attributes:
        kind: ``ok`` if the body is a chat completion, whatever it says.
        detail: A sentence where it is not.
        body: The bytes of a chat completion.
        completion: The body, decoded.
        retry_after: Seconds to wait, as the server asked.
        connected: Whether the server was reached at all.
    """

    kind: Kind
    detail: str = ""
    body: bytes = b""
    completion: Mapping[str, Any] | None = None
    retry_after: float | None = None
    connected: bool = True


class EndpointClient:
    """An HTTP client for one endpoint, for use within one event loop (``async with``).

    Args:
        base_url: Address up to and including ``/v1``.
        api_key: Sent as bearer token; cut out of everything that comes back.
        timeout: Seconds of wall clock per attempt.
        concurrency: Connections kept.
    """

    def __init__(self, base_url: str, api_key: str | None, *, timeout: float, concurrency: int) -> None:
        import httpx2
        from openai import AsyncOpenAI, DefaultAioHttpClient

        self._timeout = timeout
        self._secret = secret_in(api_key)
        # The default transport walks its whole pool for every request: with aiohttp a request costs half the time.
        transport = DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
            # A proxy from the environment would be asked for addresses of this machine too.
            trust_env=not is_loopback(base_url),
        )
        self._openai = AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or NO_KEY,
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=min(_CONNECT_SECONDS, timeout / 2)),
            http_client=transport,
        )
        keep_out_of_logs(self._secret)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._openai.close()

    async def attempt(self, body: Mapping[str, Any]) -> Attempt:
        """Send a request once.

        Args:
            body: The JSON body, with ``model`` and ``messages``.

        Returns:
            The outcome; troubles with the endpoint or the connection are outcomes too.
        """
        import aiohttp
        import httpx2
        from openai import APIConnectionError, APIStatusError

        try:
            # Not the client's own timeout: that one starts anew with every byte, and servers send blank lines to keep
            # a connection open.
            async with asyncio.timeout(self._timeout):
                # Not chat.completions.create(): that walks the body along its types, at twice the time of the rest.
                response = await self._openai.post("/chat/completions", body=body, cast_to=httpx2.Response)
                content = response.content
        except TimeoutError:
            return Attempt(Kind.TIMEOUT, f"No complete reply within {self._timeout:g} s.")
        except APIStatusError as error:
            content = self._without_secret(error.response.content)
            return read_refusal(error.status_code, content, error.response.headers)
        except (APIConnectionError, aiohttp.ClientError) as error:
            return self._no_answer(error)
        return read_answer(self._without_secret(content))

    def _no_answer(self, error: BaseException) -> Attempt:
        import aiohttp

        # The aiohttp transport reports refused connections as timeouts, so the causes are looked at instead.
        links = list(_causes(error))
        unreached = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
        connected = not any(isinstance(link, unreached) for link in links)
        cause = next((link for link in links if isinstance(link, aiohttp.ClientError)), links[-1])
        said = str(cause).replace(self._secret, "***") if self._secret else str(cause)
        return Attempt(Kind.CONNECTION, f"{type(cause).__name__}: {' '.join(said.split())}.", connected=connected)

    def _without_secret(self, body: bytes) -> bytes:
        return without_secret(body, self._secret)


def read_answer(body: bytes) -> Attempt:
    """Say what the body of a reply with status 200 is.

    Args:
        body: As received, without secrets.

    Returns:
        ``ok`` for a chat completion, whatever it says.
    """
    try:
        completion = json.loads(body)
    except (ValueError, RecursionError):
        return Attempt(Kind.NOT_JSON, f"The endpoint sent something else than JSON: {_excerpt(body)!r}.")
    if not isinstance(completion, dict):
        return Attempt(Kind.NOT_JSON, f"The endpoint sent no chat completion: {_excerpt(body)!r}.")
    if error := completion.get("error"):
        code = error.get("code") if isinstance(error, dict) else None
        return read_refusal(code if isinstance(code, int) and code >= 400 else 500, body, {})
    choices = completion.get("choices")
    if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
        return Attempt(Kind.NOT_JSON, f"The endpoint sent a chat completion without choices: {_excerpt(body)!r}.")
    # Odd counts and names are passed over; the reply is paid for, and can be used without them.
    if not isinstance(choices[0].get("message") or {}, dict):
        return Attempt(Kind.NOT_JSON, f"The endpoint sent a choice without a message: {_excerpt(body)!r}.")
    return Attempt(Kind.OK, body=body, completion=completion)


def read_refusal(status: int, body: bytes, headers: Mapping[str, str]) -> Attempt:
    """Say what a reply with another status than 200 is.

    Args:
        status: Of HTTP.
        body: As received, without secrets.
        headers: For ``Retry-After``.

    Returns:
        Anything but ``ok``.
    """
    message, code = _error_of(body)
    detail = f"HTTP {status}: {(message or _excerpt(body) or 'no explanation').rstrip('.')}."
    return Attempt(_kind_of(status, code), detail, retry_after=_retry_after(headers))


def is_loopback(base_url: str) -> bool:
    """Tell whether an address is on this machine."""
    host = urlsplit(base_url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kind_of(status: int, code: str) -> Kind:
    if status == 402 or code == "insufficient_quota":
        return Kind.QUOTA  # OpenAI says 429 for an empty account, DeepSeek 402; waiting helps with neither
    if code in ("content_filter", "content_policy_violation"):
        return Kind.CONTENT_FILTER
    named = {401: Kind.AUTH, 403: Kind.AUTH, 404: Kind.NOT_FOUND, 429: Kind.RATE_LIMIT}
    passing = status >= 500 or status in (408, 409, 425)
    return named.get(status, Kind.SERVER if passing else Kind.BAD_REQUEST)


def _error_of(body: bytes) -> tuple[str, str]:
    """Find message and code in an error body; OpenAI, vLLM and llama.cpp nest them, some servers do not."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    error = content.get("error", content) if isinstance(content, dict) else content
    if isinstance(error, dict):
        said = str(error.get("message") or error.get("detail") or "")
        return well_formed(said)[:_EXCERPT], str(error.get("code") or "")
    return well_formed(str(error))[:_EXCERPT], ""


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` (seconds or a date, RFC 9110 section 10.2.3) or ``retry-after-ms``."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return float(milliseconds) / 1000
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        moment = parsedate_to_datetime(value)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (zoned - datetime.now(UTC)).total_seconds())
    except ValueError:
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _excerpt(body: bytes) -> str:
    return body[:_EXCERPT].decode("utf-8", "replace").strip()
