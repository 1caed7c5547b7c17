"""A loopback stand-in of the Hugging Face hub that takes uploads: repositories, preupload, Git LFS, commits.

It speaks what huggingface_hub 2.4 asks of the hub where Xet is switched off, over real HTTP, and keeps what it is sent.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_REPO = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(.*))?")
_BATCH = re.compile(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch")


@dataclass
class Repo:
    """A repository: its files, and the commits that made them."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    lfs: set[str] = field(default_factory=set)
    commits: list[str] = field(default_factory=list)


class HubStandIn:
    """The server; `with HubStandIn(token) as hub`.

    `fail` maps a step (create, preupload, batch, put, commit, validate) to statuses to answer it with, one per request,
    before it works again; 0 breaks the connection in the middle of the request.
    """

    def __init__(self, token: str = "hf_right", owner: str = "me") -> None:
        self.token, self.owner = token, owner
        self.repos: dict[tuple[str, str], Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.fail: dict[str, list[int]] = {}
        self.count: Counter[str] = Counter()
        self.seen_headers: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self, b"")

            def do_POST(self) -> None:
                hub.answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def do_PUT(self) -> None:
                if hub.failing("put") == 0:
                    self.rfile.read(10)
                    hub.break_off(self)
                    return
                hub.answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def log_message(self, *_: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def failing(self, step: str) -> int | None:
        left = self.fail.get(step)
        return left.pop(0) if left else None

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.seen_headers.append(handler.headers.get("Authorization") or "")
        path = handler.path.partition("?")[0]
        try:
            status, content = self._route(handler.command, path, handler.headers.get("Authorization"), body)
        except ConnectionAbortedError:
            self.break_off(handler)
            return
        self._send(handler, status, content)

    @staticmethod
    def break_off(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, content: Any) -> None:
        headers = content.pop("_headers", {}) if isinstance(content, dict) else {}
        body = json.dumps(content).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _route(self, method: str, path: str, authorization: str | None, body: bytes) -> tuple[int, Any]:
        if method == "PUT":  # a signed address of the storage: no token goes there
            assert authorization is None
            self.count["put"] += 1
            self.objects[path.removeprefix("/storage/")] = body
            return 200, {}
        if authorization != f"Bearer {self.token}":
            return 401, {"error": "Invalid credentials in Authorization header", "_headers": _error("Unauthorized")}
        step, run = self._step(method, path)
        if (status := self.failing(step)) is not None:
            if status == 0:
                raise ConnectionAbortedError
            return status, {"error": f"told to answer {status}"}
        self.count[step] += 1
        return run(json.loads(body) if body and step != "commit" else body)

    def _step(self, method: str, path: str) -> tuple[str, Any]:
        if path == "/api/repos/create":
            return "create", self._create
        if path == "/api/validate-yaml":
            return "validate", lambda asked: (200, {"errors": [], "warnings": []})
        if match := _BATCH.fullmatch(path):
            return "batch", self._batch
        match = _REPO.fullmatch(path)
        if match is None:
            return "unknown", lambda _: (404, {"error": f"no such address: {method} {path}"})
        kind, repo_id, rest = match[1].removesuffix("s"), match[2], match[3] or ""
        repo = self.repos.get((kind, repo_id))
        if repo is None:
            return "absent", lambda _: (404, {"error": "Repository not found", "_headers": _error("RepoNotFound")})
        if rest.startswith("preupload/"):
            return "preupload", lambda asked: self._preupload(repo, asked)
        if rest.startswith("commit/"):
            return "commit", lambda lines: self._commit(kind, repo_id, repo, lines)
        return "info", lambda _: (200, self._info(repo_id, repo))

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        owner = asked.get("organization") or self.owner
        if owner != self.owner:
            return 403, {"error": f"You don't have the rights to create a {asked['type']} under the namespace {owner}"}
        key = (asked.get("type", "model"), f"{owner}/{asked['name']}")
        if key in self.repos:
            return 409, {"error": "You already created this repo"}
        self.repos[key] = Repo(private=asked.get("visibility") == "private")
        return 200, {"url": f"{self.url}/{key[1]}"}

    @staticmethod
    def _info(repo_id: str, repo: Repo) -> dict[str, Any]:
        return {
            "id": repo_id,
            "sha": (repo.commits or ["0" * 40])[-1],
            "private": repo.private,
            "siblings": [{"rfilename": path} for path in sorted(repo.files)],
        }

    @staticmethod
    def _preupload(repo: Repo, asked: dict[str, Any]) -> tuple[int, Any]:
        files = []
        for entry in asked["files"]:
            large = entry["path"].endswith((".safetensors", ".parquet"))
            body = repo.files.get(entry["path"])
            oid = None if body is None else (hashlib.sha256(body).hexdigest() if large else _git_blob(body))
            files.append(
                {"path": entry["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}
            )
        return 200, {"files": files}

    def _batch(self, asked: dict[str, Any]) -> tuple[int, Any]:
        objects = []
        for entry in asked["objects"]:
            one = {"oid": entry["oid"], "size": entry["size"]}
            if entry["oid"] not in self.objects:
                one["actions"] = {"upload": {"href": f"{self.url}/storage/{entry['oid']}"}}
            objects.append(one)
        return 200, {"transfer": "basic", "objects": objects}

    def _commit(self, kind: str, repo_id: str, repo: Repo, lines: bytes) -> tuple[int, Any]:
        files, lfs = dict(repo.files), set(repo.lfs)
        for line in lines.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                body = self.objects[value["oid"]]
                assert (hashlib.sha256(body).hexdigest(), len(body)) == (value["oid"], value["size"])
                files[value["path"]] = body
                lfs.add(value["path"])
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        repo.files, repo.lfs = files, lfs
        repo.commits.append(hashlib.sha1(lines).hexdigest())
        prefix = "" if kind == "model" else "datasets/"
        return 200, {
            "commitUrl": f"{self.url}/{prefix}{repo_id}/commit/{repo.commits[-1]}",
            "commitOid": repo.commits[-1],
        }


def _error(code: str) -> dict[str, str]:
    return {"X-Error-Code": code}


def _git_blob(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
