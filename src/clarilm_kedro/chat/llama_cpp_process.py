"""The process of a llama.cpp server: settings come in on a line, its address goes out, and it ends with its input."""

import json
import os
import signal
import socket
import sys

_HOST = "127.0.0.1"


def main() -> None:
    """Serve until the standard input ends: when the parent closes it, or is no more."""
    # Ctrl-C goes to the whole group, and the parent still waits for replies that are on their way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = json.loads(sys.stdin.readline())
    # The pipe carries the address alone; whatever llama.cpp prints belongs into the log.
    pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["gguf"]
    if settings["lora"]:
        adapter = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = settings["lora"], 1.0
        params.lora_adapters = [adapter]
    params.n_ctx = settings["n_ctx"]
    params.n_parallel = settings["slots"]
    params.cpuparams.n_threads = settings["threads"]
    params.hostnames = [_HOST]
    params.port = _free_port()
    server = xllamacpp.Server(params)
    with os.fdopen(pipe, "w") as parent:
        parent.write(f"{server.listening_address}\n")
    sys.stdin.read()
    # Not by the ordinary way: the package waits for connections that clients keep open.
    os._exit(0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
