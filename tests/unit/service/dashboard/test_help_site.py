"""The documentation's site at /help: served with a strict policy and linked to if it is built, otherwise absent."""

import base64
import hashlib
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from service.dashboard import help_site
from service.dashboard.rendering import page
from service.main import create_app
from service.settings import Settings

SCRIPT = "var palette = 1"


def app_with(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """Return the service with its site in `folder`; it connects to nothing."""
    monkeypatch.setattr(help_site, "FOLDER", folder)
    places = {"database_url": "postgresql://u:p@127.0.0.1:1/d", "broker_url": "redis://127.0.0.1:1/0"}
    return create_app(Settings.model_validate({**places, "artifact_url": "file:///x", "model_root": "/x", "cache_dir": "/x"}))


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    (tmp_path / "guides" / "prune").mkdir(parents=True)
    (tmp_path / "index.html").write_text(f"<script>{SCRIPT}</script><h1>Home</h1>")
    (tmp_path / "guides" / "prune" / "index.html").write_text("<h1>Prune</h1>")
    (tmp_path / "404.html").write_text("<h1>No such page</h1>")
    return app_with(tmp_path, monkeypatch)


@pytest.fixture
def absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    return app_with(tmp_path, monkeypatch)


def navigation(app: FastAPI) -> str:
    """Return a page as someone who has signed in sees it."""
    visitor = SimpleNamespace(csrf_token="t", tenant="a", key_name="k", may_administer=False, may_write=False)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", "app": app}
    request = Request(scope | {"state": {"visitor": visitor}})
    problem = {"title": "Not found", "status": 404, "detail": "", "errors": None, "code": "x"}
    return bytes(page(request, "problem.html", problem=problem).body).decode()


def test_a_built_site_is_served_and_linked_to(built: FastAPI) -> None:
    client = TestClient(built)
    assert "Home" in client.get("/help").text
    assert "Prune" in client.get("/help/guides/prune").text
    assert (client.get("/help/none").status_code, "No such page" in client.get("/help/none").text) == (404, True)
    assert client.post("/help/").status_code == 405
    assert 'href="/help/"' in navigation(built)


def test_the_policy_allows_inline_scripts_by_their_hashes_only(built: FastAPI) -> None:
    answers = [TestClient(built).get(path) for path in ("/help/", "/help/none")]
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    for policy in (answer.headers["content-security-policy"] for answer in answers):
        assert f"script-src 'self' 'sha256-{digest}';" in policy
        assert "'unsafe-inline'" not in re.findall(r"script-src [^;]*", policy)[0]
        assert "default-src 'none'" in policy


def test_without_a_site_there_is_neither_page_nor_link(absent: FastAPI) -> None:
    assert [TestClient(absent).get(path).status_code for path in ("/help", "/help/")] == [404, 404]
    assert "/help/" not in navigation(absent)
