"""Routes of models."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from service.contract.model_spec import ModelSpec
from service.models import operations
from service.models.folder import local_models
from service.models.schemas import InspectionView, LocalModels
from service.tenants.shares import ShareExceeded
from service.web.authentication import JobReader
from service.web.dependencies import TheModels, TheSettings
from service.web.problem_responses import problem_responses

router = APIRouter(prefix="/v1/models", tags=["models"])


_MOST_LOCAL: Final = 200


@router.get("", response_model=LocalModels)
def list_local_models(_caller: JobReader, models: TheModels, settings: TheSettings) -> LocalModels:
    """List up to 200 local models: the folders below the model root, if the service can read it, not only the workers."""
    found = local_models(settings, limit=_MOST_LOCAL) if models.has_folders else []
    return LocalModels.of(found)


@router.get("/inspect", response_model=InspectionView, responses=problem_responses(ShareExceeded))
def inspect_model(caller: JobReader, models: TheModels, model: Annotated[ModelSpec, Query()]) -> InspectionView:
    """Inspect a model from its config and file headers: architecture, sizes, and whether and how far it can be pruned."""
    return InspectionView.of(operations.inspect(models, model, tenant=caller.tenant))
