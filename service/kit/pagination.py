"""Keyset pagination with opaque cursors, newest first; stable under concurrent inserts."""

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
    """Creation time and id of a page's last item."""

    created_at: datetime
    id: Id

    def encode(self) -> str:
        """Return the cursor as opaque URL-safe text."""
        return base64.urlsafe_b64encode(json.dumps([self.created_at.isoformat(), str(self.id)]).encode()).decode()

    @staticmethod
    def decode(text: str) -> "Cursor[UUID]":
        """Return the cursor of a list with UUIDs. Raises InvalidInput if the text is not one of its cursors."""
        return _decode(text, UUID)

    @staticmethod
    def decode_named(text: str) -> "Cursor[str]":
        """Return the cursor of a list with alphanumeric ids. Raises InvalidInput if the text is not one of its cursors."""
        return _decode(text, _word)


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page of a list; `next_cursor` is None on the last."""

    items: Sequence[Item]
    next_cursor: str | None


def page_of(found: Sequence[Any], limit: int) -> Page[Any]:
    """Return the first `limit` rows as a page; queries fetch `limit + 1` rows, so that an extra row means a next page."""
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
    """Return the error for a cursor that does not belong to the list."""
    detail = "is not a cursor of this list; omit it to start from the beginning"
    return InvalidInput(f"cursor {detail}", errors=[{"pointer": "cursor", "detail": detail}])
