"""Events as the API shows them."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract import EventType
from service.database.tables.events import JobEvent


class EventView(BaseModel):
    """One thing that happened to a job."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "seq": 7,
                "type": "block_pruned",
                "data": {
                    "block": 3,
                    "total": 30,
                    "matrices": 7,
                    "seconds": 1.2,
                    "resumed": False,
                    "peak_memory_bytes": {"host_total": 1_204_224_000, "device": None},
                },
                "created_at": "2026-01-31T12:00:00Z",
            }
        }
    )

    seq: int = Field(description="counts from 1 without gaps within a job")
    type: str = Field(
        description="what happened; newer versions of the service may have types that are not listed here",
        json_schema_extra={"x-extensible-enum": [str(known) for known in EventType]},
    )
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, event: JobEvent) -> Self:
        return cls(seq=event.seq, type=event.type, data=event.data, created_at=event.created_at)


class EventPage(BaseModel):
    """Events in their order."""

    items: list[EventView]
    next_cursor: str | None = Field(description="send it as `cursor` for the events after these; null when there are none now")
    last_seq: int = Field(description="number of the last event here; send it as `after` to ask again later")
