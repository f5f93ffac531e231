"""Where a page of a list ended: opaque to callers, and true however much is added meanwhile, for it names a place."""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from service.errors import InvalidInput


@dataclass(frozen=True)
class Cursor:
    """The creation time and id of a page's last item."""

    created_at: datetime
    id: UUID

    def encode(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([self.created_at.isoformat(), str(self.id)]).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises InvalidInput if we have not made it."""
        try:
            created_at, job_id = json.loads(base64.b64decode(text.encode(), altchars=b"-_", validate=True))
            cursor = cls(datetime.fromisoformat(created_at), UUID(job_id))
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise _refused() from None
        if cursor.created_at.tzinfo is None:
            raise _refused()
        return cursor


def _refused() -> InvalidInput:
    detail = "is not a cursor of this list; leave it out to begin with the newest"
    return InvalidInput(f"cursor {detail}", errors=[{"pointer": "cursor", "detail": detail}])
