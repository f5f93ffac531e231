"""A worker whose disk, a small file system of its own, gets full in the middle of a job."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.contract.states import JobState
from service.database.engine import Database
from service.settings import Settings
from tests.support.child_environment import environment
from tests.support.job_rows import attempts_of, insert_job, job_row
from tests.support.threads import dispatcher_threads
from tests.support.tiny_model import save_model
from tests.support.waiting import CEILING_SECONDS, eventually

DISK_BYTES = 24 << 20
LONG = {"dataset": "c4-sample:test", "num_samples": 128, "sequence_length": 128}
WORKER = 'mount -t tmpfs -o size="$1",mode=0700 tmpfs "$2" && exec "$3" -m worker'


def unsharing() -> list[str]:
    """What gives a process mounts of its own; anybody but root becomes root of a user namespace for that."""
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    for candidate in (command, ["unshare", "--user", "--map-root-user", "--mount"]):
        if (
            subprocess.run([*candidate, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False).returncode
            == 0
        ):
            return candidate
    pytest.skip("a small file system is needed, and neither root nor a user namespace may mount one here")


@dataclass(frozen=True)
class SmallDisk:
    """The worker's cache as it sees it. The file system is gone with its last process."""

    pid: int
    cache_dir: Path

    @property
    def place(self) -> Path:
        return Path(f"/proc/{self.pid}/root") / self.cache_dir.relative_to("/")

    def files(self) -> list[Path]:
        return [path for path in self.place.rglob("*") if path.is_file()]

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Somebody else takes all that is free, and lets go of it again."""
        ballast = self.place / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                assert shutil.disk_usage(self.place).free < 4096
        try:
            yield
        finally:
            ballast.unlink()


@contextmanager
def working_on_a_small_disk(settings: Settings, log: Path) -> Iterator[SmallDisk]:
    command = [*unsharing(), "sh", "-c", WORKER, "sh", str(DISK_BYTES), str(settings.cache_dir), sys.executable]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment(settings), stdout=output, stderr=output)
    try:
        eventually(lambda: b"worker_ready" in log.read_bytes())
        yield SmallDisk(process.pid, settings.cache_dir)
    finally:
        process.terminate()
        process.wait(CEILING_SECONDS)


def test_a_full_disk_fails_the_job_and_the_worker_continues(settings: Settings, database: Database, tmp_path: Path) -> None:
    save_model(settings.model_root / "slow", layers=10, width=64)
    settings = settings.model_copy(update={"keep_blocks_seconds": 0.0})
    with dispatcher_threads(settings), working_on_a_small_disk(settings, tmp_path / "worker.log") as disk:
        job_id = insert_job(database, model={"source": "local", "id": "slow"}, calibration=LONG, max_attempts=1)
        eventually(lambda: (job_row(database, job_id).progress or {}).get("done"))
        assert disk.files() != []
        with disk.filled():
            eventually(lambda: job_row(database, job_id).finished_at)
        job = job_row(database, job_id)
        assert (job.state, (job.error or {}).get("code")) == (JobState.FAILED, "disk-full"), job.error
        assert [attempt.outcome for attempt in attempts_of(database, job_id)] == ["failed"]
        assert list((disk.place / "scratch").iterdir()) == []
        following = insert_job(database, model={"source": "local", "id": "slow"})
        eventually(lambda: job_row(database, following).finished_at)
        assert job_row(database, following).state == JobState.SUCCEEDED
        eventually(lambda: disk.files() == [])
    store = Path(settings.artifact_url.removeprefix("file://"))
    published = {path.relative_to(store).parts[1:3] for path in (store / "jobs").rglob("*") if path.is_file()}
    assert {attempt for attempt in published if attempt[1] != "blocks"} == {
        (str(following), str(job_row(database, following).fence))
    }
    assert [path for path in settings.cache_dir.rglob("*") if path.is_file()] == []  # the disk was another than this host's
