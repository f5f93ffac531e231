"""HTTP of recipes."""

from fastapi import APIRouter

from service.keys.authentication import JobReader
from service.recipes import operations
from service.recipes.schemas import RecipesView

router = APIRouter(prefix="/v1/recipes", tags=["recipes"])


@router.get("", response_model=RecipesView)
def list_recipes(_caller: JobReader) -> RecipesView:
    """Presets, criteria, patterns, refinements with their settings, and data sets."""
    return operations.describe()
