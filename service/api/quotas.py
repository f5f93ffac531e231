"""Routes of quotas. The operator sets them with `dsnot quotas`."""

from fastapi import APIRouter

from service.api.quota_usage import limits_and_use
from service.tenants.quotas.schemas import QuotaView
from service.web.authentication import JobReader
from service.web.dependencies import TheDatabase, TheSettings

router = APIRouter(prefix="/v1/quota", tags=["keys"])


@router.get("", response_model=QuotaView)
def get_quota(caller: JobReader, settings: TheSettings, database: TheDatabase) -> QuotaView:
    """Return the tenant's limits and usage."""
    limits, use = limits_and_use(database, settings, tenant=caller.tenant)
    return QuotaView.of(limits, use, max_artifacts_bytes=settings.max_artifact_bytes)
