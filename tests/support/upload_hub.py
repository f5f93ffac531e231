"""As much of the Hugging Face Hub as its own client needs to make a repository and to commit to it, by Git LFS over HTTP."""

import base64
import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from threading import Thread
from types import TracebackType
from typing import Any, Final
from urllib.parse import unquote

from tests.support.http_server import QuietServer

_LFS: Final = (".safetensors", ".packed", ".mask")
"""What the hub wants as large files; all else is part of the commit itself."""


@dataclass
class Written:
    """A repository that can be written to: its commits by branch, the newest last."""

    private: bool
    branches: dict[str, list[dict[str, bytes]]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def head(self, branch: str = "main") -> dict[str, bytes]:
        return self.branches[branch][-1]


class Refused(Exception):
    """An answer that is none of success."""

    def __init__(self, status: int, code: str | None = None, **body: str) -> None:
        super().__init__(status)
        self.status, self.code, self.body = status, code, body


class UploadingHub:
    """Takes commits on a free port, from `__enter__` to `__exit__`, from those who hold the token."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.repositories: dict[str, Written] = {}
        self.objects: dict[str, bytes] = {}
        """Large files by their SHA-256."""
        self.refusals: dict[str, list[int]] = {}
        """Statuses that the next requests are answered with, by what they ask for; the last one stays."""
        self.delay_seconds: dict[str, float] = {}
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self._server = QuietServer(("127.0.0.1", 0), self._handler())

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "UploadingHub":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, files: dict[str, bytes], *, private: bool = True) -> Written:
        self.repositories[name] = Written(private, {"main": [files]})
        return self.repositories[name]

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """What is answered, as JSON. Raises Refused."""
        for pattern, what, reply in self._routes():
            found = re.fullmatch(pattern, f"{method} {path.partition('?')[0]}")
            if found:
                self.asked.append(what)
                time.sleep(self.delay_seconds.get(what, 0))
                left = self.refusals.get(what)
                status = (left.pop(0) if len(left) > 1 else left[0]) if left else 200
                if status != 200:
                    raise Refused(status)
                return reply(body, *(each and unquote(each) for each in found.groups()))
        raise Refused(404)

    def _routes(self) -> list[tuple[str, str, Any]]:
        repo = r"([^/]+/[^/]+)"
        return [
            (r"POST /api/repos/create", "create", self._create),
            (rf"GET /api/models/{repo}(?:/revision/([^/]+))?", "info", self._info),
            (rf"POST /api/models/{repo}/branch/([^/]+)", "branch", self._branch),
            (r"POST /api/validate-yaml", "card", lambda _body: {"errors": [], "warnings": []}),
            (rf"POST /api/models/{repo}/preupload/([^/]+)", "preupload", self._preupload),
            (rf"POST /{repo}\.git/info/lfs/objects/batch", "batch", self._batch),
            (r"PUT /objects/([0-9a-f]{64})", "object", self._object),
            (rf"POST /api/models/{repo}/commit/([^/]+)", "commit", self._commit),
        ]

    def _written(self, name: str) -> Written:
        if name not in self.repositories:
            raise Refused(404, "RepoNotFound")
        return self.repositories[name]

    def _head(self, name: str, branch: str) -> dict[str, bytes]:
        if branch not in self._written(name).branches:
            raise Refused(404, "RevisionNotFound")
        return self._written(name).head(branch)

    def _create(self, body: bytes) -> Any:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.address}/{name}"
        if name in self.repositories:
            raise Refused(409, url=url)
        self.add(name, {".gitattributes": b""}, private=asked["visibility"] == "private")
        return {"url": url}

    def _info(self, _body: bytes, name: str, branch: str | None) -> Any:
        files, written = self._head(name, branch or "main"), self._written(name)
        return {
            "id": name,
            "sha": commit_of(files),
            "private": written.private,
            "siblings": [{"rfilename": file} for file in files],
        }

    def _branch(self, _body: bytes, name: str, branch: str) -> Any:
        branches = self._written(name).branches
        if branch in branches:
            raise Refused(409)
        branches[branch] = [branches["main"][-1]]
        return {}

    def _preupload(self, body: bytes, name: str, branch: str) -> Any:
        there = self._head(name, branch)
        told = []
        for file in json.loads(body)["files"]:
            mode = "lfs" if file["path"].endswith(_LFS) else "regular"
            oid = _oid(there[file["path"]], mode) if file["path"] in there else None
            told.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return {"files": told}

    def _batch(self, body: bytes, _name: str) -> Any:
        wanted = json.loads(body)["objects"]
        missing = [each for each in wanted if each["oid"] not in self.objects]
        for each in missing:
            each["actions"] = {"upload": {"href": f"{self.address}/objects/{each['oid']}"}}
        return {"transfer": "basic", "objects": wanted}

    def _object(self, body: bytes, oid: str) -> Any:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refused(422)
        self.objects[oid] = body
        return {}

    def _commit(self, body: bytes, name: str, branch: str) -> Any:
        files = dict(self._head(name, branch))
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self._written(name).messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            else:
                del files[value["path"]]
        self._written(name).branches[branch].append(files)
        oid = commit_of(files)
        return {"commitUrl": f"{self.address}/{name}/commit/{oid}", "commitOid": oid}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self._body()
                stored = self.path.startswith("/objects/")  # such an address is signed in itself
                token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
                try:
                    if not stored:
                        hub.tokens.add(token)
                        if token != hub.token:
                            raise Refused(401)
                    self._send(200, hub.answer(self.command, self.path, body))
                except Refused as refused:
                    self._send(
                        refused.status, {"error": "no", **refused.body}, {"X-Error-Code": refused.code} if refused.code else {}
                    )

            do_GET = do_PUT = do_POST  # noqa: N815

            def _body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                content = b""
                while size := int(self.rfile.readline(), 16):
                    content += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return content

            def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        return Handler


def commit_of(files: dict[str, bytes]) -> str:
    """An id that follows from the content."""
    told = json.dumps({name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())})
    return hashlib.sha1(told.encode()).hexdigest()  # noqa: S324


def _oid(content: bytes, mode: str) -> str:
    if mode == "lfs":
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324
