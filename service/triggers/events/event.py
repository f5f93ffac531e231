"""Event model shared by all formats; expressions are evaluated on it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from service.contract.json_pointer import pointer
from service.contract.triggers import EventKind
from service.errors import InvalidInput

_LONGEST_ID: Final = 512
"""Limit of the database index."""


@dataclass(frozen=True)
class Message:
    """Request with an event."""

    headers: Mapping[str, str]
    """Headers by lower-case name."""
    content: Any
    """The body's JSON value; None if there is no body."""
    key: str | None = None
    """The sender's `Idempotency-Key`."""

    def text(self, *path: str) -> str:
        """Return a required string of the body. Raise InvalidInput."""
        here = self.content
        for step in path:
            here = here.get(step) if isinstance(here, dict) else None
        if not isinstance(here, str) or not here:
            raise wrong(pointer(path), f"must be a non-empty string: {'.'.join(path)}")
        return here


@dataclass(frozen=True)
class Event:
    """Event in the common form. Events with the same kind and id are duplicates."""

    kind: EventKind
    id: str
    source: str | None = None
    type: str | None = None
    time: str | None = None
    subject: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)
    data: Any = None

    def __post_init__(self) -> None:
        if not 0 < len(self.id) <= _LONGEST_ID:
            raise wrong("", f"the event's id must have at most {_LONGEST_ID} characters, including its source")

    def document(self) -> dict[str, Any]:
        """Return `{"event": …, "data": …}`: what expressions are evaluated on and the log stores."""
        about = asdict(self)
        return {"event": about, "data": about.pop("data")}


def event_of(document: dict[str, Any]) -> Event:
    """Return the event of a logged document."""
    about = document["event"]
    return Event(**{**about, "kind": EventKind(about["kind"])}, data=document["data"])


def wrong(where: str, detail: str) -> InvalidInput:
    """Return the error of a message that is not an event; `where` is a JSON pointer or a header's name."""
    return InvalidInput(f"{where or 'the body'}: {detail}", errors=[{"pointer": where, "detail": detail}])
