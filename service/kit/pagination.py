"""Pages of lists, newest first, and where each ended: opaque to callers, and true however much is added meanwhile."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic
from uuid import UUID

from typing_extensions import TypeVar

from service.errors import InvalidInput

Id = TypeVar("Id", UUID, str, default=UUID)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Cursor(Generic[Id]):
    """The creation time and id of a page's last item."""

    created_at: datetime
    id: Id

    def encode(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([self.created_at.isoformat(), str(self.id)]).encode()).decode()

    @staticmethod
    def decode(text: str) -> "Cursor[UUID]":
        """Raises InvalidInput if we have not made it."""
        return _decode(text, UUID)

    @staticmethod
    def decode_named(text: str) -> "Cursor[str]":
        """For lists whose items have a word as their id. Raises InvalidInput if we have not made it."""
        return _decode(text, _word)


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Part of a list, and where the next part begins; None at the end."""

    items: Sequence[Item]
    next_cursor: str | None


def page_of(found: Sequence[Any], limit: int) -> Page[Any]:
    """The first `limit` rows, each with `created_at` and `id`. Whoever asks for one row more learns that there is a next page."""
    items = found[:limit]
    return Page(items, Cursor(items[-1].created_at, items[-1].id).encode() if len(found) > limit else None)


def _decode(text: str, id_of: Callable[[str], Id]) -> Cursor[Id]:
    try:
        created_at, item_id = json.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
        cursor = Cursor(datetime.fromisoformat(created_at), id_of(item_id))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise refused() from None
    if cursor.created_at.tzinfo is None:
        raise refused()
    return cursor


def _word(text: str) -> str:
    if not (text.isascii() and text.isalnum()):
        raise ValueError(text)
    return text


def refused() -> InvalidInput:
    """What a cursor is answered with that we have not made for this list."""
    detail = "is not a cursor of this list; leave it out to begin at its start"
    return InvalidInput(f"cursor {detail}", errors=[{"pointer": "cursor", "detail": detail}])
