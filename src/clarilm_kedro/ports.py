"""Whether a port of this machine is free: ``python -m clarilm_kedro.ports 5055 "the MLflow UI" mlflow``.

The servers that the Makefile starts say that a port is taken among twenty other lines, or in a traceback.
"""

import socket
import sys


def taken(port: int) -> bool:
    """Whether something listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def main(port: str, what: str, target: str) -> int:
    """Say that a port is taken, if it is.

    Args:
        port: The port.
        what: What was to be served there.
        target: The target of the Makefile that serves it.

    Returns:
        Exit status: 1 if it is taken.
    """
    if not taken(int(port)):
        return 0
    variable = f"{target.upper()}_PORT"
    print(  # noqa: T201
        f"Port {port} of 127.0.0.1 is taken: {what} may be running already, see http://127.0.0.1:{port}, or stop what "
        f"runs there, or take another port: make {target} {variable}={int(port) + 1}",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
