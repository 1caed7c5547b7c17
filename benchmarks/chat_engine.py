"""How fast the chat engine asks, and what it costs in CPU and memory: ours, curator and the bare client library.

A server on this machine answers every request after 200 ms (``chat_engine_server.py``), so no more than five requests a
second for each in flight are possible. The same prompts, 2.1 kB a request and 1.9 kB an answer, go through each
program, always in a process of its own:

- ours: the project's engine with a response store, taking the replies as text or validating them against a schema
  (``chat_engine_ours.py``);
- curator: bespokelabs-curator, the closest other tool, with its cache, in a virtual environment made here from pinned
  versions (``chat_engine_curator.py``, ``chat_engine_curator.lock``);
- the bare client: AsyncOpenAI with asyncio.gather and a semaphore, without store or retries (``chat_engine_raw.py``).

Then ours and curator are asked for the same once more, which takes no request, and ours for more rows, to show that its
memory does not grow with them. That the server was asked as often as there are rows is checked each time. Imports are
not in the figures, but told apart as start-up.

    python benchmarks/chat_engine.py --venvs ~/.cache/benchmarks
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from machine import describe_machine
from measure import Step, measure
from peers import install_peer

HERE = Path(__file__).parent
PACKAGES = ("openai", "aiohttp", "httpx2", "pydantic")
LATENCY = 0.2
LOCK = HERE / "chat_engine_curator.lock"
TEXT, SCHEMA, CURATOR, RAW = "ours, text", "ours, schema", "curator", "bare client"
AGAIN = ", again"
#: Curator asks once, without a prompt, for the limits in the server's headers.
PROBES = {CURATOR: 1}


@dataclass(frozen=True)
class Run:
    """A program at work.

    Attributes:
        program: Its name.
        calls: Rows.
        in_flight: Requests at a time.
        start_up: What Python and the imports took.
        step: What the calls took.
        requests: Requests that the server counted.
        server: Seconds of CPU that the server took for them.
        load: Load average of the machine before it.
    """

    program: str
    calls: int
    in_flight: int
    start_up: Step
    step: Step
    requests: int
    server: float
    load: float

    @property
    def per_second(self) -> float:
        """Rows per second of wall clock."""
        return self.calls / self.step.wall

    @property
    def cpu(self) -> float:
        """Milliseconds of CPU a row."""
        return self.step.cpu / self.calls * 1e3


class Server:
    """The server's process, and what it has counted.

    Args:
        process: The process, started.
        port: Where it listens.
    """

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._process = psutil.Process(process.pid)

    def requests(self) -> int:
        """Completions asked for so far."""
        with urllib.request.urlopen(self.url) as answer:
            return int(json.load(answer))

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        times = self._process.cpu_times()
        return times.user + times.system


@contextmanager
def serving() -> Iterator[Server]:
    """Run the server in a process of its own."""
    command = [sys.executable, str(HERE / "chat_engine_server.py"), str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Server(process, int(process.stdout.readline()))
        finally:
            process.terminate()


def command_of(program: str, url: str, store: Path, calls: int, in_flight: int, *, again: bool) -> tuple[str, ...]:
    """Give the script of a program and its arguments."""
    numbers = (str(calls), str(in_flight))
    source = "store" if again else "net"
    if program == RAW:
        return "chat_engine_raw.py", url, *numbers
    if program == CURATOR:
        return "chat_engine_curator.py", url, str(store / "curator"), *numbers, source
    kind = "schema" if program == SCHEMA else "text"
    return "chat_engine_ours.py", url, str(store / "responses.sqlite"), *numbers, kind, source


def run(
    server: Server, program: str, store: Path, calls: int, in_flight: int, *, python: str, again: bool = False
) -> Run:
    """Measure a program once.

    Args:
        server: Whom it asks.
        program: Its name.
        store: Folder for its store.
        calls: Rows.
        in_flight: Requests at a time.
        python: The interpreter.
        again: It has been asked for these rows before, so nothing should be sent.

    Returns:
        What it took.

    Raises:
        SystemExit: It sent fewer or more requests than there are rows.
    """
    script, *arguments = command_of(program, server.url, store, calls, in_flight, again=again)
    requests, cpu, load = server.requests(), server.cpu(), os.getloadavg()[0]
    start_up, step = measure(HERE / script, *arguments, python=python)
    requests, cpu = server.requests() - requests, server.cpu() - cpu
    wanted = PROBES.get(program, 0) + (0 if again else calls)
    if requests != wanted:
        raise SystemExit(f"{program}: the server counted {requests} requests, not {wanted}")
    found = Run(program + (AGAIN if again else ""), calls, in_flight, start_up, step, requests, cpu, load)
    print(f"  {found.program}: {found.per_second:.0f} rows/s, {found.cpu:.2f} ms of CPU a row", flush=True)
    return found


def report(runs: Sequence[Run], missing: str | None) -> Iterator[str]:
    """Put the measurements into Markdown.

    Args:
        runs: What :func:`run` gave.
        missing: Why curator is not among them.

    Yields:
        Lines.
    """
    pins = [line.strip() for line in LOCK.read_text(encoding="utf-8").splitlines()]
    theirs = ", ".join(pin.replace("==", " ") for pin in pins if pin.startswith(("bespokelabs-curator=", "aiohttp=")))
    yield f"Machine: {describe_machine(PACKAGES)}; curator: {theirs}"
    yield ""
    yield "| rows | in flight | program | rows/s | CPU ms a row | peak MB | start-up s | requests | server ms | load |"
    yield "|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|"
    for each in runs:
        served = f"{each.server / each.requests * 1e3:.2f}" if each.requests > 1 else ""
        taken = f"{each.per_second:,.0f} | {each.cpu:.2f} | {each.step.peak / 1e6:.0f} | {each.start_up.wall:.1f}"
        head = f"| {each.calls:,} | {each.in_flight} | {each.program} "
        yield f"{head}| {taken} | {each.requests:,} | {served} | {each.load:.1f} |"
    yield ""
    if missing:
        yield f"**Curator is missing: {missing}**"
    found = {(each.program, each.calls, each.in_flight): each for each in runs}
    for (program, calls, in_flight), theirs_run in found.items():
        if program == CURATOR:
            ours = found[TEXT, calls, in_flight]
            faster, cheaper = ours.per_second / theirs_run.per_second, ours.cpu / theirs_run.cpu
            told = f"{faster:.2f} times curator's rows/s, {cheaper:.2f} times its CPU a row"
            yield f"{calls:,} rows, {in_flight} in flight: ours (text) has {told}."


def main() -> None:
    """Install curator, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--venvs", type=Path, required=True, help="folder for curator's virtual environment, kept")
    parser.add_argument("--calls", type=int, nargs="+", default=[2_000, 20_000], help="rows for every program")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 256], help="requests at a time")
    parser.add_argument("--more-calls", type=int, default=100_000, help="rows for ours alone, then from its store")
    given = parser.parse_args()
    pythons = {TEXT: sys.executable, SCHEMA: sys.executable, RAW: sys.executable}
    missing = None
    try:
        pythons[CURATOR] = str(install_peer(given.venvs / "curator", LOCK))
    except subprocess.CalledProcessError as error:
        missing = f"its installation failed with status {error.returncode}, and why is on the error output"
    most = max(given.in_flight)
    plan = [(calls, in_flight, pythons) for calls in given.calls for in_flight in given.in_flight]
    plan.append((given.more_calls, most, {SCHEMA: sys.executable}))
    runs = []
    with serving() as server:
        for calls, in_flight, programs in plan:
            print(f"{calls:,} rows, {in_flight} in flight", flush=True)
            for program, python in programs.items():
                with tempfile.TemporaryDirectory(prefix="chat-engine-") as store:
                    asked = (server, program, Path(store), calls, in_flight)
                    runs.append(run(*asked, python=python))
                    if in_flight == most and program != RAW:
                        runs.append(run(*asked, python=python, again=True))
    print("\n" + "\n".join(report(runs, missing)))
    if missing:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
