"""Health as the API shows it."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from service.ops.health.operations import Verdict


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class DependencyView(BaseModel):
    ok: bool
    detail: str


class ReadinessView(BaseModel):
    """Whether requests can be served, dependency by dependency."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "ready": False,
                "database": {"ok": True, "detail": "ready"},
                "broker": {"ok": False, "detail": "no answer in time"},
                "artifact_store": {"ok": True, "detail": "ready"},
            }
        }
    )

    ready: bool
    database: DependencyView
    broker: DependencyView
    artifact_store: DependencyView

    @classmethod
    def of(cls, verdicts: dict[str, Verdict]) -> Self:
        parts = {name: DependencyView(ok=verdict.ok, detail=verdict.detail) for name, verdict in verdicts.items()}
        return cls(ready=all(part.ok for part in parts.values()), **parts)
