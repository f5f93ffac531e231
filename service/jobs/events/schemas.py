"""API schemas of job events."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract.states import EventType
from service.contract.sweeps import SweepEventType
from service.database.tables.events import JobEvent
from service.database.tables.sweeps import SweepEvent


class EventView(BaseModel):
    """One event of a job or sweep."""

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

    seq: int = Field(
        description="event number within the job or sweep, from 1; without gaps until retention removes the events `block_pruned`"
    )
    type: str = Field(
        description="event type; newer versions of the service may have types that are not listed here",
        json_schema_extra={"x-extensible-enum": list(dict.fromkeys(map(str, (*EventType, *SweepEventType))))},
    )
    data: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, event: JobEvent | SweepEvent) -> Self:
        """Return the view of an event."""
        return cls(seq=event.seq, type=event.type, data=event.data, created_at=event.created_at)


class EventPage(BaseModel):
    """One page of events, oldest first."""

    items: list[EventView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null if there are no later events yet")
    last_seq: int = Field(description="number of the last event here; send it as `after` to poll for later events")
