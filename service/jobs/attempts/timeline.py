"""Stages of a job's attempts and their durations, from the job's events."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from service.contract.states import EventType
from service.database.tables.attempts import Attempt
from service.database.tables.events import JobEvent

MILESTONES: Final = (EventType.ATTEMPT_STARTED, EventType.STAGE_STARTED, EventType.ATTEMPT_ENDED)


@dataclass(frozen=True)
class Span:
    """Stage of one attempt."""

    stage: str
    began_at: datetime
    ended_at: datetime | None
    """None while it runs."""

    def seconds(self, now: datetime) -> float:
        """Return the duration, until `now` if the stage is running."""
        return ((self.ended_at or now) - self.began_at).total_seconds()


@dataclass
class Course:
    """Attempt and its stages."""

    attempt: Attempt
    spans: list[Span] = field(default_factory=list)

    def seconds(self, now: datetime) -> float:
        """Return the duration, until `now` if the attempt is running."""
        return ((self.attempt.ended_at or now) - self.attempt.started_at).total_seconds()


def courses(attempts: Sequence[Attempt], milestones: Iterable[JobEvent]) -> list[Course]:
    """Return the attempts in order, with stages from `milestones`, which are ordered by sequence number."""
    found = {attempt.number: Course(attempt) for attempt in attempts}
    number: int | None = None
    for event in milestones:
        course = found.get(number) if number is not None else None
        if event.type == EventType.ATTEMPT_STARTED:
            number = event.data.get("attempt")
        elif course is not None:
            _end_last(course, event.created_at)
            if event.type == EventType.STAGE_STARTED:
                course.spans.append(Span(str(event.data.get("stage")), event.created_at, None))
    for course in found.values():
        if course.attempt.ended_at is not None:
            _end_last(course, course.attempt.ended_at)
    return list(found.values())


def stage_seconds(found: Iterable[Course], now: datetime) -> dict[str, float]:
    """Return the time of each stage over all attempts, until `now` where one is running; waits and pauses do not count."""
    seconds: dict[str, float] = {}
    for span in (span for course in found for span in course.spans):
        seconds[span.stage] = seconds.get(span.stage, 0.0) + span.seconds(now)
    return seconds


def active_seconds(found: Iterable[Course], now: datetime) -> float:
    """Return the time of all attempts, until `now` if one is running."""
    return sum(course.seconds(now) for course in found)


def _end_last(course: Course, moment: datetime) -> None:
    if course.spans and course.spans[-1].ended_at is None:
        last = course.spans[-1]
        course.spans[-1] = Span(last.stage, last.began_at, moment)
