"""What travels between the processes: the task, the channel of events."""

from typing import Final

PRUNE_TASK: Final = "dsnot.prune"
"""Celery task with one keyword argument, `job_id`."""

EVENTS_CHANNEL: Final = "dsnot_job_events"
"""PostgreSQL NOTIFY channel; the payload is the job's id, sent by a trigger on the events table."""
