"""Response models of the health routes."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from service.ops.health.operations import Verdict


class Alive(BaseModel):
    """Liveness of the service process."""

    status: Literal["alive"] = "alive"


class DependencyView(BaseModel):
    """Readiness of one dependency."""

    ok: bool
    detail: str


class ReadinessView(BaseModel):
    """Readiness of the service, with each dependency."""

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
        """Return the view of the verdicts by dependency."""
        parts = {name: DependencyView(ok=verdict.ok, detail=verdict.detail) for name, verdict in verdicts.items()}
        return cls(ready=all(part.ok for part in parts.values()), **parts)
