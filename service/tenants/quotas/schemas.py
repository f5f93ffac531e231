"""API schemas of quotas."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from service.tenants.quotas.operations import Limits, Use


class Share(BaseModel):
    """Use and limit of one resource."""

    used: int
    limit: int | None = Field(description="null: no limit")


class QuotaView(BaseModel):
    """Limits of the tenant and its current use."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "queued_jobs": {"used": 3, "limit": 1000},
                "running_jobs": {"used": 2, "limit": 8},
                "datasets_bytes": {"used": 51200, "limit": 10737418240},
                "triggers": {"used": 1, "limit": 100},
                "webhooks": {"used": 2, "limit": 20},
                "artifacts_bytes": {"used": 269000000, "limit": None},
                "reads_per_minute": 6000,
                "writes_per_minute": 1200,
                "share": 1,
                "max_priority": 9,
                "keep_jobs_seconds": None,
                "keep_artifacts_seconds": 2592000,
                "keep_layers_seconds": 7776000,
                "keep_audit_seconds": 31536000,
            }
        }
    )

    queued_jobs: Share
    running_jobs: Share = Field(description="at the limit further jobs stay queued")
    datasets_bytes: Share
    triggers: Share
    webhooks: Share
    artifacts_bytes: Share = Field(description="beyond the limit the oldest artifacts are removed")
    reads_per_minute: int | None = Field(description="of all API keys together; null: no limit")
    writes_per_minute: int | None = Field(description="of all API keys together; null: no limit")
    share: int = Field(description="weight of the tenant's turns at the workers: a tenant of share 2 gets two for one of share 1")
    max_priority: int = Field(description="highest `priority` of a new job")
    keep_jobs_seconds: float | None = Field(description="retention of ended jobs; null: unlimited")
    keep_artifacts_seconds: float | None = Field(description="retention of artifacts; null: unlimited")
    keep_layers_seconds: float | None = Field(
        description="retention of the figures of matrices and blocks of ended jobs; null: unlimited"
    )
    keep_audit_seconds: float | None = Field(description="retention of the audit log and of ended API keys; null: unlimited")

    @classmethod
    def of(cls, limits: Limits, use: Use, *, max_artifacts_bytes: int | None) -> Self:
        """Return the view of these limits and this use."""
        return cls(
            queued_jobs=Share(used=use.queued_jobs, limit=limits.max_queued_jobs),
            running_jobs=Share(used=use.running_jobs, limit=limits.max_running_jobs),
            datasets_bytes=Share(used=use.datasets_bytes, limit=limits.max_datasets_bytes),
            triggers=Share(used=use.triggers, limit=limits.max_triggers),
            webhooks=Share(used=use.webhooks, limit=limits.max_webhooks),
            artifacts_bytes=Share(used=use.artifacts_bytes, limit=max_artifacts_bytes),
            reads_per_minute=limits.reads_per_minute or None,
            writes_per_minute=limits.writes_per_minute or None,
            share=limits.share,
            max_priority=limits.max_priority,
            keep_jobs_seconds=limits.keep_jobs_seconds,
            keep_artifacts_seconds=limits.keep_artifacts_seconds,
            keep_layers_seconds=limits.keep_layers_seconds,
            keep_audit_seconds=limits.keep_audit_seconds,
        )
