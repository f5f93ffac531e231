"""Names of the Celery task and of the notification channels between the processes."""

from typing import Final

PRUNE_TASK: Final = "dsnot.prune"
"""Celery task with one keyword argument, `job_id`."""

EVENTS_CHANNEL: Final = "dsnot_job_events"
"""PostgreSQL NOTIFY channel; the payload is the job's id, sent by a trigger on the events table."""
LOGS_CHANNEL: Final = "dsnot_job_logs"
"""PostgreSQL NOTIFY channel of log lines, with the same payload; separate, because lines are more frequent than events."""
PROGRESS_CHANNEL: Final = "dsnot_job_progress"
"""PostgreSQL NOTIFY channel of progress within a stage; the payload is the job's id, a space and the progress as JSON."""
KEYS_CHANNEL: Final = "dsnot_keys"
"""PostgreSQL NOTIFY channel of keys that were revoked or rotated or whose sessions have ended; the payload is the key's id."""
