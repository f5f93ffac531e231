"""Routes of recipes."""

from fastapi import APIRouter

from service.recipes import operations
from service.recipes.schemas import RecipesView
from service.web.authentication import JobReader

router = APIRouter(prefix="/v1/recipes", tags=["recipes"])


@router.get("", response_model=RecipesView)
def list_recipes(_caller: JobReader) -> RecipesView:
    """List presets, all recipe options with their settings, data sets, and a job's defaults."""
    return operations.describe()
