"""Names of the Celery task and of the notification channels between the processes."""

from typing import Final

PRUNE_TASK: Final = "dsnot.prune"
"""Celery task with one keyword argument, `job_id`."""

EVENTS_CHANNEL: Final = "dsnot_job_events"
"""PostgreSQL NOTIFY channel; the payload is the job's id, sent by a trigger on the events table."""
LOGS_CHANNEL: Final = "dsnot_job_logs"
"""PostgreSQL NOTIFY channel of log lines, with the same payload; separate, because lines are more frequent than events."""
