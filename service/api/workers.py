"""Routes of workers."""

from fastapi import APIRouter

from service.web.authentication import JobReader
from service.web.dependencies import TheDatabase, TheSettings
from service.workers import operations
from service.workers.schemas import WorkerPage, WorkerView

router = APIRouter(prefix="/v1/workers", tags=["workers"])


@router.get("", response_model=WorkerPage)
def list_workers(caller: JobReader, database: TheDatabase, settings: TheSettings) -> WorkerPage:
    """List the workers, their devices and current jobs. Stopped and silent workers are listed for a day."""
    found = operations.known(database, settings)
    return WorkerPage(items=[WorkerView.of(occupation, tenant=caller.tenant) for occupation in found])
