"""An OpenAI-compatible server on loopback that misbehaves as told. Raw sockets, so that nothing is repaired."""

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

BLANK_LINE_SECONDS = 0.05


@dataclass(frozen=True)
class Act:
    """What the server does with one request."""

    body: bytes | None = None  # None: answer "echo: <last message>"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fault: Literal["none", "reset", "truncate", "stall", "blank_lines", "garbage"] = "none"
    delay: float = 0.0


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    number: int  # from 0, over all requests
    repeat: int  # from 0, over requests with the same body
    body: dict[str, Any]
    headers: dict[str, str]
    at: float  # on the monotonic clock

    @property
    def last(self) -> str:
        return str(self.body["messages"][-1]["content"])


Script = Callable[[Seen], Act] | Sequence[Act]


def completion(content: str | None, *, finish_reason: str = "stop", usage: bool = True, **message: Any) -> bytes:
    """Body of a chat completion; further arguments go into its message."""
    reply: dict[str, Any] = {
        "id": "c-1",
        "object": "chat.completion",
        "model": "served-model-1",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, **message},
            }
        ],
    }
    if usage:
        reply["usage"] = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return json.dumps(reply).encode()


def says(content: str | None, **options: Any) -> Act:
    """Act that answers with a chat completion."""
    return Act(completion(content, **options))


def fails(status: int, message: str = "no", code: str | None = None, **headers: str) -> Act:
    """Act that answers with an error body as OpenAI sends it; `retry_after="1"` becomes a header."""
    body = json.dumps({"error": {"message": message, "code": code, "type": "t"}}).encode()
    return Act(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def storm(seed: int, *, delay: float = 0.0, retry_after: str | None = "0.02") -> Script:
    """Script of an endpoint in trouble: 5 % 500, 5 % 429, 2 % resets, 2 % cut bodies, the same ones for a seed."""
    limited = fails(429) if retry_after is None else fails(429, retry_after=retry_after)
    troubles = [
        (0.05, replace(fails(500), delay=delay)),
        (0.05, replace(limited, delay=delay)),
        (0.02, Act(fault="reset", delay=delay)),
        (0.02, Act(fault="truncate", delay=delay)),
    ]

    def script(seen: Seen) -> Act:
        draw = random.Random(f"{seed} {seen.last} {seen.repeat}").random()
        for share, act in troubles:
            draw -= share
            if draw < 0:
                return act
        return Act(delay=delay)

    return script


class FaultServer:
    """The server; `with FaultServer(script) as server`. Requests beyond a scripted list are answered."""

    def __init__(self, script: Script = ()) -> None:
        self.script = script
        self.seen: list[Seen] = []
        self.most_at_once = 0
        self.at_once = 0
        self._repeats: Counter[str] = Counter()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> Counter[str]:
        """Requests by their last message."""
        return Counter(seen.last for seen in self.seen)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = self._loop.create_task(self._serve(reader, writer))
        self._handlers.add(handler)
        handler.add_done_callback(self._handlers.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:]) if name}
        raw = await reader.readexactly(int(headers["content-length"]))
        seen = Seen(len(self.seen), self._repeats[raw.decode()], json.loads(raw), headers, time.monotonic())
        self._repeats[raw.decode()] += 1
        self.seen.append(seen)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._act(self._choose(seen), seen, writer)
        finally:
            self.at_once -= 1

    def _choose(self, seen: Seen) -> Act:
        if callable(self.script):
            return self.script(seen)
        return self.script[seen.number] if seen.number < len(self.script) else Act()

    async def _act(self, act: Act, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(act.delay)
        body = completion(f"echo: {seen.last}") if act.body is None else act.body
        if act.fault == "reset":
            writer.transport.abort()
            return False
        if act.fault == "garbage":
            writer.write(b"this is no HTTP\r\n\r\n")
            return False
        extra = "".join(f"{name}: {value}\r\n" for name, value in act.headers.items())
        length = len(body) + (10**6 if act.fault in ("stall", "blank_lines") else 0)
        writer.write(f"HTTP/1.1 {act.status} X\r\nContent-Length: {length}\r\n{extra}\r\n".encode())
        if act.fault in ("truncate", "stall"):
            writer.write(body[: len(body) // 2])
            await writer.drain()
            if act.fault == "stall":
                await asyncio.sleep(3600)
            return False
        while act.fault == "blank_lines":
            writer.write(b"\n")
            await writer.drain()
            await asyncio.sleep(BLANK_LINE_SECONDS)
        writer.write(body)
        await writer.drain()
        return True
