"""`dsnot login`, and the operator's commands through the API that a variable or a login names."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest

from service.contract.scopes import Scope
from service.database.engine import Database
from service.tenants.keys.operations import create_key
from tests.support import fork_server
from tests.support.api_server import key_for

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def key(api: httpx.Client) -> str:
    return str(api.headers["authorization"].removeprefix("Bearer "))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command of a user whose home is empty and whose environment names no service."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DSNOT_", "XDG_"))}
    environment = kept | {"HOME": str(tmp_path), "COLUMNS": "200"}
    return lambda *arguments, stdin="", **more: fork_server.run(["service.cli", *arguments], environment | more, stdin)


def test_a_login_serves_later_commands_and_is_private(run: Run, url: str, key: str, tmp_path: Path) -> None:
    done = run("login", f"{url}/", stdin=f" {key}\n")
    assert done.returncode == 0, done.stderr
    file = tmp_path / ".config" / "dsnot" / "login.json"
    assert done.stderr == f"logged in to {url}; address and key are in {file}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert run("jobs", "list").returncode == 0
    assert run("login").stdout == f"{url}\n"
    assert key not in done.stdout + done.stderr
    assert run("jobs", "list", DSNOT_URL=url).returncode == 0, "the stored key is the key of this address"
    assert "logged out" in run("login", "--logout").stderr
    assert not file.exists()
    assert "dsnot up" in run("jobs", "list").stderr
    assert "there was no login" in run("login", "--logout").stderr


@pytest.mark.parametrize("wrong", ["", "hello", "dsnot_abcdefghijkl_" + "x" * 43])
def test_a_key_that_the_service_refuses_is_not_stored(run: Run, url: str, tmp_path: Path, wrong: str) -> None:
    done = run("login", url, stdin=f"{wrong}\n")
    assert done.returncode == 1
    assert done.stderr.startswith("dsnot: ")
    assert len(wrong) < 8 or wrong not in done.stderr
    assert not (tmp_path / ".config").exists()


def test_an_address_without_a_service_is_not_stored(run: Run, key: str, tmp_path: Path) -> None:
    for address in ("http://127.0.0.1:1", "localhost"):
        done = run("login", address, stdin=key)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
    assert not (tmp_path / ".config").exists()


def test_a_key_for_artifacts_alone_can_log_in(run: Run, url: str, database: Database) -> None:
    files_only = create_key(database, tenant="acme", name="files", scopes=[Scope.ARTIFACTS_READ])[1]
    assert run("login", url, stdin=files_only).returncode == 0
    assert "jobs:read" in run("jobs", "list").stderr


def test_variables_take_precedence_and_no_key_reaches_another_address(run: Run, url: str, key: str, tmp_path: Path) -> None:
    run("login", url, stdin=key)
    other = run("jobs", "list", DSNOT_URL="http://127.0.0.1:1")
    assert other.returncode == 1
    assert "DSNOT_URL is set but DSNOT_API_KEY is not" in other.stderr
    both = run("jobs", "list", DSNOT_URL="http://127.0.0.1:1", DSNOT_API_KEY="dsnot_a_b")
    assert "http://127.0.0.1:1 does not answer" in both.stderr
    home = run("jobs", "list", DSNOT_HOME=str(tmp_path / "home"))
    assert f"no service is running on {tmp_path}/home" in home.stderr
    warned = run("login", DSNOT_HOME=str(tmp_path / "home"))
    assert "warning: DSNOT_HOME is set and takes precedence over the login" in warned.stderr


@pytest.mark.parametrize("content", ["{", "[]", '{"url": "x"}', '{"url": "http://x", "key": "k", "more": 1}'])
def test_a_damaged_login_is_named(run: Run, tmp_path: Path, content: str) -> None:
    file = tmp_path / ".config" / "dsnot" / "login.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    done = run("jobs", "list")
    assert done.returncode == 1
    assert f"{file} is not a login of this version; run `dsnot login` again" in done.stderr


def test_keys_are_managed_through_the_api(run: Run, url: str, key: str, api: httpx.Client) -> None:
    run("login", url, stdin=key)
    made = json.loads(run("keys", "create", "--name", "pipeline", "--scope", "jobs:read", "--days", "3", "--json").stdout)
    assert made["key"].startswith(f"dsnot_{made['id']}_")
    listed = run("keys", "list", "--json").stdout
    assert {each["id"] for each in map(json.loads, listed.splitlines())} == {made["id"], key.split("_")[1]}
    assert made["key"].split("_", 2)[2] not in listed
    assert "pipeline" in run("keys", "list").stdout
    rotated = run("keys", "rotate", "pipeline", "--overlap", "0").stdout.strip()
    bearer = {"Authorization": f"Bearer {rotated}"}
    assert httpx.get(f"{url}/v1/jobs", headers=bearer).status_code == 200
    assert run("keys", "revoke", made["id"][:6]).stdout == f"key {made['id']} (pipeline) is revoked\n"
    assert httpx.get(f"{url}/v1/jobs", headers=bearer).status_code == 401
    actions = [each["action"] for each in api.get("/v1/audit").json()["items"]]
    assert actions[:3] == ["revoke_key", "rotate_key", "create_key"]


def test_the_operator_alone_names_tenants_and_sets_limits(run: Run, url: str, key: str, database_url: str) -> None:
    address = {"DSNOT_URL": url, "DSNOT_API_KEY": key}
    for arguments in (["keys", "list", "--tenant", "other"], ["quotas", "show", "--tenant", "other"]):
        refused = run(*arguments, **address)
        assert refused.returncode == 2
        assert "--tenant needs the database" in refused.stderr
    refused = run("quotas", "set", "--max-queued-jobs", "5", **address)
    assert refused.returncode == 2
    assert "limits are set by the operator, in the database" in refused.stderr
    assert run("login", url, stdin=key).returncode == 0
    for arguments in (["keys", "list", "--tenant", "other"], ["quotas", "reset"]):
        refused = run(*arguments)
        assert refused.returncode == 2
        assert "set DSNOT_DATABASE_URL, or DSNOT_HOME for the stack of a home, with DSNOT_URL unset" in refused.stderr
        followed = run(*arguments, DSNOT_DATABASE_URL=database_url)
        assert followed.returncode == 0, followed.stderr
    shown = run("quotas", "show", **address)
    assert shown.returncode == 0
    assert "queued jobs" in shown.stdout
    assert json.loads(run("quotas", "show", "--json", **address).stdout)["queued_jobs"]["used"] == 0


def test_without_the_scope_admin_the_api_refuses_and_the_database_does_not_help(run: Run, url: str, database: Database) -> None:
    reader = key_for(database, Scope.JOBS_READ)
    done = run("keys", "list", DSNOT_URL=url, DSNOT_API_KEY=reader)
    assert done.returncode == 1
    assert "the key lacks the scope admin" in done.stderr


@pytest.mark.parametrize("name", ["", "  "])
def test_a_key_without_a_name_is_refused(run: Run, url: str, key: str, name: str) -> None:
    done = run("keys", "create", "--name", name, "--scope", "admin", DSNOT_URL=url, DSNOT_API_KEY=key)
    assert done.returncode == 2
    assert "--name is empty; name the purpose of the key" in done.stderr
