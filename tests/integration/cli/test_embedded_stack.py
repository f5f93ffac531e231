"""`dsnot up` with its real servers: starts, stops, is left alone by a second one, and survives what happens to it."""

import os
import signal
import socket
import stat
from pathlib import Path

import httpx
import psutil
import pytest

from service.client import Client
from service.embedded.lock import in_use
from service.embedded.record import StackRecord
from tests.support.command_line import dsnot
from tests.support.embedded_stack import Up, is_alive, start_up, up
from tests.support.job_rows import SPEC
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS, eventually


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests of this file: each finds what the one before has left."""
    home = tmp_path_factory.mktemp("stack-home")
    save_model(home / "models" / "tiny")
    return home


def _client(stack: Up) -> Client:
    return Client(stack.url, (stack.home / "api-key").read_text())


def _job(stack: Up) -> str:
    with _client(stack) as client:
        return client.jobs.create(SPEC).id


def _jobs(stack: Up) -> list[str]:
    with _client(stack) as client:
        return [job.id for job in client.jobs.list()]


def test_a_stack_is_private_and_exclusive_and_its_data_outlives_it(home: Path) -> None:
    with up(home, forks=False) as killed:
        assert_complete_and_private(killed)
        assert_second_is_refused(killed)
        job, key = _job(killed), (home / "api-key").read_text()
        status, _ = killed.end(signal.SIGKILL)
        assert status == -signal.SIGKILL
    with up(home) as stopped:
        assert killed.living() == []
        assert job in _jobs(stopped)
        assert (home / "api-key").read_text() == key
        assert_ends(stopped, signal.SIGTERM)
    with up(home, "--workers", "2", "--port", str(assert_port_in_use_is_refused(home))) as interrupted:
        assert job in _jobs(interrupted)
        assert_both_workers_idle(interrupted)
        assert_ends(interrupted, signal.SIGINT)


def assert_ends(stack: Up, how: signal.Signals) -> None:
    status, errors = stack.end(how)
    assert status == 0, errors
    assert stack.living() == []
    assert not in_use(stack.home)
    assert not (stack.home / "stack.json").exists()


def assert_complete_and_private(stack: Up) -> None:
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    assert set(stack.pids) == {"postgres", "valkey", "service", "dispatcher", "worker"}
    assert len(stack.living()) == 5
    with_secret = {name for name, pid in stack.pids.items() if "DSNOT_SECRET_KEY" in psutil.Process(pid).environ()}
    assert with_secret == {"service", "dispatcher"}
    for name in ("api-key", "stack.json", "postgres-password", "lock", "valkey/valkey.conf"):
        assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600, name
    for name in ("artifacts", "models", "cache", "logs", "postgres", "valkey"):
        assert stat.S_IMODE((stack.home / name).stat().st_mode) & 0o077 == 0 or name == "models", name
    assert (stack.home / "api-key").read_text() not in "".join(log.read_text() for log in (stack.home / "logs").iterdir())


def assert_second_is_refused(stack: Up) -> None:
    second = dsnot(stack.home, "up")
    assert second.returncode == 1
    assert second.stdout == ""
    assert stack.url in second.stderr
    assert str(stack.process.pid) in second.stderr
    assert len(stack.living()) == 5
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    assert (stack.home / "stack.json").exists()


def assert_port_in_use_is_refused(home: Path) -> int:
    """The port, free again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        refused = dsnot(home, "up", "--port", str(port))
        assert refused.returncode == 1
        assert f"port {port} is in use" in refused.stderr
    return port


def assert_both_workers_idle(stack: Up) -> None:
    ours = {stack.pids[name] for name in ("worker", "worker-2")}
    with _client(stack) as client:
        eventually(lambda: ours <= {int(each.id.rpartition(":")[2]) for each in client.workers() if each.state == "idle"})


@pytest.mark.parametrize("name", ["postgres", "service"])
def test_a_crashed_server_is_reported_and_stops_the_rest(home: Path, name: str) -> None:
    (home / "api-key").write_text("dsnot_000000000000_" + "x" * 43)
    with up(home) as stack:
        assert isinstance(_jobs(stack), list), "a key that the database does not know is replaced"
        os.kill(stack.pids[name], signal.SIGKILL)
        status, errors = stack.wait()
    assert status == 1
    assert f"{name} was killed by SIGKILL; its log {stack.home}/logs/{name}.log ends:" in errors
    assert "Traceback" not in errors.split("ends:")[0]
    assert stack.living() == []
    assert not in_use(stack.home)


def test_a_crashed_worker_or_dispatcher_is_started_again_and_takes_jobs(home: Path) -> None:
    with up(home, "--workers", "2") as stack:
        before = stack.pids
        for name in ("worker", "worker-2", "dispatcher"):
            os.kill(before[name], signal.SIGKILL)
        eventually(lambda: all(_pids(home)[name] != before[name] for name in ("worker", "worker-2", "dispatcher")))
        after = _pids(home)
        assert {name for name in before if after[name] == before[name]} == {"postgres", "valkey", "service"}
        with _client(stack) as client:
            job = client.jobs.wait(_job(stack), timeout=CEILING_SECONDS)
        assert job.state == "succeeded"
        status, errors = stack.end(signal.SIGTERM)
    assert status == 0, errors
    for name in ("worker", "worker-2", "dispatcher"):
        assert f"{name} was killed by SIGKILL; it is started again in 1 s" in errors
    assert not any(is_alive(pid) for pid in after.values())


def _pids(home: Path) -> dict[str, int]:
    record = StackRecord.read(home)
    assert record is not None
    return record.processes


def test_a_starting_stack_can_be_stopped(home: Path) -> None:
    starting = start_up(home)
    eventually(lambda: in_use(home))
    status, errors = starting.end(signal.SIGTERM)
    assert status == 0, errors
    assert not in_use(home)


def test_a_home_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = dsnot(tmp_path, "up", "--home", str(tmp_path / "file" / "home"))
    assert done.returncode == 1
    assert "cannot be used: Not a directory" in done.stderr
