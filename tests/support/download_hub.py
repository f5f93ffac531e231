"""As much of the Hugging Face Hub as its own client needs: revisions, tokens, ranges, and what goes wrong."""

import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import ClassVar, Final
from urllib.parse import unquote

from tests.support.http_server import QuietServer

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_KIND: Final = re.compile(r"^/(api/models/|api/datasets/|datasets/)?")


@dataclass
class Repository:
    """A model or a data set: what each commit holds, and where branches and tags point."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str]
    token: str | None = None
    """Without it the model is gated."""


@dataclass(frozen=True)
class Asked:
    """A request, without what is not looked at."""

    method: str
    path: str
    range: str | None
    token: str | None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class TinyHub:
    """Serves models and data sets from memory on a free port, from `__enter__` to `__exit__`."""

    commit: ClassVar[str] = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.sizes: dict[tuple[str, str], int] = {}
        self.fetched: list[tuple[str, str]] = []
        """Model and file of every download."""
        self.asked: list[Asked] = []
        self.refusals: dict[str, tuple[int, str | None]] = {}
        self.delay_seconds: dict[str, float] = {}
        self.cuts: dict[str, int] = {}
        """How many more downloads of a model's weights break off in the middle."""
        self._server = QuietServer(("127.0.0.1", 0), self._handler())

    def add(self, model_id: str, folder: Path | None, more: dict[str, bytes], *, token: str | None = None) -> None:
        stored = {path.name: path.read_bytes() for path in folder.iterdir()} if folder else {}
        self.repositories[model_id] = Repository({self.commit: stored | more}, {"main": self.commit}, token)

    def push(self, model_id: str, commit: str, more: dict[str, bytes], branch: str = "main") -> None:
        """Move a branch to a new commit that has other files, too."""
        repository = self.repositories[model_id]
        repository.commits[commit] = repository.commits[repository.branches["main"]] | more
        repository.branches[branch] = commit

    def refuse(self, model_id: str, status: int, code: str | None) -> None:
        """Answer `status`, with the hub's own word for the reason if it gives one."""
        self.refusals[model_id] = status, code

    def claim_size(self, model_id: str, file: str, size: int) -> None:
        """Say that a file has another size than it has."""
        self.sizes[model_id, file] = size

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "TinyHub":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, asked: Asked) -> Answer:
        """What a GET or a HEAD is told."""
        path = unquote(asked.path.partition("?")[0])
        owner, _, rest = _KIND.sub("", path).partition("/")
        name, _, rest = rest.partition("/")
        model_id = f"{owner}/{name}"
        time.sleep(self.delay_seconds.get(model_id, 0))
        if model_id in self.refusals:
            status, code = self.refusals[model_id]
            return Answer(status, {"X-Error-Code": code} if code else {}, b"{}")
        if model_id not in self.repositories:  # the client asks for more than models
            return Answer(404, {}, b"{}")
        repository = self.repositories[model_id]
        if repository.token not in (None, asked.token) and rest.startswith("resolve/"):  # names and sizes are public
            return Answer(401, {"X-Error-Code": "GatedRepo"}, b"{}")
        return self._of_repository(model_id, repository, rest, asked)

    def _of_repository(self, model_id: str, repository: Repository, rest: str, asked: Asked) -> Answer:
        kind, _, rest = rest.partition("/")
        revision, _, file = rest.partition("/")
        revision = unquote(revision) or "main"
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            return Answer(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        files = repository.commits[commit]
        if kind == "resolve":
            if file not in files:
                return Answer(404, {"X-Error-Code": "EntryNotFound"})
            return self._content(model_id, commit, file, files[file], asked)
        if kind == "tree":
            return Answer(200, {}, json.dumps(_tree(files, file, "recursive=true" in asked.path.lower())).encode())
        siblings = [{"rfilename": name, "size": len(content), "blobId": "0"} for name, content in files.items()]
        return Answer(200, {}, json.dumps({"id": model_id, "sha": commit, "siblings": siblings}).encode())

    def _content(self, model_id: str, commit: str, file: str, content: bytes, asked: Asked) -> Answer:
        etag = hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        found = _RANGE.fullmatch(asked.range or "")
        if found:
            part = content[int(found[1]) : int(found[2] or len(content)) + 1]
            headers["Content-Range"] = f"bytes {found[1]}-{int(found[1]) + len(part) - 1}/{len(content)}"
            return Answer(206, headers | {"Content-Length": str(len(part))}, part)
        size = self.sizes.get((model_id, file), len(content))
        if asked.method == "GET":
            self.fetched.append((model_id, file))
        if asked.method == "GET" and file.endswith(".safetensors") and self.cuts.get(model_id, 0) > 0:
            self.cuts[model_id] -= 1
            content = content[: len(content) // 2]
        return Answer(200, headers | {"Content-Length": str(size)}, content)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
                asked = Asked(self.command, self.path, self.headers.get("Range"), token)
                if "/api/agent-harnesses" not in self.path:  # the library's own, once a day
                    hub.asked.append(asked)
                answer = hub.answer(asked)
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(answer.body)
                    self.close_connection = self.close_connection or len(answer.body) < int(
                        answer.headers.get("Content-Length", 0)
                    )

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        return Handler


def _tree(files: dict[str, bytes], folder: str, is_recursive: bool) -> list[dict[str, object]]:
    """What lies in a folder of a repository; unless all below is asked for, the folders in it and not what they hold."""
    below = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, object]] = {}
    for name, content in files.items():
        if not name.startswith(below):
            continue
        inner = name.removeprefix(below).partition("/")[0]
        if is_recursive or below + inner == name:
            digest = hashlib.sha1(content).hexdigest()  # noqa: S324
            entries[name] = {"type": "file", "path": name, "size": len(content), "oid": digest}
        else:
            entries[below + inner] = {"type": "directory", "path": below + inner, "oid": "0"}
    return list(entries.values())
