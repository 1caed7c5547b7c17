"""Reaching MLflow's store: quickly or not at all, and with a sentence when it cannot be reached."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from clarilm_kedro.errors import ClarilmError

# MLflow's own are 7 tries of up to 120 s each: right for a training under way, not for an address that was mistyped.
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "15"}


@contextmanager
def reaching(store: str) -> Iterator[None]:
    """Let MLflow give up after seconds in here, and say so.

    Args:
        store: Address of the store.

    Raises:
        ClarilmError: The store cannot be used; what MLflow raised is its cause.
    """
    before = {name: os.environ.get(name) for name in _QUICK}
    os.environ.update({name: value for name, value in _QUICK.items() if before[name] is None})
    try:
        if on_this_machine(store):
            _open_file(store)
        yield
    except ClarilmError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        raise ClarilmError(
            f"MLflow cannot use its store at {without_password(store)}: {without_password(said)[:300]} Nothing was "
            "run. Start the server or mend the address (the global tracking, in conf/*/globals.yml), or run without "
            "tracking: --params tracking=false"
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def without_password(text: str) -> str:
    """Leave the user and password out of every address in a text."""
    words = text.split(" ")
    return " ".join(_without_user(word) if "://" in word and "@" in word else word for word in words)


def _without_user(address: str) -> str:
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def on_this_machine(store: str) -> bool:
    """Whether the store is a database file here, and no server."""
    return urlsplit(store).scheme == "sqlite"


def _open_file(store: str) -> None:
    """Open the database once: MLflow tries a file that cannot be opened for a minute and a half."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA schema_version")


def experiment_options(config: dict[str, Any], store: str) -> dict[str, Any]:
    """Give the options for making an experiment: a server knows itself where it keeps files.

    Args:
        config: ``tracking.experiment`` of mlflow.yml.
        store: Address of the store.

    Returns:
        The options; without the local folder where the store is a server.
    """
    options = dict(config.get("create_experiment_kwargs") or {})
    location = str(options.get("artifact_location") or "")
    if not on_this_machine(store) and "://" not in location and not os.path.isabs(location):
        options.pop("artifact_location", None)
    return options
