"""Wall time, CPU time and peak memory of the steps of a process, taken from outside it and from within."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Seconds between two looks at the memory.
_EVERY = 0.05
_MARK = "measured:"
START_UP = "start-up"


@dataclass(frozen=True)
class Step:
    """What a step took.

    Attributes:
        name: Its name.
        wall: Seconds of wall clock.
        cpu: Seconds of CPU, user and system, of the process and of those it started.
        peak: Largest resident memory of the process tree in bytes; pages that processes share count in each.
    """

    name: str
    wall: float
    cpu: float
    peak: int


@contextmanager
def step(name: str) -> Iterator[None]:
    """Measure a step inside a process that :func:`measure` runs."""
    began, cpu = time.time(), _cpu()
    yield
    record = {"name": name, "began": began, "ended": time.time(), "cpu": _cpu() - cpu, "cpu_before": cpu}
    print(_MARK + json.dumps(record), flush=True)


def measure(script: Path, *arguments: str, python: str = sys.executable) -> list[Step]:
    """Run a script as a process of its own.

    Args:
        script: A Python script that marks what it does with :func:`step`.
        arguments: Its arguments.
        python: The interpreter, that of another virtual environment if need be; psutil must be installed there.

    Returns:
        Its steps in order, and first :data:`START_UP`, everything before the first of them (Python, imports).

    Raises:
        subprocess.CalledProcessError: It failed; what it wrote is on the error output.
    """
    samples: list[tuple[float, int]] = []
    started = time.time()
    process = subprocess.Popen([python, "-W", "ignore", str(script), *arguments], stdout=subprocess.PIPE, text=True)
    tree = psutil.Process(process.pid)
    while process.poll() is None:
        samples.append((time.time(), _memory(tree)))
        time.sleep(_EVERY)
    output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        sys.stderr.write(output)
        raise subprocess.CalledProcessError(process.returncode, script.name)
    records = [json.loads(line.removeprefix(_MARK)) for line in output.splitlines() if line.startswith(_MARK)]
    first = records[0]
    start_up = {"name": START_UP, "began": started, "ended": first["began"], "cpu": first["cpu_before"]}
    return [_step(record, samples) for record in (start_up, *records)]


def total(steps: Sequence[Step], name: str) -> Step:
    """Add steps up."""
    return Step(name, sum(s.wall for s in steps), sum(s.cpu for s in steps), max((s.peak for s in steps), default=0))


def _step(record: dict[str, float], samples: Sequence[tuple[float, int]]) -> Step:
    began, ended = record["began"], record["ended"]
    seen = [memory for at, memory in samples if began - _EVERY <= at <= ended + _EVERY]
    return Step(str(record["name"]), ended - began, record["cpu"], max(seen, default=0))


def _memory(process: psutil.Process) -> int:
    found = 0
    try:
        for each in (process, *process.children(recursive=True)):
            found += each.memory_info().rss
    except psutil.NoSuchProcess:
        pass  # one that ended while it was looked at
    return found


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
