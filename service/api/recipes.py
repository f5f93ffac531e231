"""HTTP of recipes."""

from fastapi import APIRouter

from service.recipes import operations
from service.recipes.schemas import RecipesView
from service.web.authentication import JobReader

router = APIRouter(prefix="/v1/recipes", tags=["recipes"])


@router.get("", response_model=RecipesView)
def list_recipes(_caller: JobReader) -> RecipesView:
    """Presets, and every choice of a recipe with its settings; data sets; the defaults of a job."""
    return operations.describe()
