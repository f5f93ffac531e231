"""Reading events: each format in a file of its own, all of them into one shape."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from service.contract import EventKind, TriggerSource
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
"""In the order in which they are tried."""


def message_of(headers: Mapping[str, str], body: bytes, *, key: str | None = None) -> Message:
    """What has arrived; the body has passed `BodyGuard` and is JSON if there is one. `key` is the sender's `Idempotency-Key`."""
    return Message({name.lower(): value for name, value in headers.items()}, strict_json.parse(body) if body else None, key)


def read(message: Message, source: TriggerSource) -> Event:
    """The event that a message holds.

    Raises:
        InvalidInput, UnsupportedMediaType, MalformedBody: it holds none, or none of the kind that is wanted.
    """
    kinds = list(_FORMATS) if source == TriggerSource.ANY else [EventKind(source)]
    for kind in kinds:
        recognises, reader = _FORMATS[kind]
        if recognises(message) or len(kinds) == 1:
            event = reader(message)
            _check(event.document())
            return event
    raise AssertionError("JSON is recognised last and always")


def _check(document: dict[str, Any]) -> None:
    """What headers say has not passed `BodyGuard`."""
    strict_json.check(document["data"])
    for name, value in document["event"].items():
        try:
            strict_json.check(value)
        except InvalidInput as error:
            raise wrong(name, f"the event's {name}: {error.detail}") from None
