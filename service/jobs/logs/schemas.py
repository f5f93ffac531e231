"""API schemas of log lines."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from service.contract.logs import LogLevel
from service.contract.states import Stage
from service.database.tables.logs import JobLogLine


class LogLineView(BaseModel):
    """One log line of an attempt."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "seq": 12,
                "attempt": 1,
                "stage": "pruning",
                "level": "info",
                "text": "block_pruned block=3 total=30 seconds=1.2",
                "created_at": "2026-01-31T12:00:00Z",
            }
        }
    )

    seq: int = Field(description="line number within the job, over all attempts, from 1")
    attempt: int
    stage: Stage | None = Field(description="stage of the attempt; null outside of stages")
    level: LogLevel
    text: str = Field(description="event and fields, or a library's message; without line breaks, secrets are redacted")
    created_at: datetime

    @classmethod
    def of(cls, line: JobLogLine) -> Self:
        """Return the view of a line."""
        return cls(
            seq=line.seq,
            attempt=line.attempt,
            stage=Stage(line.stage) if line.stage else None,
            level=LogLevel.of(line.level),
            text=line.text,
            created_at=line.created_at,
        )


class LogPage(BaseModel):
    """One page of log lines, oldest first."""

    items: list[LogLineView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null if there are no later lines yet")
    last_seq: int = Field(description="number of the last line here; send it as `after` to poll for later lines")
