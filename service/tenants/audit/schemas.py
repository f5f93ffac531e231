"""API schemas of the audit log."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class AuditView(BaseModel):
    """One modifying request, refused ones included, or one command of the operator."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "id": "0f9d2c1e-7b1a-4f0e-9d53-6f0a4c8f3a11",
                "created_at": "2026-11-26T09:30:00Z",
                "key_id": "abcdefgh1234",
                "action": "create_job",
                "path": "/v1/jobs",
                "created": "/v1/jobs/2b6f0cc9-04f1-4b0f-8b7e-0a4f2f1f7c55",
                "status": 201,
                "problem": None,
                "request_id": "5e7c0b0f6a4d4c2f9f5d3b1a8e6c7d90",
                "address": "10.0.0.7",
            }
        },
    )

    id: UUID
    created_at: datetime
    key_id: str | None = Field(description="null: a command of the operator")
    action: str = Field(description="the operationId in this document")
    path: str = Field(description="path of the resource that was changed")
    created: str | None = Field(description="path of the created resource")
    status: int | None = Field(description="HTTP status; null for a command, and where the service ended before it responded")
    problem: str | None = Field(description="why it was refused: the problem's type without its prefix")
    request_id: str | None = Field(description="as in `X-Request-ID` and in the service's logs")
    address: str | None = Field(description="client address of the request")


class AuditPage(BaseModel):
    """One page of the audit log, newest first."""

    items: list[AuditView]
    next_cursor: str | None = Field(description="send it as `cursor` for the next page; null on the last")
