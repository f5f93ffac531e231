"""Timeouts of jobs: expired leases, queue deadlines, run deadlines.

Each rule handles a batch of rows in one transaction. A row that fails is logged and skipped, so that one broken job does not
block the queue.
"""

from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from sqlalchemy.orm import Session

from service.contract.states import JobState
from service.database.engine import Database
from service.dispatcher import repository
from service.dispatcher.metrics import RULES_APPLIED, RULES_FAILED
from service.jobs.attempts import transitions as transitions
from service.logging import get_logger

log = get_logger(__name__)


def expire_leases(database: Database) -> int:
    """Requeue or fail the jobs whose lease has expired; return their number."""
    with database.begin() as session:
        fences = dict(repository.expired_leases(session))
        return _each(
            session, list(fences), "lease_expired", lambda job_id: transitions.expire_lease(session, job_id, fences[job_id])
        )


def apply_queue_deadlines(database: Database) -> int:
    """Expire the jobs that no worker started before their queue deadline; return their number."""
    with database.begin() as session:
        late = repository.past_queue_deadline(session)
        return _each(session, late, "job_expired", lambda job_id: transitions.finish(session, job_id, JobState.EXPIRED))


def apply_run_deadlines(database: Database) -> int:
    """Fail the jobs whose run deadline has passed; return their number. Workers learn it from their next heartbeat."""
    with database.begin() as session:
        late = repository.past_run_deadline(session)
        return _each(session, late, "run_deadline_exceeded", partial(transitions.exceed_deadline, session))


def _each(session: Session, job_ids: Sequence[UUID], event: str, act: Callable[[UUID], None]) -> int:
    done = 0
    for job_id in job_ids:
        try:
            with session.begin_nested():
                act(job_id)
        except Exception:
            RULES_FAILED.inc()
            log.exception("rule_failed", rule=event, job_id=str(job_id))
        else:
            RULES_APPLIED.labels(event).inc()
            log.info(event, job_id=str(job_id))
            done += 1
    return done
