"""As much of the Hugging Face Hub as its own client needs to resolve a model and download it."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import ClassVar


class TinyHub:
    """Serves models from memory on a free port, from `__enter__` to `__exit__`."""

    commit: ClassVar[str] = "0123456789abcdef0123456789abcdef01234567"

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.sizes: dict[tuple[str, str], int] = {}
        self.fetched: list[tuple[str, str]] = []
        """Model and file of every download."""
        self.refusals: dict[str, tuple[int, str | None]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def add(self, model_id: str, folder: Path | None, more: dict[str, bytes]) -> None:
        stored = {path.name: path.read_bytes() for path in folder.iterdir()} if folder else {}
        self.files[model_id] = stored | more

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

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a GET."""
        kind, _, rest = path.partition("?")[0].removeprefix("/").removeprefix("api/models/").partition("/")
        name, _, rest = rest.partition("/")
        model_id = f"{kind}/{name}"
        if model_id in self.refusals:
            status, code = self.refusals[model_id]
            return status, {"X-Error-Code": code} if code else {}, b"{}"
        if model_id not in self.files:  # the client asks for more than models
            return 404, {}, b"{}"
        files = self.files[model_id]
        match rest.split("/", 2):
            case ["resolve", _, file] if file in files:
                etag = hashlib.sha256(files[file]).hexdigest()
                size = self.sizes.get((model_id, file), len(files[file]))
                headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.commit, "Content-Length": str(size)}
                return 200, headers, files[file]
            case ["resolve", *_]:
                return 404, {"X-Error-Code": "EntryNotFound"}, b""
            case ["tree", *_]:
                entries = [
                    {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}  # noqa: S324
                    for file, content in files.items()
                ]
                return 200, {}, json.dumps(entries).encode()
        siblings = [{"rfilename": file} for file in files]
        return 200, {}, json.dumps({"id": model_id, "sha": self.commit, "siblings": siblings}).encode()

    def note_download(self, path: str) -> None:
        owner, name, _, _, file = path.partition("?")[0].removeprefix("/").split("/", 4)
        self.fetched.append((f"{owner}/{name}", file))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, headers, body = hub.answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)
                    if "/resolve/" in self.path:
                        hub.note_download(self.path)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        return Handler
