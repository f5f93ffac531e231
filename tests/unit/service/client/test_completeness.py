"""The two clients can do all that the API can, and the same."""

import inspect
import re
from collections.abc import Iterator
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client import ApiError, Client, DownloadRefused
from service.contract.artifacts import Manifest, ManifestFile
from tests.support.client_kinds import GROUPS, KINDS, calls_of, client_on

SUBJECTS = {
    "jobs",
    "sweeps",
    "events",
    "logs",
    "artifacts",
    "recipes",
    "models",
    "datasets",
    "workers",
    "webhooks",
    "triggers",
    "keys",
}
"""All that callers ask for; the rest is the platform's."""

ID = "11111111-2222-3333-4444-555555555555"
MANIFEST = Manifest(job_id=ID, fence=1, files=[ManifestFile(path="config.json", bytes=2, sha256="0" * 64)])


def methods(calls: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every call of a client, those of `client.webhooks` and the like included."""
    for attribute in sorted(calls_of(calls)):
        yield name + attribute, getattr(calls, attribute)
    for attribute in GROUPS if not name else ():
        yield from methods(getattr(calls, attribute), f"{attribute}.")


def arguments(method: Any, file: Path) -> list[Any]:
    """Something for each argument that has to be given."""
    values = {"spec": {"model": {"id": "a"}}, "template": {}, "event": {}, "file": file, "destination": file.parent}
    needed = [
        each.name for each in inspect.signature(method).parameters.values() if each.default is each.empty or each.name == "spec"
    ]
    positional = [each for each in needed if each not in ("more", "changes", "options")]
    return [values.get(each, "https://sink.example/" if each == "url" else ID) for each in positional]


Sent = tuple[str, str, dict[str, str], bytes]
TOLD = ("accept", "content-type", "content-length", "prefer", "last-event-id", "authorization", "user-agent")
"""Headers that both clients have to send alike; an idempotency key is another one every time."""


def asked_by(kind: str, file: Path) -> dict[str, list[Sent]]:
    """What each call sends."""
    seen: list[Sent] = []

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name in TOLD}
        seen.append((request.method, request.url.raw_path.decode(), headers, request.content))
        if request.url.path.endswith("/artifacts"):
            return httpx.Response(200, json=MANIFEST.model_dump())
        return httpx.Response(418, json={"type": "/errors#teapot"})

    client, asked = client_on(kind, answer), {}
    for name, method in methods(Client("http://service", "key")):
        seen.clear()
        with suppress(ApiError, DownloadRefused):
            tuple(attrgetter(name)(client)(*arguments(method, file)) or ())
        asked[name] = list(seen)
    return asked


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("One.\n\nTwo.\n")
    return tmp_path / "text.txt"


def test_both_clients_have_equal_methods_and_requests(file: Path) -> None:
    blocking, asynchronous = (asked_by(kind, file) for kind in KINDS)
    assert blocking == asynchronous
    assert all(blocking.values())
    assert len(blocking) > 35


def test_the_client_covers_the_openapi_document(document: dict[str, Any], file: Path) -> None:
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if SUBJECTS & set(operation["tags"])
    }
    templates = {path: re.compile(re.sub(r"{\w+}", "[^/]+", path)) for _, path in described}
    asked = {
        (method, path)
        for sent in asked_by("blocking", file).values()
        for method, address, _, _ in sent
        for path, pattern in templates.items()
        if pattern.fullmatch(address.partition("?")[0])
    }
    assert described - asked == set()
    assert len(described) > 35
