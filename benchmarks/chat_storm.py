"""Time that a troubled endpoint costs: 600 rows with 5 % 500, 5 % 429, 2 % resets and 2 % cut bodies, and without.

Both runs go against the tests' fault server on this machine, which answers after 200 ms.

``python benchmarks/chat_storm.py [--rows 600] [--concurrency 16] [--runs 3] [--retry-after 0.02]``
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from clarilm_kedro.chat.endpoint import ChatEndpoint
from clarilm_kedro.chat.options import ChatEndpointOptions
from clarilm_kedro.chat.types import ChatRequest, Message
from machine import describe_machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "chat"))
from fault_server import Act, FaultServer, Script, storm

LATENCY = 0.2


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--retry-after", default="0.02", help="seconds that a 429 asks for; 'none': it does not say")
    given = parser.parse_args()
    print(describe_machine(["openai", "aiohttp"]) + f"; load {os.getloadavg()[0]:.1f}\n")
    told = f"429s with Retry-After {given.retry_after}"
    print(f"{given.rows} rows, {1000 * LATENCY:.0f} ms a reply, {told}; seconds are medians of {given.runs} runs.\n")
    retry_after = None if given.retry_after == "none" else given.retry_after
    print("| in flight | fault-free s | storm s | ratio | requests in the storm | rows answered |")
    print("|---|---|---|---|---|---|")
    for concurrency in given.concurrency:
        calm, rough = [], []
        for seed in range(given.runs):  # in turns, so that other work on the machine weighs on both
            calm.append(run(lambda _: Act(delay=LATENCY), given.rows, concurrency))
            rough.append(run(storm(seed, delay=LATENCY, retry_after=retry_after), given.rows, concurrency))
        before, after = (statistics.median(seconds for seconds, *_ in runs) for runs in (calm, rough))
        requests = statistics.median(requests for _, requests, _ in rough)
        answered = min(answered for *_, answered in rough)
        print(
            f"| {concurrency} | {before:.1f} | {after:.1f} | {after / before:.2f} | {requests} | {answered} |",
            flush=True,
        )


def run(script: Script, rows: int, concurrency: int) -> tuple[float, int, int]:
    """Ask for rows.

    Returns:
        Seconds, requests that the server saw, rows answered.
    """
    requests = [ChatRequest(str(number), (Message("user", f"row {number}"),)) for number in range(rows)]
    with FaultServer(script) as server, tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "responses.sqlite"
        options = ChatEndpointOptions(model="m", base_url=server.url, store=store, concurrency=concurrency)
        model = ChatEndpoint(options)
        started = time.monotonic()
        answered = sum(result.status == "ok" for result in model.complete(requests, stage="storm"))
        seconds = time.monotonic() - started
        model.close()
    return seconds, len(server.seen), answered


if __name__ == "__main__":
    main()
