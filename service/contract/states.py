"""Life cycle of a job: states and transitions, stages of a run, events, and outcomes of attempts."""

from enum import StrEnum
from typing import Final


class JobState(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


TRANSITIONS: Final[dict[JobState, frozenset[JobState]]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED, JobState.EXPIRED, JobState.FAILED, JobState.PAUSED}),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLING,
            JobState.CANCELLED,
            JobState.PAUSING,
        }
    ),
    JobState.PAUSING: frozenset({JobState.PAUSED, JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLING}),
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    JobState.CANCELLING: frozenset({JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
    JobState.EXPIRED: frozenset(),
}
"""Allowed transitions from each state. SQL statements take their `WHERE state IN` from here (`sources_of`)."""

TERMINAL_STATES: Final = frozenset(state for state, targets in TRANSITIONS.items() if not targets)

HELD_STATES: Final = (JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING)
"""States in which a worker holds the job."""


def sources_of(target: JobState) -> list[JobState]:
    """Return the states from which a job may go to `target`, in the order of the enum."""
    return [state for state in JobState if target in TRANSITIONS[state]]


class Stage(StrEnum):
    """Stage of a run, in order."""

    RESOLVING = "resolving"
    LOADING = "loading"
    PRUNING = "pruning"
    EVALUATING = "evaluating"
    PUBLISHING = "publishing"


class EventType(StrEnum):
    """Type of a job's event. The API's documentation of events describes the `data` of each."""

    CREATED = "created"
    ATTEMPT_STARTED = "attempt_started"
    STAGE_STARTED = "stage_started"
    BLOCK_PRUNED = "block_pruned"
    EVALUATED = "evaluated"
    GATE_FAILED = "gate_failed"
    """Just before the success of a job whose pruned model misses a gate (`evaluation.require`)."""
    CANCEL_REQUESTED = "cancel_requested"
    PAUSE_REQUESTED = "pause_requested"
    ATTEMPT_ENDED = "attempt_ended"
    REQUEUED = "requeued"
    PAUSED = "paused"
    RESUMED = "resumed"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    ARTIFACT_REMOVED = "artifact_removed"
    """After the end of the job: the artifact's retention, by age, quota or the choice of its sweep, has expired."""
    MLFLOW_LOGGED = "mlflow_logged"
    """After the success of a job with `output.mlflow`: run and version exist."""
    MLFLOW_FAILED = "mlflow_failed"
    """Logging to MLflow was given up."""


class AttemptOutcome(StrEnum):
    """Reason why an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    """The worker was shutting down and gave the job back; the attempt does not count."""
    PAUSED = "paused"
    """The user paused the job; the attempt does not count."""
    LEASE_EXPIRED = "lease_expired"
    """The worker sent no heartbeat for a whole lease; the attempt counts unless the worker comes back and gives up by itself."""
    DEADLINE_EXCEEDED = "deadline_exceeded"


class WorkerDirective(StrEnum):
    """Instruction that a heartbeat returns to the worker."""

    CONTINUE = "continue"
    CANCEL = "cancel"
    PAUSE = "pause"
    ABANDON = "abandon"
    """The fence is stale: another attempt owns the job, or the job has ended. Write nothing more."""
