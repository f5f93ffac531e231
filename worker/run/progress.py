"""Progress reports of a run to the database: stages, blocks and progress, each write under the fence of its claim.

A `Reporter` is the engine's `Observer` of a pruning run, `EvaluationProgress` that of several evaluations in a row. Writes are
retried over short outages of the database; the run stops when the lease would expire.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from opentelemetry.trace import Span
from sqlalchemy.orm import Session

from service import tracing
from service.contract.matrices import MatrixReport
from service.contract.states import Stage
from service.contract.work import Work
from service.database.engine import TRANSIENT, Database
from service.database.reasons import reason_of
from service.jobs.attempts import repository
from service.jobs.attempts.repository import Claim, StaleFence
from service.logging import get_logger
from worker.process.metrics import BLOCKS, STAGE_SECONDS, STALE_WRITES, WRITES_RETRIED
from worker.process.peak_memory import PeakMemory
from worker.run.lease import ClaimLost, Lease

log = get_logger(__name__)

_RETRY_SECONDS: Final = 0.5
_ENOUGH: Final = 1 / 200
"""Minimum share of the total that must be done before the remaining time is estimated."""
_PROGRESS_SECONDS: Final = 1.0
"""Minimum interval between progress writes."""


class Reporter:
    """Reporter of one attempt."""

    def __init__(self, database: Database, claim: Claim, lease: Lease, memory: PeakMemory) -> None:
        self._database = database
        self._claim = claim
        self._lease = lease
        self._memory = memory
        self._stage: Stage | None = None
        self._span: Span | None = None
        self._stage_since = time.monotonic()
        self._progress_written = 0.0
        self._matrices = 0
        self._work: Work | None = None
        self._unit: str | None = None
        self._begun, self._begun_at = 0, 0.0  # count and time at which measuring the rate began in this unit
        self._block_began = time.monotonic()
        self._own_blocks, self._own_seconds = 0, 0.0  # blocks that this attempt has pruned, and their time
        self._in_block = (0, 0, 0)  # running block, number of blocks, pruned matrices
        self._earlier: dict[str, float] | None = None
        self.seconds: dict[str, float] = {}
        """Duration of each finished stage of this attempt."""

    @property
    def stage(self) -> Stage | None:
        """Current stage."""
        return self._stage

    def tick(self) -> None:
        """Raise worker.run.lease.Interruption if the run has to stop."""
        self._lease.check()

    def start_stage(self, stage: Stage) -> None:
        """End the current stage, if there is one, and begin the next."""
        self.end_stage()
        self.tick()
        self._stage = stage
        self._span = tracing.begin(f"stage {stage}")
        self.write(lambda session: repository.stage_started(session, self._claim.job_id, self._claim.fence, stage))
        log.info("stage_started", stage=stage)

    def end_stage(self) -> None:
        """End the current stage and record its duration."""
        now = time.monotonic()
        if self._stage is not None:
            self.seconds[str(self._stage)] = round(now - self._stage_since, 3)
            STAGE_SECONDS.labels(self._stage).observe(now - self._stage_since)
        if self._span is not None:
            self._span.end()
        self._stage, self._span, self._stage_since, self._unit = None, None, now, None

    def active_seconds(self) -> dict[str, float]:
        """Return the duration of each finished stage over all attempts."""
        if self._earlier is None:
            self._earlier = self._read_earlier()
        stages = [*dict.fromkeys([*self.seconds, *self._earlier])]
        return {stage: round(self.seconds.get(stage, 0.0) + self._earlier.get(stage, 0.0), 3) for stage in stages}

    def close(self) -> None:
        """End the attempt's trace; a stage that is still running is marked as not finished."""
        if self._span is not None:
            tracing.failed("not finished", self._span)
            self._span.end()

    def block_started(self, index: int, total: int) -> None:
        """Start measuring the block's peak memory."""
        self.tick()
        self._memory.begin_block()
        self._block_began = time.monotonic()
        self._in_block = (index, total, 0)
        if index == 0:  # also after a batch that was too large
            self._matrices = self._own_blocks = 0
            self._own_seconds = 0.0
            self._write_progress(0, total, "blocks")

    def matrix_pruned(self, total: int) -> None:
        """Report the pruned matrices of the running block, at most once a second."""
        block, blocks, before = self._in_block
        self._in_block = (block, blocks, before + 1)
        if time.monotonic() - self._progress_written >= _PROGRESS_SECONDS:
            elapsed = round(time.monotonic() - self._block_began, 1)
            within = {"matrices_done": before + 1, "matrices_total": total, "block_elapsed": elapsed} | self._own()
            self._write_progress(block, blocks, "blocks", within)

    def block_finished(self, index: int, total: int, matrices: Sequence[MatrixReport], *, resumed: bool = False) -> None:
        """Report a finished block with the measures of its matrices; `resumed`: an earlier attempt has pruned it."""
        if resumed:  # does not count for the rate of this attempt
            self._count_from(index + 1, "blocks", time.monotonic())
        else:
            self._own_blocks += 1
            self._own_seconds += time.monotonic() - self._block_began
        report = self._report(index + 1, total, "blocks") | self._own()
        memory = None if resumed else self._memory.of_block()
        self.write(
            lambda session: repository.block_pruned(
                session,
                self._claim.job_id,
                self._claim.fence,
                block=index,
                position=self._matrices,
                matrices=matrices,
                report=report,
                resumed=resumed,
                memory=memory,
            )
        )
        seconds = round(sum(matrix.seconds for matrix in matrices), 3)
        log.info("block_pruned", block=index, total=total, matrices=len(matrices), seconds=seconds, resumed=resumed)
        self._matrices += len(matrices)
        BLOCKS.labels("resumed" if resumed else "pruned").inc()
        self.tick()

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report the progress of the stage, at most once a second, and always at the beginning and end of a unit."""
        self.tick()
        if done == total or unit != self._unit or time.monotonic() - self._progress_written >= _PROGRESS_SECONDS:
            self._write_progress(done, total, unit)

    def model_resolved(self, revision: str) -> None:
        """Record the commit that the model's revision was resolved to."""
        self.write(lambda session: repository.model_resolved(session, self._claim.job_id, self._claim.fence, revision))
        log.info("model_resolved", revision=revision)

    def sized(self, work: Work) -> None:
        """Record the sizes that the run's time grows with."""
        self._work = work
        self.write(lambda session: repository.sized(session, self._claim.job_id, self._claim.fence, work))
        log.info("inputs_loaded", **work.model_dump(mode="json"))

    def spared(self, tokens: int) -> None:
        """Subtract tokens that did not have to go through a model from those to evaluate."""
        if self._work and tokens:
            self.sized(self._work.model_copy(update={"evaluated_tokens": self._work.evaluated_tokens - tokens}))

    def evaluated(self, which: str, metrics: dict[str, Any]) -> None:
        """Publish the metrics so far, of which the part `which` is new."""
        self.write(lambda session: repository.evaluated(session, self._claim.job_id, self._claim.fence, metrics, which))
        perplexity = {each["dataset"]: round(each["perplexity"], 4) for each in metrics[which].get("perplexity", [])}
        log.info("model_evaluated", model=which, perplexity=perplexity)

    def _read_earlier(self) -> dict[str, float]:
        found: dict[str, float] = {}
        if self._claim.attempt > 1:
            self.write(lambda session: found.update(repository.earlier_stage_seconds(session, self._claim)))
        return found

    def write(self, statement: Callable[[Session], None]) -> None:
        """Execute a fenced write in a transaction of its own, retrying while the database is unreachable.

        Raises:
            StaleFence: the claim was lost; nothing was written.
            ClaimLost: the database was unreachable until the lease expired; whether anything was written is unknown.
        """
        while True:
            try:
                with self._database.begin() as session:
                    return statement(session)
            except StaleFence:
                STALE_WRITES.inc()
                raise
            except TRANSIENT as error:
                WRITES_RETRIED.inc()
                log.warning("write_failed", reason=reason_of(error))
                if self._lease.is_over:
                    raise ClaimLost("the database was unreachable until the lease expired") from error
                time.sleep(_RETRY_SECONDS)

    def _write_progress(self, done: int, total: int, unit: str, more: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._progress_written = time.monotonic()
        report = self._report(done, total, unit) | dict(more)
        self.write(lambda session: repository.progress(session, self._claim.job_id, self._claim.fence, report))

    def _count_from(self, done: int, unit: str, since: float) -> None:
        self._unit, self._begun, self._begun_at = unit, done, since

    def _report(self, done: int, total: int, unit: str) -> dict[str, Any]:
        """Return the progress; `eta_seconds` extrapolates this attempt's rate to the rest of the unit."""
        if self._unit is None:
            self._count_from(0, unit, self._stage_since)
        elif unit != self._unit:
            self._count_from(done, unit, time.monotonic())
        spent, counted = time.monotonic() - self._begun_at, done - self._begun
        eta = round(spent / counted * (total - done), 1) if counted > 0 and counted >= _ENOUGH * total else None
        return {"done": done, "total": total, "unit": unit, "eta_seconds": eta}

    def _own(self) -> dict[str, Any]:
        """Return the blocks that this attempt has pruned and their mean time, from which the service estimates the end."""
        if not self._own_blocks:
            return {}
        return {"own_blocks": self._own_blocks, "block_seconds": round(self._own_seconds / self._own_blocks, 4)}


class EvaluationProgress:
    """Progress of several evaluations: blocks over all of them, and after each one's last block its windows."""

    def __init__(self, reporter: Reporter, evaluations: int) -> None:
        self._reporter = reporter
        self._evaluations = evaluations
        self._done = 0

    def windows_measured(self, done: int, total: int) -> None:
        """Report progress of the head, which runs after the last block of each evaluation."""
        self._reporter.progress(done, total, "windows")

    def skip_evaluation(self) -> None:
        """Remove one evaluation from the total: it is not needed."""
        self._evaluations -= 1

    def tick(self) -> None:
        """Raise worker.run.lease.Interruption if the run has to stop."""
        self._reporter.tick()

    def matrix_pruned(self, total: int) -> None:
        """Ignore: an evaluation prunes none."""

    def block_started(self, index: int, total: int) -> None:  # noqa: ARG002  # the engine's protocol
        """Raise worker.run.lease.Interruption if the run has to stop."""
        self._reporter.tick()

    def block_finished(
        self,
        index: int,  # noqa: ARG002
        total: int,
        matrices: Sequence[MatrixReport],  # noqa: ARG002
        *,
        resumed: bool = False,  # noqa: ARG002
    ) -> None:
        """Report the finished blocks over all evaluations."""
        self._done += 1
        self._reporter.progress(self._done, total * self._evaluations, "blocks")
