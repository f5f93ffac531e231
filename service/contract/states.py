"""The life of a job: its states and which may follow which, the stages of a run, what is written down on the way."""

from enum import StrEnum
from typing import Final


class JobState(StrEnum):
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
"""From each state, the states that may follow. SQL statements take their `WHERE state IN` from here (`sources_of`)."""

TERMINAL_STATES: Final = frozenset(state for state, targets in TRANSITIONS.items() if not targets)


def sources_of(target: JobState) -> list[JobState]:
    """The states from which a job may go to `target`, in the order of the enum."""
    return [state for state in JobState if target in TRANSITIONS[state]]


class Stage(StrEnum):
    """The parts of a run, in their order."""

    RESOLVING = "resolving"
    LOADING = "loading"
    PRUNING = "pruning"
    EVALUATING = "evaluating"
    PUBLISHING = "publishing"


class EventType(StrEnum):
    """What happened to a job. `data` of each is described in the API's documentation of events."""

    CREATED = "created"
    ATTEMPT_STARTED = "attempt_started"
    STAGE_STARTED = "stage_started"
    BLOCK_PRUNED = "block_pruned"
    EVALUATED = "evaluated"
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
    """After the end: the artifact was kept as long as the service is set to."""


class AttemptOutcome(StrEnum):
    """Why an attempt ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"
    """The worker was told to stop and gave the job back; the attempt does not count."""
    PAUSED = "paused"
    """The user wants the job to wait; the attempt does not count."""
    LEASE_EXPIRED = "lease_expired"
    DEADLINE_EXCEEDED = "deadline_exceeded"


class Wish(StrEnum):
    """What a heartbeat brings back to the worker."""

    CONTINUE = "continue"
    CANCEL = "cancel"
    PAUSE = "pause"
    ABANDON = "abandon"
    """The fence is stale: somebody else owns the job, or it has ended. Write nothing more."""
