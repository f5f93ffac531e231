"""What a worker's child counts. Its parent, which outlives it, shows it to Prometheus: see `worker.process.metrics_server`.

The child writes into files of the folder that `PROMETHEUS_MULTIPROC_DIR` names, and the next one goes on with the same: one child
works at a time.
"""

import os
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

from service.contract import AttemptOutcome, FailureCode, Stage

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: "child")  # type: ignore[no-untyped-call]

REGISTRY: Final = CollectorRegistry()
_SECONDS: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)

STAGE_SECONDS: Final = Histogram(
    "dsnot_stage_seconds", "How long the finished stages of jobs took.", ["stage"], buckets=_SECONDS, registry=REGISTRY
)
ATTEMPTS_ENDED: Final = Counter(
    "dsnot_attempts_ended",
    "Attempts of this worker, by how they ended; lease_expired: the job was lost.",
    ["outcome"],
    registry=REGISTRY,
)
FAILURES: Final = Counter("dsnot_failures", "Attempts that failed, by the code of the failure.", ["code"], registry=REGISTRY)
BLOCKS: Final = Counter(
    "dsnot_blocks", "Blocks that were pruned, or taken from an earlier attempt.", ["origin"], registry=REGISTRY
)
STALE_WRITES: Final = Counter("dsnot_stale_writes", "Writes refused because the fence was stale.", registry=REGISTRY)
WRITES_REPEATED: Final = Counter("dsnot_writes_repeated", "Writes repeated because the database was away.", registry=REGISTRY)
UPLOADED_BYTES: Final = Counter("dsnot_uploaded_bytes", "Bytes of artifacts sent and read back.", registry=REGISTRY)
TRANSFERS_FAILED: Final = Counter(
    "dsnot_transfers_failed", "Files that were not uploaded, or read back otherwise, at one go.", registry=REGISTRY
)
PEAK_MEMORY: Final = Gauge(
    "dsnot_last_job_peak_memory_bytes",
    "The most memory that the last job took, in the host and on the device.",
    ["place"],
    registry=REGISTRY,
    multiprocess_mode="mostrecent",
)

# series that are there from the beginning, so that their first increase is seen
for _stage in Stage:
    STAGE_SECONDS.labels(_stage)
for _outcome in AttemptOutcome:
    ATTEMPTS_ENDED.labels(_outcome)
for _code in FailureCode:
    FAILURES.labels(_code)
for _origin in ("pruned", "resumed"):
    BLOCKS.labels(_origin)
