"""What a dispatcher counts."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY: Final = CollectorRegistry()

MESSAGES_SENT: Final = Counter("dsnot_messages_sent", "Messages that the broker took.", registry=REGISTRY)
MESSAGES_REPEATED: Final = Counter(
    "dsnot_messages_repeated", "Messages sent once more for jobs that no worker had claimed in time.", registry=REGISTRY
)
BROKER_UP: Final = Gauge("dsnot_broker_up", "Whether the broker took the last message.", registry=REGISTRY)
BROKER_UP.set(1)
RULES_APPLIED: Final = Counter(
    "dsnot_rules_applied",
    "Jobs that the clock changed: taken from a lost worker, expired, too late.",
    ["rule"],
    registry=REGISTRY,
)
RULES_FAILED: Final = Counter("dsnot_rules_failed", "Jobs that a rule of the clock could not be applied to.", registry=REGISTRY)
FILES_SWEPT: Final = Counter(
    "dsnot_files_swept", "Files removed from the artifact store, by what they belonged to.", ["kind"], registry=REGISTRY
)
ARTIFACTS_LET_GO: Final = Counter(
    "dsnot_artifacts_let_go", "Artifacts of finished jobs that are kept no longer.", ["reason"], registry=REGISTRY
)
UPLOADS_ABORTED: Final = Counter("dsnot_uploads_aborted", "Multipart uploads that nobody would complete.", registry=REGISTRY)
WEBHOOK_ATTEMPTS: Final = Counter("dsnot_webhook_attempts", "Messages tried, by what came of it.", ["outcome"], registry=REGISTRY)
SWEEPS: Final = Counter(
    "dsnot_sweeps", "Rounds of the sweeper: done, or given up until the next.", ["outcome"], registry=REGISTRY
)

for _metric, _labels in (
    (RULES_APPLIED, ("lease_expired", "job_expired", "run_deadline_exceeded")),
    (FILES_SWEPT, ("attempt", "blocks", "dataset", "job")),
    (ARTIFACTS_LET_GO, ("age", "quota")),
    (WEBHOOK_ATTEMPTS, ("delivered", "postponed", "given_up", "gone")),
    (SWEEPS, ("done", "postponed")),
):
    for _label in _labels:
        _metric.labels(_label)  # a series that is there from the beginning, so that its first increase is seen
