"""OpenAI's /v1/files and /v1/batches on loopback, as its reference describes them, misbehaving as told."""

import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from fault_server import completion

#: Body of a chat request to status and body of its answer; a status of 0 is a line that never was answered.
Reply = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
SERVES = "served-model-1"


def echo(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Answer with the last message."""
    return say(f"echo: {body['messages'][-1]['content']}")


def say(content: str | None, **options: Any) -> tuple[int, dict[str, Any]]:
    """Answer with a chat completion."""
    return 200, json.loads(completion(content, **options))


def fail(status: int, message: str = "no", code: str | None = None) -> tuple[int, dict[str, Any]]:
    """Answer with an error as OpenAI sends it."""
    return status, {"error": {"message": message, "code": code, "type": "t"}}


@dataclass
class Batch:
    """A batch as the provider keeps it."""

    id: str
    input_file_id: str
    metadata: dict[str, str]
    looks: int = 0
    status: str = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"total": 0, "completed": 0, "failed": 0})

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 1,
            "input_file_id": self.input_file_id,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "status": self.status,
            "metadata": self.metadata,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "request_counts": self.counts,
        }


class BatchServer:
    """The server; `with BatchServer(reply) as server`.

    Attributes:
        reply: Answers a request, of a batch or by itself.
        ends: Status at which the n-th batch ends (the last one for all further ones); "expired" and "cancelled" leave
            every second line unanswered.
        deleted: Files deleted; their content stays, for tests to look at.
        on: Called before and after what a request does, with "upload", "create", "look", "content", ...; it may return
            "drop" to close the connection without an answer, or an answer of its own.
        looks: How often a batch is looked at before it ends.
        max_enqueued: Requests that may be in batches at a time.
        spoil: Changes the lines of an output file.
        headers: Sent with every answer.
    """

    def __init__(self, reply: Reply = echo) -> None:
        self.reply = reply
        self.ends = ["completed"]
        self.looks = 1
        self.page = 2
        self.max_enqueued: int | None = None
        self.on: Callable[[str, str], Any] = lambda _what, _when: None
        self.spoil: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
        self.headers: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.batches: list[Batch] = []
        self.calls: list[str] = []
        self.live: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self._lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked(self, number: int) -> list[dict[str, Any]]:
        """The lines of a batch."""
        return [json.loads(line) for line in self.files[self.batches[number].input_file_id].splitlines()]

    @property
    def sizes(self) -> list[int]:
        return [len(self.asked(number)) for number in range(len(self.batches))]

    def store_file(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def upload(self, content: bytes) -> dict[str, Any]:
        name = self.store_file(content)
        return {
            "id": name,
            "object": "file",
            "purpose": "batch",
            "bytes": len(content),
            "filename": "x",
            "created_at": 1,
        }

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        batch = Batch(f"batch_{len(self.batches)}", asked["input_file_id"], asked["metadata"])
        self.batches.append(batch)
        size = len(self.asked(len(self.batches) - 1))
        running = sum(other.counts["total"] for other in self.batches if other.status in ("validating", "in_progress"))
        if self.max_enqueued is not None and running + size > self.max_enqueued:
            batch.status = "failed"
            batch.errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}]
        batch.counts = {"total": size, "completed": 0, "failed": 0}
        return batch.as_json()

    def look(self, batch: Batch) -> dict[str, Any]:
        batch.looks += 1
        if batch.status in ("validating", "in_progress"):
            batch.status = "in_progress"
            if batch.looks > self.looks:
                self._end(batch)
        return batch.as_json()

    def delete(self, name: str) -> dict[str, Any] | None:
        if name not in self.files:
            return None
        self.deleted.append(name)
        return {"id": name, "object": "file", "deleted": True}

    def listing(self, after: str | None, limit: int) -> dict[str, Any]:
        newest_first = self.batches[::-1]
        start = next((number + 1 for number, batch in enumerate(newest_first) if batch.id == after), 0)
        chosen = newest_first[start : start + min(limit, self.page)]
        return {
            "object": "list",
            "data": [batch.as_json() for batch in chosen],
            "has_more": start + len(chosen) < len(newest_first),
            "first_id": chosen[0].id if chosen else None,
            "last_id": chosen[-1].id if chosen else None,
        }

    def _end(self, batch: Batch) -> None:
        number = self.batches.index(batch)
        ending = self.ends[min(number, len(self.ends) - 1)]
        if ending == "failed":
            batch.errors = [{"code": "invalid_json_line", "message": "Line 1 is bad", "line": 1}]
            batch.status = ending
            return
        good, bad = [], []
        for position, line in enumerate(self.asked(number)):
            answer: dict[str, Any] = {"id": f"r-{position}", "custom_id": line["custom_id"], "error": None}
            if ending != "completed" and position % 2:
                answer |= {"response": None, "error": {"code": f"batch_{ending}", "message": "not executed"}}
                bad.append(answer)
                continue
            status, body = self.reply(line["body"])
            answer["response"] = {"status_code": status, "request_id": f"q-{position}", "body": body}
            (good if status == 200 else bad).append(answer)
        batch.counts |= {"completed": len(good), "failed": len(bad)}
        batch.output_file_id = self._answers(good)
        batch.error_file_id = self._answers(bad)
        batch.status = ending

    def _answers(self, answers: list[dict[str, Any]]) -> str | None:
        if not answers:
            return None
        lines = [json.dumps(answer).encode() + b"\n" for answer in answers]
        random.Random(7).shuffle(lines)
        return self.store_file(b"".join(self.spoil(lines)))

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/files":
                    self._do("upload", lambda: server.upload(self._file(raw)))
                elif self.path == "/v1/batches":
                    self._do("create", lambda: server.create(json.loads(raw)))
                else:
                    body = json.loads(raw)
                    server.live.append(body)
                    self._send(*server.reply(body))

            def do_DELETE(self) -> None:
                name = self.path.removeprefix("/v1/files/")
                self._do("delete", lambda: server.delete(name))

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                match parts.path.removeprefix("/v1/").split("/"):
                    case ["batches"]:
                        self._do("list", lambda: server.listing(asked.get("after"), int(asked.get("limit", 20))))
                    case ["batches", name]:
                        known = [batch for batch in server.batches if batch.id == name]
                        self._do("look", lambda: server.look(known[0]) if known else None)
                    case ["files", name, "content"]:
                        self._do("content", lambda: server.files.get(name))
                    case _:
                        self._send(*fail(404))

            def _do(self, what: str, act: Callable[[], Any]) -> None:
                server.calls.append(what)
                server.keys.add(self.headers["authorization"])
                for when in ("before", "after"):
                    told = server.on(what, when)
                    if told == "drop":
                        self.close_connection = True
                        return
                    if told:
                        self._send(*told)
                        return
                    if when == "before":
                        with server._lock:
                            answer = act()
                if answer is None:
                    self._send(*fail(404, "No such thing"))
                else:
                    self._send(200, answer)

            def _file(self, raw: bytes) -> bytes:
                head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
                parts = BytesParser(policy=HTTP).parsebytes(head + raw).get_payload()
                named = {part.get_param("name", header="content-disposition"): part for part in parts}
                assert named["purpose"].get_payload(decode=True).strip() == b"batch"
                return named["file"].get_payload(decode=True)

            def _send(self, status: int, answer: dict[str, Any] | bytes) -> None:
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                for name, value in server.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
