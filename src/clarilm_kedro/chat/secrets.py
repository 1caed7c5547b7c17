"""The API key goes to its endpoint and nowhere else: it is cut out of what comes back and out of what is logged."""

import logging
from typing import Final

# Shorter texts are placeholders, and cutting them out of replies would damage those.
_SHORTEST_SECRET = 8
_CUT_OUT = "***"
# Who logs what a server sends: openai the header x-request-id, httpcore2 all headers, aiohttp broken answers.
_LIBRARIES: Final = frozenset({"openai", "httpx2", "httpcore2", "aiohttp", "asyncio"})

_secrets: set[str] = set()


def secret_in(api_key: str | None) -> str | None:
    """Give what must be cut out of everything that comes back: the key, unless it is only a placeholder."""
    return api_key if api_key and len(api_key) >= _SHORTEST_SECRET else None


def without_secret(body: bytes, secret: str | None) -> bytes:
    """Cut a secret out of what came back."""
    return body.replace(secret.encode(), _CUT_OUT.encode()) if secret else body


class SecretFilter(logging.Filter):
    """Cuts the keys named to :func:`keep_out_of_logs` out of log records, whatever their level; drops none.

    A filter of a logger does not see the records of the loggers below it, so it is put on each logger of the libraries,
    and on the handlers that write what all loggers say. (Kedro lets no logging configuration name a filter's class.)
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record that holds a key; see :meth:`logging.Filter.filter`."""
        try:
            message = record.getMessage()
        except Exception:  # a record that cannot be written is for its handler to complain about
            return True
        if message != (cut := _cut(message)):
            record.msg, record.args = cut, None
        if record.exc_info:
            told = record.exc_text or logging.Formatter().formatException(record.exc_info)
            if told != (cut := _cut(told)):
                record.exc_info, record.exc_text = None, cut
        for name, value in vars(record).items():
            if isinstance(value, str):
                setattr(record, name, _cut(value))
        return True


_filter = SecretFilter()


def keep_out_of_logs(secret: str | None) -> None:
    """Cut a secret out of everything that the HTTP libraries log, and that the root's handlers write, from now on.

    Args:
        secret: The secret; ``None`` is none.
    """
    if secret is None:
        return
    _secrets.add(secret)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _LIBRARIES:
            logging.getLogger(name).addFilter(_filter)
    for handler in logging.root.handlers:
        handler.addFilter(_filter)


def _cut(text: str) -> str:
    for secret in _secrets:
        text = text.replace(secret, _CUT_OUT)
    return text
