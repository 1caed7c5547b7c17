"""A run without a network: refused and recorded within Python, taken away from a whole process where Linux allows."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HERE = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", "", None}
_watching: list[list[str]] = []
_installed: list[bool] = []

#: In an own network namespace there is nothing but loopback, which has to be brought up.
_NAMESPACE = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


@contextmanager
def only_loopback() -> Iterator[list[str]]:
    """Refuse every connection and look-up of a name beyond loopback in this process and those it forks.

    Python's audit events are raised by the socket module itself, whichever library calls it. Native code that opens
    sockets of its own is not seen; for that there is :func:`without_network`.

    Yields:
        What was tried, such as ``socket.connect example.org``.
    """
    if not _installed:
        sys.addaudithook(_audit)  # for good: Python offers no way to take it off
        _installed.append(True)
    tried: list[str] = []
    _watching.append(tried)
    try:
        yield tried
    finally:
        _watching.remove(tried)


def without_network() -> list[str] | None:
    """Give the start of a command that runs without any network but loopback, or None where that is not allowed."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return None
    probe = (
        "import errno, socket, sys\n"
        "try: socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as error: sys.exit(error.errno != errno.ENETUNREACH)\n"
        "sys.exit(1)\n"
    )
    done = subprocess.run([*_NAMESPACE, sys.executable, "-c", probe], capture_output=True, check=False)
    return None if done.returncode else _NAMESPACE


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if not _watching or not event.startswith("socket."):
        return
    host: Any = None
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        host = address[0] if isinstance(address, tuple) else None  # else a Unix socket, or connected before
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0].decode() if isinstance(args[0], bytes) else args[0]
    if host not in _HERE:
        _watching[-1].append(f"{event} {host}")
        raise PermissionError(f"{event} {host}: this run may reach nothing beyond loopback")
