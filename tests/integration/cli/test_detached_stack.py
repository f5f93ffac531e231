"""`dsnot up --detach`, `status`, `logs`, `open`, `doctor` and `down`, as a user runs them one after the other."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.cli import detaching
from service.cli.output import CommandFailed
from service.embedded.lock import in_use, owner_of
from service.embedded.record import StackRecord
from service.embedded.stack import PREFERRED_PORT
from tests.support.command_line import dsnot, environment, executing_dsnot
from tests.support.embedded_stack import is_alive
from tests.support.waiting import CEILING_SECONDS, eventually


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose stack was started with `--detach`, while another program had the usual port."""
    home = tmp_path_factory.mktemp("detached-home")
    try:
        with _usual_port_in_use():
            started = executing_dsnot(home, "up", "--detach", "--device", "cpu")
        (home / "said").write_text(started.stdout + started.stderr)
        assert started.returncode == 0, started.stderr
        yield home
    finally:
        dsnot(home, "down")


def _usual_port_in_use() -> socket.socket:
    """A listener on the usual port; where another program listens there already, a socket that does not."""
    try:
        return socket.create_server(("127.0.0.1", PREFERRED_PORT))
    except OSError:
        return socket.socket()


def record_of(home: Path) -> StackRecord:
    record = StackRecord.read(home)
    assert record is not None
    return record


def test_it_prints_address_and_link_and_warns_of_another_port(home: Path) -> None:
    said, url = (home / "said").read_text(), record_of(home).url
    assert f"{url}/sign-in/link#" in said
    assert "`dsnot down` stops the stack" in said
    assert f"warning: port {PREFERRED_PORT} is in use by another program; this stack is at {url} instead" in said
    assert httpx.get(f"{url}/readyz").is_success
    assert owner_of(home) == record_of(home).pid


def test_a_second_stack_is_refused_and_the_first_stays(home: Path) -> None:
    owner, log = owner_of(home), (home / "logs" / "stack.log").read_text()
    done = dsnot(home, "up", "--detach")
    assert (done.returncode, done.stdout) == (1, "")
    assert record_of(home).url in done.stderr
    assert (owner_of(home), (home / "logs" / "stack.log").read_text()) == (owner, log)


def test_status_shows_processes_versions_and_queue(home: Path) -> None:
    found = json.loads(dsnot(home, "status", "--json").stdout)
    assert found["is_ready"]
    assert {name: each["pid"] for name, each in found["processes"].items()} == record_of(home).processes
    assert set(found["versions"]) == {"dsnot", "PostgreSQL", "Valkey"}
    assert found["queue"] == {"queued": 0, "running": 0}
    shown = dsnot(home, "status", COLUMNS="80")
    assert shown.returncode == 0
    assert "PostgreSQL 18" in shown.stdout


def test_the_status_of_a_stack_whose_service_hangs_is_1(home: Path) -> None:
    pid = record_of(home).processes["service"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = dsnot(home, "status")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done.returncode == 1
    assert "the stack is not ready; see `dsnot logs`" in done.stderr


def test_the_doctor_finds_nothing_wrong_with_its_own_valkey(home: Path) -> None:
    eventually(lambda: dsnot(home, "doctor").returncode == 0)
    verdicts = {each["check"]: each["verdict"] for each in map(json.loads, dsnot(home, "doctor", "--json").stdout.splitlines())}
    assert verdicts["broker"] == "ok"


def test_logs_are_printed_by_process_and_followed(home: Path) -> None:
    printed = dsnot(home, "logs", "-n", "3").stdout.splitlines()
    assert {line.split()[0] for line in printed} >= {"postgres", "valkey", "service", "dispatcher", "stack"}
    assert len([line for line in printed if line.startswith("service ")]) <= 3
    unknown = dsnot(home, "logs", "kitchen")
    assert unknown.returncode == 2
    assert "there is no log of kitchen; there are dispatcher, postgres" in unknown.stderr
    listening = ["env", "--default-signal=INT"]  # a test that runs in the background inherits that SIGINT is ignored
    command = [*listening, sys.executable, "-m", "service.cli", "logs", "service", "-f", "-n", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(home) | {"PYTHONUNBUFFERED": "1"})
    lines: list[str] = []
    assert process.stdout is not None
    threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True).start()
    with httpx.Client(base_url=record_of(home).url) as client:
        eventually(lambda: client.get("/v1/jobs").status_code == 401 and any("/v1/jobs" in line for line in lines))
    process.send_signal(signal.SIGINT)
    assert process.wait(CEILING_SECONDS) == 0
    assert all(line.startswith("service ") for line in lines)


def test_open_prints_a_link_that_signs_in_once_and_is_in_no_log(home: Path) -> None:
    link = dsnot(home, "open", "--print").stdout.strip()
    token = link.partition("#")[2]
    with httpx.Client(base_url=record_of(home).url) as browser:
        assert browser.get("/sign-in/link").status_code == 200
        assert browser.post("/sign-in/link", data={"token": token}).headers["location"] == "/"
        assert browser.get("/").status_code == 200
    logs = "".join(log.read_text(errors="replace") for log in (home / "logs").iterdir())
    assert re.fullmatch(r"[\w-]{43}", token)
    assert token not in logs


def test_down_stops_everything_and_is_harmless_without_a_stack(tmp_path: Path) -> None:
    home = tmp_path / "home"
    started = dsnot(home, "up", "--detach", "--device", "cpu")
    assert started.returncode == 0, started.stderr
    processes, url = record_of(home).processes, record_of(home).url
    done = dsnot(home, "down")
    assert done.returncode == 0, done.stderr
    assert f"stopped; its data stay in {home}" in done.stderr
    assert not in_use(home)
    assert not any(is_alive(pid) for pid in processes.values())
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/readyz")
    again = dsnot(home, "down")
    assert (again.returncode, again.stderr) == (0, f"dsnot: no stack is running on {home}\n".removeprefix("dsnot: "))
    assert dsnot(home, "status").returncode == 1


def test_a_stack_that_cannot_start_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = dsnot(tmp_path, "up", "--detach", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} is in use by another program" in done.stderr
    assert not in_use(tmp_path)
    (tmp_path / "file").write_text("")
    done = dsnot(tmp_path, "up", "--detach", "--home", str(tmp_path / "file" / "home"))
    assert done.returncode == 1
    assert "cannot be used: Not a directory" in done.stderr


def test_progress_begins_after_an_older_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs" / "stack.log"
    log.parent.mkdir()
    log.write_text("a line of the stack before\n")
    monkeypatch.setattr(detaching, "in_use", lambda _: True)  # its processes are ending, so the log is kept
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CommandFailed) as failed:
        detaching.start_detached(tmp_path, port=taken.getsockname()[1], device="cpu", workers=None)
    assert "the stack before" not in capsys.readouterr().err + str(failed.value)
    assert log.read_text().startswith("a line of the stack before\n")


def test_logs_of_a_home_without_a_stack_are_refused(tmp_path: Path) -> None:
    done = dsnot(tmp_path, "logs")
    assert done.returncode == 1
    assert f"there are no logs in {tmp_path}/logs; `dsnot up` writes them" in done.stderr
