"""Advance of sweeps: events, a search's next point, the end, and the rest of a cancellation."""

from service.database.engine import Database
from service.dispatcher.metrics import RULES_APPLIED, RULES_FAILED
from service.logging import get_logger
from service.settings import Settings
from service.sweeps import advancing, lifecycle, repository

log = get_logger(__name__)


def advance_sweeps(database: Database, settings: Settings) -> int:
    """Advance the sweeps with points that have ended, and return their number; one that fails is logged and skipped."""
    done = 0
    with database.begin() as session:
        for sweep in repository.due(session):
            try:
                with session.begin_nested():
                    advancing.advance(session, settings, sweep)
            except Exception:
                RULES_FAILED.inc()
                log.exception("rule_failed", rule="sweep_advanced", sweep_id=str(sweep.id))
            else:
                RULES_APPLIED.labels("sweep_advanced").inc()
                done += 1
    return done


def finish_cancellations(database: Database) -> None:
    """Cancel the jobs that a crashed request to cancel a sweep has left."""
    with database.begin() as session:
        sweeps = repository.cancelling(session)
    for sweep_id, tenant in sweeps:
        lifecycle.cancel_jobs(database, sweep_id, tenant=tenant)
