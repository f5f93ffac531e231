"""Event formats: each in its own module, all converted to the common event model."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from service.contract.triggers import EventKind, TriggerSource
from service.errors import InvalidInput
from service.kit import strict_json
from service.triggers.events import cloudevents, huggingface, mlflow, plain
from service.triggers.events.event import Event, Message, event_of, wrong

__all__ = ["Event", "Message", "event_of", "message_of", "read"]

_FORMATS: Final[dict[EventKind, tuple[Callable[[Message], bool], Callable[[Message], Event]]]] = {
    EventKind.CLOUDEVENTS: (cloudevents.recognises, cloudevents.read),
    EventKind.MLFLOW: (mlflow.recognises, mlflow.read),
    EventKind.HUGGINGFACE: (huggingface.recognises, huggingface.read),
    EventKind.JSON: (lambda _: True, plain.read),
}
"""Detectors and readers, in the order of detection."""


def message_of(headers: Mapping[str, str], body: bytes, *, key: str | None = None) -> Message:
    """Return the message of a request, whose body `BodyGuard` has validated. `key` is the sender's `Idempotency-Key`."""
    return Message({name.lower(): value for name, value in headers.items()}, strict_json.parse(body) if body else None, key)


def read(message: Message, source: TriggerSource) -> Event:
    """Return the event of a message.

    Raises:
        InvalidInput, UnsupportedMediaType, MalformedBody: the message has no event, or none of the required format.
    """
    kinds = list(_FORMATS) if source == TriggerSource.ANY else [EventKind(source)]
    for kind in kinds:
        recognises, reader = _FORMATS[kind]
        if recognises(message) or len(kinds) == 1:
            event = reader(message)
            _check(event.document())
            return event
    raise AssertionError("plain JSON matches every message")


def _check(document: dict[str, Any]) -> None:
    """Raise InvalidInput for invalid text: headers have not passed `BodyGuard`."""
    strict_json.check(document["data"])
    for name, value in document["event"].items():
        try:
            strict_json.check(value)
        except InvalidInput as error:
            raise wrong(name, f"the event's {name}: {error.detail}") from None
