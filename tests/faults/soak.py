"""Half an hour of random faults under small jobs: `make soak`. At the end nothing may be missing, wrong or left over.

Exit status 0 if all is well. The figures go to benchmarks/results/soak.json and soak.md.
"""

import argparse
import collections
import json
import random
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from benchmarks._machine import about
from service.client import Client
from service.client.errors import ApiError, Unreachable
from service.contract.scopes import Scope
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.jobs import Job
from service.database.tables.outbox import OutboxMessage
from service.tenants.keys.operations import create_key
from tests.faults.soak_cluster import Cluster, command_of
from tests.support.job_rows import SPEC
from tests.support.tiny_model import save_model

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
JOB = SPEC | {"max_attempts": 10, "calibration": {"dataset": "c4-sample:test", "num_samples": 128, "sequence_length": 128}}
CHANGES = ("none",) * 7 + ("cancel", "pause and resume", "delete")


@dataclass
class Summary:
    """What happened, and what is wrong with it."""

    seconds: float = 0.0
    seed: int = 0
    machine: dict[str, Any] = field(default_factory=dict)
    accepted: int = 0
    refused_while_something_was_away: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    artifacts_verified: int = 0
    wrong: list[str] = field(default_factory=list)


class Caller(threading.Thread):
    """Asks for jobs until there are enough, and changes its mind about some of them."""

    def __init__(self, url: str, key: str, jobs: int, seconds: float, choices: random.Random) -> None:
        super().__init__(daemon=True)
        self._client = Client(url, key, patience=60)
        self._jobs, self._pause, self._choices = jobs, seconds / jobs, choices
        self.wanted: dict[str, str] = {}
        self.refused = 0

    def run(self) -> None:
        while len(self.wanted) < self._jobs:
            job_id = self._try(lambda: self._client.jobs.create(JOB).id)
            if job_id:
                self.wanted[job_id] = self._choices.choice(CHANGES)
                self._change(job_id)
            time.sleep(self._pause)

    def _change(self, job_id: str) -> None:
        match self.wanted[job_id]:
            case "cancel":
                self._insist(lambda: self._client.jobs.cancel(job_id))
            case "pause and resume":
                self._insist(lambda: self._client.jobs.pause(job_id))
                self._insist(lambda: self._client.jobs.resume(job_id))

    def _insist(self, call: Any) -> None:
        """Until it is answered; a job that has ended, or does not pause yet, is an answer for a while."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                call()
                return
            except ApiError as error:
                if error.status == 409 and "once it is paused" not in str(error):
                    return
            except Unreachable:
                pass
            time.sleep(0.2)

    def _try(self, call: Any) -> Any:
        try:
            return call()
        except (ApiError, Unreachable) as error:
            if isinstance(error, ApiError) and error.status != 503:
                raise
            self.refused += 1
            return None


def soak(folder: Path, *, jobs: int, seconds: float, seed: int) -> Summary:
    """Disturb, wait for quiet, look."""
    summary = Summary(seconds=seconds, seed=seed, machine=about())
    choices = random.Random(seed)
    cluster = Cluster(folder)
    save_model(cluster.settings.model_root / "tiny", layers=12)
    database = Database(cluster.postgres.url)
    key = create_key(database, tenant="soak", name="soak", scopes=(Scope.ADMIN,))[1]
    caller = Caller(cluster.api.url, key, jobs, seconds * 0.9, random.Random(seed))
    try:
        caller.start()
        summary.faults = disturb(cluster, choices, until=time.monotonic() + seconds)
        caller.join(600)
        wait_for_quiet(database, seconds=1200)
        summary.accepted, summary.refused_while_something_was_away = len(caller.wanted), caller.refused
        check_jobs(summary, database, caller.wanted)
        check_artifacts(summary, cluster, key, caller.wanted, folder)
        delete_some(cluster, key, caller.wanted)
        check_leftovers(summary, cluster, database, caller.wanted)
    finally:
        database.close()
        cluster.stop()
    commands = [command_of(process) for process in cluster.processes()]
    summary.wrong += [
        f"a process is left: {command[:80]}" for command in commands if command and "resource_tracker" not in command
    ]
    return summary


def disturb(cluster: Cluster, choices: random.Random, *, until: float) -> dict[str, int]:
    """One fault after another, each at a random moment; how often each was caused."""
    counts: collections.Counter[str] = collections.Counter()
    while time.monotonic() < until:
        time.sleep(choices.uniform(3, 15))
        name = choices.choice(list(cluster.faults))
        print(f"{max(0, until - time.monotonic()):5.0f} s left: {name}", flush=True)
        cluster.faults[name](choices)
        counts[name] += 1
    return dict(sorted(counts.items()))


def wait_for_quiet(database: Database, *, seconds: float) -> None:
    """Until every job has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with database.begin() as session:
            left = session.execute(select(func.count()).where(Job.finished_at.is_(None))).scalar_one()
        if left == 0:
            return
        time.sleep(1)


