"""Formats of the events that fire triggers, and outcomes of a firing."""

from enum import StrEnum
from typing import Literal

Started = Literal["job", "sweep"]
"""Kind of resource that a trigger starts."""


class EventKind(StrEnum):
    """Format of an event."""

    CLOUDEVENTS = "cloudevents"
    HUGGINGFACE = "huggingface"
    MLFLOW = "mlflow"
    JSON = "json"


class TriggerSource(StrEnum):
    """Event format that a trigger accepts."""

    ANY = "any"
    """Any format, detected by the event's fields."""
    CLOUDEVENTS = EventKind.CLOUDEVENTS
    HUGGINGFACE = EventKind.HUGGINGFACE
    MLFLOW = EventKind.MLFLOW
    JSON = EventKind.JSON


class FiringOutcome(StrEnum):
    """Outcome of an event that reached a trigger."""

    FIRED = "fired"
    """The event started a job or a sweep."""
    DUPLICATE = "duplicate"
    """The event had started one before."""
    FILTERED = "filtered"
    """The filter rejected the event."""
    REFUSED = "refused"
    """The requested job or sweep was not accepted."""
    FAILED = "failed"
    """A dependency of the service was unavailable; the same event may be sent again."""


TRIGGER_LABEL = "dsnot/trigger"
"""The label of a trigger's jobs; its value is the trigger's id."""
