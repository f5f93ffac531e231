"""An event as placeholders and filters see it, whatever it was written as."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from service.contract import EventKind
from service.errors import InvalidInput
from service.kit.json_pointer import pointer

_LONGEST_ID: Final = 512
"""As an index of the database can hold it."""


@dataclass(frozen=True)
class Message:
    """A request that is to hold an event."""

    headers: Mapping[str, str]
    """Their names in lower case."""
    content: Any
    """The body's JSON value; None if there is no body."""
    key: str | None = None
    """The sender's `Idempotency-Key`."""

    def text(self, *path: str) -> str:
        """A text of the body that has to be there."""
        here = self.content
        for step in path:
            here = here.get(step) if isinstance(here, dict) else None
        if not isinstance(here, str) or not here:
            raise wrong(pointer(path), f"must be a text that is not empty: {'.'.join(path)}")
        return here


@dataclass(frozen=True)
class Event:
    """What happened. Two events of one kind and id are the same event, sent twice."""

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
            raise wrong("", f"the event's id must have at most {_LONGEST_ID} characters, its source included")

    def document(self) -> dict[str, Any]:
        """`{"event": …, "data": …}`: what expressions are evaluated against, and what the log keeps."""
        about = asdict(self)
        return {"event": about, "data": about.pop("data")}


def event_of(document: dict[str, Any]) -> Event:
    """The event of a document that the log has kept."""
    about = document["event"]
    return Event(**{**about, "kind": EventKind(about["kind"])}, data=document["data"])


def wrong(where: str, detail: str) -> InvalidInput:
    """The error for a message that is no event; `where` is a JSON pointer or a header's name."""
    return InvalidInput(f"{where or 'the body'}: {detail}", errors=[{"pointer": where, "detail": detail}])