def check_jobs(summary: Summary, database: Database, wanted: dict[str, str]) -> None:
    """Every accepted job is there, and has ended as it had to; there are no others than those whose answer got lost."""
    with database.begin() as session:
        states = {str(job_id): state for job_id, state in session.execute(select(Job.id, Job.state))}
        outcomes = session.execute(select(Attempt.outcome, func.count()).group_by(Attempt.outcome)).all()
    summary.states = dict(collections.Counter(states.values()))
    summary.attempts = {str(outcome): count for outcome, count in outcomes}
    for job_id, change in wanted.items():
        allowed = {"succeeded", "cancelled"} if change == "cancel" else {"succeeded"}
        if states.get(job_id) not in allowed:
            summary.wrong.append(f"job {job_id} ({change}) is {states.get(job_id, 'lost')}")


def check_artifacts(summary: Summary, cluster: Cluster, key: str, wanted: dict[str, str], folder: Path) -> None:
    """Every artifact downloads with the SHA-256 of its manifest; all weights are the same, for all jobs asked for the same."""
    weights = set()
    with Client(cluster.api.url, key, patience=60) as client:
        for job_id in wanted:
            if client.jobs.get(job_id).state == "succeeded":
                manifest = client.jobs.download(job_id, folder / "downloads" / job_id)
                weights |= {file.sha256 for file in manifest.files if file.path == "model.safetensors"}
                summary.artifacts_verified += 1
    if len(weights) != 1:
        summary.wrong.append(f"{len(weights)} different results of the same job")


def delete_some(cluster: Cluster, key: str, wanted: dict[str, str]) -> None:
    with Client(cluster.api.url, key, patience=60) as client:
        for job_id in [job_id for job_id, change in wanted.items() if change == "delete"]:
            client.jobs.delete(job_id)


def check_leftovers(summary: Summary, cluster: Cluster, database: Database, wanted: dict[str, str]) -> None:
    """Once the dispatchers have swept: in the store nothing but artifacts, in the caches nothing, no message unsent."""
    deadline = time.monotonic() + 120
    while (wrong := leftovers(cluster, database, wanted)) and time.monotonic() < deadline:
        time.sleep(1)
    summary.wrong += wrong


def leftovers(cluster: Cluster, database: Database, wanted: dict[str, str]) -> list[str]:
    with database.begin() as session:
        named = set(session.scalars(select(Job.artifact_prefix).where(Job.artifact_prefix.is_not(None))))
        open_attempts = session.execute(select(func.count()).where(Attempt.ended_at.is_(None))).scalar_one()
        unsent = session.execute(select(func.count()).select_from(OutboxMessage)).scalar_one()
        known = set(session.scalars(select(Job.id)))
    files = [key.removeprefix("soak/") for key in cluster.s3.keys(cluster.bucket)]
    stray = sorted(file for file in files if not any(file.startswith(f"{prefix}/") for prefix in named))
    cached = [file for file in cluster.settings.cache_dir.rglob("*") if file.is_file()]
    deleted = [job_id for job_id, change in wanted.items() if change == "delete" and UUID(job_id) in known]
    return [
        *(f"left in the store: {file}" for file in stray[:5]),
        *(f"left as an open upload: {key}" for key in cluster.s3.open_uploads(cluster.bucket)[:5]),
        *(f"left in the cache: {file.relative_to(cluster.settings.cache_dir)}" for file in cached[:5]),
        *(f"deleted, but there: {job_id}" for job_id in deleted[:5]),
        *([f"{open_attempts} attempts are open"] if open_attempts else []),
        *([f"{unsent} messages were not sent"] if unsent else []),
    ]


def table(summary: Summary) -> str:
    """The summary for people."""
    rows = [
        ("machine", summary.machine.get("machine", "")),
        ("faults", sum(summary.faults.values())),
        ("jobs accepted", summary.accepted),
        ("calls refused during an outage", summary.refused_while_something_was_away),
        *((f"jobs {state}", count) for state, count in sorted(summary.states.items())),
        *((f"attempts {outcome}", count) for outcome, count in sorted(summary.attempts.items())),
        ("artifacts downloaded and verified", summary.artifacts_verified),
        ("wrong", len(summary.wrong)),
    ]
    lines = [f"Soak: {summary.seconds / 60:.0f} minutes of random faults, seed {summary.seed}.", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    lines += ["", "| fault | times |", "|---|---|", *(f"| {name} | {count} |" for name, count in summary.faults.items())]
    return "\n".join([*lines, *(f"- {wrong}" for wrong in summary.wrong), ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dsnot-soak-") as folder:
        summary = soak(Path(folder), jobs=given.jobs, seconds=given.minutes * 60, seed=given.seed)
    given.results.mkdir(parents=True, exist_ok=True)
    (given.results / "soak.json").write_text(json.dumps(asdict(summary), indent=1) + "\n")
    (given.results / "soak.md").write_text(table(summary))
    print(table(summary))
    return 1 if summary.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
