"""A chat completions server on this machine that answers every request alike after a while: one process.

It understands as much HTTP/1.1 as the clients speak (a head, ``Content-Length``, keep-alive), because on two cores a
server with a framework would take the time that is to be measured. It prints its port; ``GET`` gives the number of
completions asked for so far.

    python benchmarks/chat_engine_server.py 0.2
"""

import asyncio
import json
import sys
from functools import partial

QUESTIONS = [
    "What should the garden be for above all: growing food, sitting outside in the evening, a place where children "
    "can play, or something to look at from the kitchen while it rains, and does everybody in the house agree on "
    "that?",
    "How many hours a week can you give to it from April to October, and is there anybody in the house or next door"
    " who would help with the digging and the carrying when it comes to that?",
    "Which of the things that are there now do you want to keep in any case, apart from the walnut tree, and which "
    "of them would you be glad never to see again?",
    "Roughly how large is the plot, and how much of it lies in the shade of the tree, of the wall or of the house "
    "at noon in the middle of June, and again early in March?",
    "Is there a sum that the first year must not exceed, with tools, plants, paving, a water butt and perhaps a day"
    " of somebody who brings a small digger all included?",
    "Have you looked at the soil yet? One spade's depth of it, wet or dry, black or yellow, with worms or without, "
    "tells you more than any map of the region, and takes five minutes.",
    "Does the ivy also grow on walls or roofs that have to be repaired before the winter, or may it stay for now "
    "where it does no harm and hides what is behind it?",
    "By when would you like to see something for your work: a few beds this summer, or is a plan that unfolds over "
    "three or four years, with a sketch for each of them, just as welcome?",
]
COMPLETION = {
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "benchmark",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": json.dumps({"questions": QUESTIONS}), "refusal": None},
        }
    ],
    "usage": {"prompt_tokens": 480, "completion_tokens": 360, "total_tokens": 840},
}
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Server:
    """Counts what its connections are asked.

    Args:
        latency: Seconds from a request to its answer.
    """

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.completions = 0
        self.completion = _answer(json.dumps(COMPLETION).encode())

    async def serve(self) -> None:
        """Print the port and answer until the process is ended."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(partial(_Connection, self), "127.0.0.1", 0, backlog=512)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(_END_OF_HEAD)) >= 0:
            head = self._received[:end].lower()
            at = head.find(_LENGTH)
            length = 0 if at < 0 else int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
            request = end + len(_END_OF_HEAD) + length
            if len(self._received) < request:
                return
            self._received = self._received[request:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"get"):
            self._write(_answer(json.dumps(self._server.completions).encode()))
            return
        self._server.completions += 1
        asyncio.get_running_loop().call_later(self._server.latency, self._write, self._server.completion)

    def _write(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


if __name__ == "__main__":
    asyncio.run(Server(float(sys.argv[1])).serve())
