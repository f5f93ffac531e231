"""What fires triggers, and what can come of it."""

from enum import StrEnum


class EventKind(StrEnum):
    """How an event is written."""

    CLOUDEVENTS = "cloudevents"
    HUGGINGFACE = "huggingface"
    MLFLOW = "mlflow"
    JSON = "json"


class TriggerSource(StrEnum):
    """Which kinds of event a trigger takes."""

    ANY = "any"
    """Recognised by its shape."""
    CLOUDEVENTS = EventKind.CLOUDEVENTS
    HUGGINGFACE = EventKind.HUGGINGFACE
    MLFLOW = EventKind.MLFLOW
    JSON = EventKind.JSON


class FiringOutcome(StrEnum):
    FIRED = "fired"
    """It started a job."""
    DUPLICATE = "duplicate"
    """The event had started a job before."""
    FILTERED = "filtered"
    """The filter did not let it through."""
    REFUSED = "refused"
    """The job that it asks for was not accepted."""
    FAILED = "failed"
    """Something of ours was away; the same event may be sent again."""


TRIGGER_LABEL = "dsnot/trigger"
"""The label of a trigger's jobs; its value is the trigger's id."""
