"""Prometheus metrics of the dispatcher."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY: Final = CollectorRegistry()

MESSAGES_SENT: Final = Counter("dsnot_messages_sent", "Messages accepted by the broker.", registry=REGISTRY)
MESSAGES_REPEATED: Final = Counter(
    "dsnot_messages_repeated", "Messages sent again for jobs that no worker claimed in time.", registry=REGISTRY
)
BROKER_UP: Final = Gauge("dsnot_broker_up", "1 if the broker accepted the last message, else 0.", registry=REGISTRY)
BROKER_UP.set(1)
RULES_APPLIED: Final = Counter(
    "dsnot_timeouts_applied",
    "Jobs changed by a timeout: lease expired, queue deadline, run deadline.",
    ["rule"],
    registry=REGISTRY,
)
RULES_FAILED: Final = Counter("dsnot_timeouts_failed", "Jobs whose timeout could not be applied.", registry=REGISTRY)
FILES_REMOVED: Final = Counter(
    "dsnot_files_removed", "Files removed from the artifact store, by owner.", ["kind"], registry=REGISTRY
)
ARTIFACTS_EXPIRED: Final = Counter(
    "dsnot_artifacts_expired", "Artifacts removed by a retention rule, by rule.", ["reason"], registry=REGISTRY
)
JOBS_EXPIRED: Final = Counter("dsnot_jobs_expired", "Jobs deleted at the end of their retention.", registry=REGISTRY)
UPLOADS_ABORTED: Final = Counter("dsnot_uploads_aborted", "Abandoned multipart uploads that were aborted.", registry=REGISTRY)
WEBHOOK_ATTEMPTS: Final = Counter(
    "dsnot_webhook_attempts", "Webhook delivery attempts by outcome.", ["outcome"], registry=REGISTRY
)
MLFLOW_ATTEMPTS: Final = Counter(
    "dsnot_mlflow_attempts", "Attempts to log a job to MLflow by outcome.", ["outcome"], registry=REGISTRY
)
GC_ROUNDS: Final = Counter(
    "dsnot_gc_rounds", "Garbage collection rounds: done, or postponed by an error.", ["outcome"], registry=REGISTRY
)
STORE_MISMATCH: Final = Gauge(
    "dsnot_store_mismatch",
    "1 if the artifact store belongs to another database, so that nothing is deleted from it, else 0.",
    registry=REGISTRY,
)

for _metric, _labels in (
    (RULES_APPLIED, ("lease_expired", "job_expired", "run_deadline_exceeded")),
    (FILES_REMOVED, ("attempt", "blocks", "dataset", "job")),
    (ARTIFACTS_EXPIRED, ("age", "quota")),
    (WEBHOOK_ATTEMPTS, ("delivered", "postponed", "given_up", "gone")),
    (MLFLOW_ATTEMPTS, ("logged", "postponed", "given_up")),
    (GC_ROUNDS, ("done", "postponed")),
):
    for _label in _labels:
        _metric.labels(_label)  # create the series at 0, so that its first increase is visible
