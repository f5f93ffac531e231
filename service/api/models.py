"""Routes of models."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.contract.spec import ModelSpec
from service.models import operations
from service.models.schemas import InspectionView
from service.tenants.shares import ShareExceeded
from service.web.authentication import JobReader
from service.web.dependencies import TheModels
from service.web.problem_responses import problem_responses

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("/inspect", response_model=InspectionView, responses=problem_responses(ShareExceeded))
def inspect_model(caller: JobReader, models: TheModels, model: Annotated[ModelSpec, Query()]) -> InspectionView:
    """Inspect a model from its config and file headers: architecture, sizes, and whether and how far it can be pruned."""
    return InspectionView.of(operations.inspect(models, model, tenant=caller.tenant))
