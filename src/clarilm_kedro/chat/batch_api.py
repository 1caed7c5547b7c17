"""The Batch API of OpenAI: files up, batches made and looked at, answers down. Passing troubles are waited out."""

import logging
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from clarilm_kedro.chat.batch_files import URL
from clarilm_kedro.chat.client import NO_KEY, Attempt, is_loopback, read_refusal
from clarilm_kedro.chat.errors import EndpointRefused, EndpointUnreachable
from clarilm_kedro.chat.outcomes import ACTIONS, ADVICE, Action
from clarilm_kedro.chat.runner import pause
from clarilm_kedro.chat.secrets import keep_out_of_logs, secret_in, without_secret
from clarilm_kedro.chat.types import Kind

if TYPE_CHECKING:
    from openai.types import Batch

logger = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_PAGE = 100
#: Name of the metadata by which a batch is known again.
SHARD_SHA = "shard_sha"

Answer = TypeVar("Answer")


class BatchUnreachable(EndpointUnreachable):
    """A passing trouble with the Batch API that did not pass in a few attempts."""


class BatchApi:
    """Speaks to the Batch API.

    Args:
        base_url: Address up to and including ``/v1``.
        api_key: Sent as bearer token; cut out of everything that comes back.
        timeout: Seconds without a byte after which a call is given up.
        max_attempts: Attempts per call.
        first_pause: Seconds before a second attempt; see :func:`clarilm_kedro.chat.runner.pause`.
        longest_pause: Seconds that a Retry-After may ask for.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        timeout: float,
        max_attempts: int,
        first_pause: float,
        longest_pause: float,
    ) -> None:
        import httpx2
        from openai import DefaultHttpx2Client, OpenAI

        self.base_url = base_url
        self.secret = secret_in(api_key)
        self._max_attempts = max_attempts
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._openai = OpenAI(
            base_url=base_url,
            api_key=api_key or NO_KEY,
            # A batch made twice is paid for twice, so nothing is sent again that this class has not looked after.
            max_retries=0,
            timeout=httpx2.Timeout(timeout, connect=min(_CONNECT_SECONDS, timeout / 2)),
            http_client=DefaultHttpx2Client(trust_env=not is_loopback(base_url)),
        )
        keep_out_of_logs(self.secret)

    def close(self) -> None:
        """Close the connections."""
        self._openai.close()

    def upload(self, path: Path) -> str:
        """Upload a file of requests.

        Args:
            path: The file.

        Returns:
            The provider's name for it.
        """

        def send() -> str:
            with path.open("rb") as file:
                return _named(self._openai.files.create(file=(path.name, file), purpose="batch").id)

        return self._call("the upload of a batch file", send)

    def create(self, file_id: str, sha: str) -> str:
        """Make a batch, once: where an answer is lost, the batch is looked for before another one is made.

        Args:
            file_id: The file of requests.
            sha: The shard's; the batch carries it as metadata.

        Returns:
            The provider's name for the batch.
        """
        sent = False

        def make() -> str:
            nonlocal sent
            if sent and (found := self._find({sha})):
                return found[sha]
            sent = True
            batch = self._openai.batches.create(
                input_file_id=file_id, endpoint=URL, completion_window="24h", metadata={SHARD_SHA: sha}
            )
            return _named(batch.id)

        return self._call("the creation of a batch", make)

    def find(self, shas: Collection[str]) -> dict[str, str]:
        """Look for batches by their metadata.

        Args:
            shas: Of their shards.

        Returns:
            Names of the batches that there are, by shard.
        """
        return self._call("the list of batches", lambda: self._find(shas))

    def look(self, batch_id: str) -> "Batch":
        """Look at a batch."""

        def retrieve() -> "Batch":
            batch = self._openai.batches.retrieve(batch_id)
            _named(batch.id), _named(batch.status)
            return batch

        return self._call(f"batch {batch_id}", retrieve)

    def download(self, file_id: str, path: Path) -> None:
        """Download a file of answers; it is there whole or not at all.

        Args:
            file_id: The provider's name for it.
            path: Where it goes.
        """
        part = path.with_name(f"{path.name}.part")

        def fetch() -> None:
            with self._openai.files.with_streaming_response.content(file_id) as response:
                response.stream_to_file(part)

        self._call(f"the answer file {file_id}", fetch)
        os.replace(part, path)

    def delete(self, file_id: str) -> None:
        """Delete a file at the provider, who need not keep what was asked; one that cannot be deleted stays there."""
        try:
            self._openai.files.delete(file_id)
        except Exception as error:  # whatever it is: the answers are stored, and nothing depends on it
            logger.info("The file %s stays at %s: %s.", file_id, self.base_url, type(error).__name__)

    def _find(self, shas: Collection[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for page in self._openai.batches.list(limit=_PAGE).iter_pages():
            # The client library takes a page without a list for an empty one, and a batch not found is made again.
            if not isinstance(page.data, list):
                raise ValueError("no list")
            for batch in page.data:
                sha = (batch.metadata or {}).get(SHARD_SHA)
                if sha is not None and sha in shas:
                    found.setdefault(sha, _named(batch.id))
            if len(found) == len(shas):
                break
        return found

    def _call(self, what: str, call: Callable[[], Answer]) -> Answer:
        import httpx2
        from openai import APIConnectionError, APIStatusError

        number = 0
        while True:
            number += 1
            try:
                return call()
            except APIStatusError as error:
                content = without_secret(error.response.content, self.secret)
                attempt = read_refusal(error.status_code, content, error.response.headers)

            # A download that breaks off is an error of the transport, which the client library lets through.
            except (APIConnectionError, httpx2.RequestError) as error:
                attempt = self._no_answer(error)
            # What the client library makes of a page or of JSON without the fields it looks for.
            except (AttributeError, TypeError, ValueError):
                attempt = Attempt(Kind.NOT_JSON, "Something else than was asked for came back.")
            if ACTIONS[attempt.kind] is not Action.RETRY:
                raise EndpointRefused(
                    f"{self.base_url} refuses {what}: {attempt.detail}{_advice(attempt.kind)}"
                ) from None
            if number >= self._max_attempts:
                said = f"{self.base_url} does not answer for {what}: {attempt.detail} in each of {number} attempts."
                raise BatchUnreachable(said) from None
            wanted = min(attempt.retry_after or 0.0, self._longest_pause)
            time.sleep(pause(wanted, number, self._first_pause))

    def _no_answer(self, error: Exception) -> Attempt:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        said = without_secret(" ".join(str(cause).split()).encode(), self.secret).decode()
        return Attempt(Kind.CONNECTION, f"{type(cause).__name__}: {said.rstrip('.')}.")


def _named(value: object) -> str:
    """Give a text that an answer must hold: the client library makes objects of answers without it, too."""
    if not isinstance(value, str) or not value:
        raise ValueError("nothing by that name")
    return value


def _advice(kind: Kind) -> str:
    if kind is Kind.NOT_FOUND:
        return " Servers without a Batch API are asked with mode: live, vLLM also with mode: batch_files."
    return f" {ADVICE[kind]}" if kind in ADVICE else ""
