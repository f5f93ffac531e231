"""One stack per home, whatever became of the one before."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from service.embedded import lock
from service.embedded.lock import AlreadyRunning, exclusive, in_use
from service.embedded.processes import ServerError
from service.embedded.record import StackRecord, write_private

_HOLD = """
import subprocess, sys
from pathlib import Path
from service.embedded.lock import exclusive
with exclusive(Path(sys.argv[1])):
    child = subprocess.Popen(["sleep", sys.argv[2]], close_fds=False)
    print(child.pid, flush=True)
    sys.stdin.read()
"""


def _hold(home: Path, child_seconds: float) -> tuple["subprocess.Popen[str]", int]:
    """A process that holds the lock together with a child of its own."""
    command = [sys.executable, "-c", _HOLD, str(home), str(child_seconds)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def test_a_second_stack_is_refused_and_the_first_one_named(tmp_path: Path) -> None:
    process, child = _hold(tmp_path, 60)
    try:
        with pytest.raises(AlreadyRunning, match=rf"process {process.pid} already runs .*starting up"), exclusive(tmp_path):
            pass
        StackRecord(process.pid, "http://127.0.0.1:8321", "postgresql://", "redis://", {}).write(tmp_path)
        with pytest.raises(AlreadyRunning, match=r"at http://127\.0\.0\.1:8321;"), exclusive(tmp_path):
            pass
        assert in_use(tmp_path)
    finally:
        process.kill()
        process.wait()
        os.kill(child, signal.SIGKILL)


def test_processes_of_a_killed_stack_are_awaited(tmp_path: Path) -> None:
    process, _child = _hold(tmp_path, 2)
    process.kill()
    process.wait()
    assert in_use(tmp_path)
    with exclusive(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert not in_use(tmp_path)


def test_processes_that_do_not_exit_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_PATIENCE", 0.3)
    process, child = _hold(tmp_path, 600)
    process.kill()
    process.wait()
    with exclusive(tmp_path):
        state = Path(f"/proc/{child}/stat")
        assert not state.exists() or " Z " in state.read_text()


def test_the_home_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ServerError, match="belongs to another user"), exclusive(tmp_path):
        pass


def test_private_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "secret")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "secret"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_an_unreadable_record_is_ignored(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    assert StackRecord.read(tmp_path) is None
