"""Subjects of webhook messages, read from the database."""

from service.database.engine import Session
from service.database.tables.events import JobEvent
from service.database.tables.jobs import Job
from service.database.tables.sweeps import Sweep, SweepEvent
from service.database.tables.webhooks import Delivery
from service.sweeps import repository as sweeps
from service.webhooks.messages import Subject, about_job, about_sweep


def subject_of(session: Session, delivery: Delivery) -> Subject | None:
    """Return the job or sweep of a delivery with its event; None for a test message."""
    job = session.get(Job, delivery.job_id) if delivery.job_id else None
    event = session.get(JobEvent, (delivery.job_id, delivery.seq)) if delivery.job_id else None
    if job is not None and event is not None:
        return about_job(job, event)
    sweep = session.get(Sweep, delivery.sweep_id) if delivery.sweep_id else None
    step = session.get(SweepEvent, (delivery.sweep_id, delivery.seq)) if delivery.sweep_id else None
    if sweep is not None and step is not None:
        return about_sweep(sweep, sweeps.counts(session, [sweep.id]).get(sweep.id, {}), step)
    return None
