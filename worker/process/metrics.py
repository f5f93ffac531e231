"""Prometheus metrics of a worker's child, exposed by its parent, which outlives it: see `worker.process.metrics_server`.

The child writes into files in the folder `PROMETHEUS_MULTIPROC_DIR`; the next child continues them: one child works at a time.
"""

import os
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

from service.contract.failures import FailureCode
from service.contract.states import AttemptOutcome, Stage

_IMPORTER: Final = os.getpid()


def _process_identifier() -> str:
    """Return the process part of file names; on a change prometheus_client reads the values from the files again."""
    return "importer" if os.getpid() == _IMPORTER else "child"


if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    values.ValueClass = values.MultiProcessValue(process_identifier=_process_identifier)  # type: ignore[no-untyped-call]

REGISTRY: Final = CollectorRegistry()
_SECONDS: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)

STAGE_SECONDS: Final = Histogram(
    "dsnot_stage_seconds", "Duration of finished stages of jobs, in seconds.", ["stage"], buckets=_SECONDS, registry=REGISTRY
)
ATTEMPTS_ENDED: Final = Counter(
    "dsnot_attempts_ended",
    "Ended attempts of this worker, by outcome; lease_expired: the claim was lost.",
    ["outcome"],
    registry=REGISTRY,
)
FAILURES: Final = Counter("dsnot_failures", "Failed attempts, by failure code.", ["code"], registry=REGISTRY)
BLOCKS: Final = Counter(
    "dsnot_blocks", "Blocks pruned, or resumed from an earlier attempt, by origin.", ["origin"], registry=REGISTRY
)
STALE_WRITES: Final = Counter("dsnot_stale_writes", "Writes rejected because of a stale fence.", registry=REGISTRY)
WRITES_RETRIED: Final = Counter("dsnot_writes_retried", "Writes retried while the database was unreachable.", registry=REGISTRY)
LOG_LINES: Final = Counter("dsnot_log_lines", "Log lines that were stored with their jobs.", registry=REGISTRY)
UPLOADED_BYTES: Final = Counter("dsnot_uploaded_bytes", "Artifact bytes uploaded and read back.", registry=REGISTRY)
TRANSFERS_FAILED: Final = Counter(
    "dsnot_transfers_failed", "Failed tries to upload a file and read it back unchanged.", registry=REGISTRY
)
PEAK_MEMORY: Final = Gauge(
    "dsnot_last_job_peak_memory_bytes",
    "Peak memory of the last job, on the host and on the device, in bytes.",
    ["place"],
    registry=REGISTRY,
    multiprocess_mode="mostrecent",
)

# series exist from the start, so that their first increase is visible
for _stage in Stage:
    STAGE_SECONDS.labels(_stage)
for _outcome in AttemptOutcome:
    ATTEMPTS_ENDED.labels(_outcome)
for _code in FailureCode:
    FAILURES.labels(_code)
for _origin in ("pruned", "resumed"):
    BLOCKS.labels(_origin)
