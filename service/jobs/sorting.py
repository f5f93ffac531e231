"""Sort orders of job lists, with keyset pagination and opaque cursors."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from uuid import UUID

from annotated_types import Interval
from pydantic import AllowInfNan, AwareDatetime, StringConstraints, TypeAdapter, ValidationError

from service.database.tables.jobs import Job
from service.kit.pagination import Cursor, refused

_SmallInteger = Annotated[int, Interval(ge=-(2**15), lt=2**15)]
MAX_CURSOR: Final = 2048
"""Maximum length of a cursor, which may contain a model name in any script."""
_Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class JobOrder(StrEnum):
    """Sort key; prefix `-` for descending. Ties are sorted newest first."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    LAST_ENDED = "-finished_at"
    FIRST_ENDED = "finished_at"
    MODEL = "model"
    MODEL_DOWN = "-model"
    STATE = "state"
    STATE_DOWN = "-state"
    MOST_URGENT = "-priority"
    LEAST_URGENT = "priority"
    NAME = "name"
    NAME_DOWN = "-name"
    DENSEST = "sparsity"
    SPARSEST = "-sparsity"
    BEST_PERPLEXITY = "perplexity"
    WORST_PERPLEXITY = "-perplexity"
    LEAST_AGREEMENT = "agreement"
    MOST_AGREEMENT = "-agreement"
    SMALLEST = "size"
    LARGEST = "-size"
    SHORTEST = "duration"
    LONGEST = "-duration"

    @property
    def column(self) -> str:
        """Key to sort by, without its direction."""
        return self.value.removeprefix("-")

    @property
    def attribute(self) -> str:
        """Attribute of the job that holds the key."""
        return _ATTRIBUTES.get(self.column, self.column)

    @property
    def is_descending(self) -> bool:
        """Whether the order is descending."""
        return self.value.startswith("-")


_ATTRIBUTES: Final = {"size": "artifact_bytes", "name": "title"}
_Figure = Annotated[float, AllowInfNan(False)]
_Bytes = Annotated[int, Interval(ge=0, lt=2**63)]
_PLACES: Final[Mapping[str, TypeAdapter[Any]]] = {
    "created_at": TypeAdapter(tuple[JobOrder, AwareDatetime, AwareDatetime, UUID]),
    "finished_at": TypeAdapter(tuple[JobOrder, AwareDatetime | None, AwareDatetime, UUID]),
    "model": TypeAdapter(tuple[JobOrder, _Text, AwareDatetime, UUID]),
    "state": TypeAdapter(tuple[JobOrder, _Text, AwareDatetime, UUID]),
    "priority": TypeAdapter(tuple[JobOrder, _SmallInteger, AwareDatetime, UUID]),
    "name": TypeAdapter(tuple[JobOrder, _Text, AwareDatetime, UUID]),
    "size": TypeAdapter(tuple[JobOrder, _Bytes | None, AwareDatetime, UUID]),
    **dict.fromkeys(
        ("sparsity", "perplexity", "agreement", "duration"),
        TypeAdapter(tuple[JobOrder, _Figure | None, AwareDatetime, UUID]),
    ),
}


@dataclass(frozen=True)
class Place:
    """Keyset position of a page's last job: its sort value, and creation time and id as tie-breakers."""

    order: JobOrder
    value: Any
    created_at: datetime
    id: UUID

    @classmethod
    def of(cls, job: Job, order: JobOrder) -> "Place":
        """Return the position of a job."""
        return cls(order, getattr(job, order.attribute), job.created_at, job.id)

    def encode(self) -> str:
        """Encode as an opaque cursor; newest first uses the common `Cursor` format."""
        if self.order == JobOrder.NEWEST:
            return Cursor(self.created_at, self.id).encode()
        written = _PLACES[self.order.column].dump_json((self.order, self.value, self.created_at, self.id))
        return base64.urlsafe_b64encode(written).decode()

    @classmethod
    def decode(cls, text: str, order: JobOrder) -> "Place":
        """Decode a cursor. Raises InvalidInput: the cursor is invalid or belongs to another order."""
        if order == JobOrder.NEWEST:
            cursor = Cursor.decode(text)
            return cls(order, cursor.created_at, cursor.created_at, cursor.id)
        try:
            written = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
            place = cls(*_PLACES[order.column].validate_json(written))
        except (ValueError, ValidationError):
            raise refused() from None
        if place.order != order:
            raise refused()
        return place
