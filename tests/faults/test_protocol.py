"""The protocol against a model of its rules: workers that claim, renew, stall, end; callers; the clock; in any order.

The model is a page of plain Python. After each step what PostgreSQL holds must be what the model says.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select, text, update

from service.contract.devices import DeviceClass
from service.contract.failures import Failure, FailureCode
from service.contract.states import WorkerDirective
from service.database.engine import Database
from service.database.tables.attempts import Attempt
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.dispatcher.expiry import expire_leases
from service.errors import Conflict
from service.jobs import lifecycle
from service.jobs.attempts import repository
from service.jobs.attempts import transitions as transitions
from service.jobs.attempts.repository import Claim, StaleFence
from tests.support.job_rows import insert_job
from tests.support.size import sized

LEASE = 60.0
MAX_ATTEMPTS = 2
RETRYABLE = Failure(code=FailureCode.INTERNAL, detail="a test", retryable=True)
FINAL = Failure(code=FailureCode.MODEL_NOT_FOUND, detail="a test", retryable=False)
ENDED = {"succeeded", "failed", "cancelled", "expired"}
HELD = {"running", "pausing", "cancelling"}
_CHANGES = st.sampled_from(["cancel", "pause", "pause", "resume"])


@dataclass
class Expected:
    """What the rules say of one job."""

    number: int
    priority: int
    state: str = "queued"
    counted: int = 0
    holder: int | None = None
    """The fence of the attempt that holds it."""
    overdue: bool = False
    """Whether the lease of that attempt has run out."""
    outcomes: list[str] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    """The fences of the attempts whose lease was expired."""

    def ends(self, state: str, outcome: str | None) -> None:
        self.state = state
        self.gives_up(outcome)

    def gives_up(self, outcome: str | None) -> None:
        if outcome is not None:
            self.outcomes.append(outcome)
        self.holder, self.overdue = None, False

    def goes_on_later(self, outcome: str) -> None:
        self.ends("paused" if self.state == "pausing" else "queued", outcome)


class Protocol(RuleBasedStateMachine):
    """Several workers and callers on one database."""

    database: ClassVar[Database]
    claims = Bundle("claims")

    @initialize()
    def empty(self) -> None:
        with self.database.begin() as session:
            session.execute(text("TRUNCATE jobs, outbox CASCADE"))
        self.jobs: dict[UUID, Expected] = {}
        self.create(1)

    def holds(self, claim: Claim) -> Expected | None:
        job = self.jobs[claim.job_id]
        return job if job.holder == claim.fence else None

    @rule(priority=st.integers(0, 2))
    def create(self, priority: int) -> None:
        job_id = insert_job(self.database, priority=priority, max_attempts=MAX_ATTEMPTS, send=False)
        self.jobs[job_id] = Expected(len(self.jobs), priority)

    @rule(target=claims)
    def claim(self) -> Any:
        best = min(
            (job for job in self.jobs.items() if job[1].state == "queued"),
            key=lambda j: (-j[1].priority, j[1].number),
            default=None,
        )
        with self.database.begin() as session:
            found = repository.claim_next(session, worker="model", device=DeviceClass.CPU, lease_seconds=LEASE)
        if best is None:
            assert found is None
            return multiple()
        assert found is not None
        assert found.job_id == best[0], "highest priority, then oldest"
        job = best[1]
        job.state, job.holder, job.counted = "running", found.fence, job.counted + 1
        return found

    @rule(claim=claims)
    def heartbeat(self, claim: Claim) -> None:
        job = self.holds(claim)
        with self.database.begin() as session:
            wish = repository.heartbeat(session, claim.job_id, claim.fence, LEASE)
        if job is None:
            assert wish == WorkerDirective.ABANDON
            return
        job.overdue = False
        assert (
            wish
            == {"running": WorkerDirective.CONTINUE, "pausing": WorkerDirective.PAUSE, "cancelling": WorkerDirective.CANCEL}[
                job.state
            ]
        )

    @rule(claim=claims)
    def report(self, claim: Claim) -> None:
        self.write(claim, partial(repository.progress, report={"done": 1, "total": 2, "unit": "blocks"}))

    @rule(claim=consumes(claims))
    def succeed(self, claim: Claim) -> None:
        if job := self.write(claim, partial(transitions.succeed, metrics={}, artifact_prefix="jobs/x/1")):
            job.ends("succeeded", "succeeded")

    @rule(claim=consumes(claims), retryable=st.booleans())
    def fail(self, claim: Claim, retryable: bool) -> None:
        failure = RETRYABLE if retryable else FINAL
        if job := self.write(claim, partial(transitions.fail, failure=failure, retry_seconds=0)):
            if job.state == "cancelling":
                job.ends("cancelled", "failed")
            elif retryable and job.counted < MAX_ATTEMPTS:
                job.goes_on_later("failed")
            else:
                job.ends("failed", "failed")

    @rule(claim=consumes(claims), how=st.sampled_from(["release", "pause"]))
    def give_back(self, claim: Claim, how: str) -> None:
        outcome = {"release": "released", "pause": "paused"}[how]
        job = self.holds(claim)
        if how == "pause" and job is not None and job.state == "running":
            return  # a worker pauses only what it was asked to
        if job := self.write(claim, {"release": transitions.release, "pause": transitions.pause}[how]):
            job.counted -= job.state != "cancelling"
            if job.state == "cancelling":
                job.ends("cancelled", outcome)
            else:
                job.goes_on_later(outcome)

    @rule(claim=consumes(claims))
    def stop_for_the_user(self, claim: Claim) -> None:
        job = self.holds(claim)
        if job is not None and job.state != "cancelling":
            return
        if job := self.write(claim, transitions.cancel):
            job.ends("cancelled", "cancelled")

    @rule(claim=consumes(claims))
    def come_back(self, claim: Claim) -> None:
        """A worker that stood still gives up by itself, whether or not its lease was expired: the attempt does not count."""
        job = self.jobs[claim.job_id]
        with self.database.begin() as session:
            transitions.give_up(session, claim.job_id, claim.fence)
        if job.state not in ENDED and (claim.fence in job.lost or job.holder == claim.fence):
            job.counted -= 1
        if job.holder == claim.fence:
            if job.state == "cancelling":
                job.ends("cancelled", "lease_expired")
            else:
                job.goes_on_later("lease_expired")

    @rule(claim=claims)
    def stall(self, claim: Claim) -> None:
        """Nothing is heard of it for longer than its lease."""
        overdue = update(Attempt).where(Attempt.job_id == claim.job_id, Attempt.fence == claim.fence, Attempt.ended_at.is_(None))
        with self.database.begin() as session:
            session.execute(overdue.values(lease_expires_at=func.now() - timedelta(seconds=1)))
        if job := self.holds(claim):
            job.overdue = True

    @rule()
    def reap(self) -> None:
        lost = [job for job in self.jobs.values() if job.overdue]
        assert expire_leases(self.database) == len(lost)
        for job in lost:
            job.lost.add(job.holder or 0)
            if job.state == "cancelling":
                job.ends("cancelled", "lease_expired")
            elif job.counted < MAX_ATTEMPTS:
                job.goes_on_later("lease_expired")
            else:
                job.ends("failed", "lease_expired")

    @rule(claim=claims)
    def expire_lease(self, claim: Claim) -> None:
        self.stall(claim)
        self.reap()

    @rule(data=st.data(), change=_CHANGES)
    def call(self, data: st.DataObject, change: str) -> None:
        self.ask(data.draw(st.sampled_from(list(self.jobs))), change)

    @rule(claim=claims, change=_CHANGES)
    def call_about_a_job_that_was_claimed(self, claim: Claim, change: str) -> None:
        self.ask(claim.job_id, change)

    def ask(self, job_id: UUID, change: str) -> None:
        job = self.jobs[job_id]
        allowed, becomes = _CALLS[change]
        act: Callable[..., object] = getattr(lifecycle, change)
        if job.state not in allowed:
            with pytest.raises(Conflict):
                act(self.database, job_id, tenant="test")
        else:
            act(self.database, job_id, tenant="test")
            job.state = becomes.get(job.state, job.state)

    def write(self, claim: Claim, statement: Callable[..., None]) -> Expected | None:
        """A fenced write: the job it was allowed on; a stale one is refused."""
        job = self.holds(claim)
        if job is None:
            if self.jobs[claim.job_id].state == "succeeded":
                return None  # repeating a success is allowed to its own fence
            with pytest.raises(StaleFence), self.database.begin() as session:
                statement(session, claim.job_id, claim.fence)
            return None
        with self.database.begin() as session:
            statement(session, claim.job_id, claim.fence)
        return job

    @invariant()
    def the_database_holds_what_the_rules_say(self) -> None:
        with self.database.begin() as session:
            rows = {row.id: row for row in session.scalars(select(Job))}
            attempts = session.scalars(select(Attempt).order_by(Attempt.job_id, Attempt.number)).all()
            finals = session.execute(select(JobEvent.job_id, JobEvent.type).where(JobEvent.type.in_(ENDED))).all()
            counted = session.execute(
                select(JobEvent.job_id, func.count(), func.max(JobEvent.seq)).group_by(JobEvent.job_id)
            ).all()
        assert {job_id: row.state for job_id, row in rows.items()} == {job_id: job.state for job_id, job in self.jobs.items()}
        for job_id, job in self.jobs.items():
            mine = [attempt for attempt in attempts if attempt.job_id == job_id]
            assert [attempt.outcome for attempt in mine if attempt.ended_at] == job.outcomes
            assert [attempt.fence for attempt in mine if not attempt.ended_at] == ([job.holder] if job.holder else [])
            assert (job.holder is not None) == (job.state in HELD)
            assert (rows[job_id].finished_at is not None) == (job.state in ENDED)
            assert [kind for owner, kind in finals if owner == job_id] == ([job.state] if job.state in ENDED else [])
            assert rows[job_id].attempts_counted == job.counted
        assert all(count == last for _, count, last in counted), "events are numbered without gaps"


_CALLS: dict[str, tuple[set[str], dict[str, str]]] = {
    "cancel": (
        {"queued", "running", "pausing", "paused", "cancelling", "cancelled"},
        {"queued": "cancelled", "paused": "cancelled", "running": "cancelling", "pausing": "cancelling"},
    ),
    "pause": ({"queued", "running", "pausing", "paused"}, {"queued": "paused", "running": "pausing"}),
    "resume": ({"paused", "queued", "running"}, {"paused": "queued"}),
}


@pytest.fixture
def protocol(database: Database) -> type[Protocol]:
    Protocol.database = database
    return Protocol


def test_protocol_invariants_hold_in_any_order_of_events(protocol: type[Protocol]) -> None:
    bounds = settings(max_examples=sized(30, 150), stateful_step_count=40, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(protocol, settings=bounds)
