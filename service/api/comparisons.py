"""Routes of comparisons."""

from fastapi import APIRouter

from service.api.comparison_parameters import ComparedIds
from service.comparisons import operations
from service.comparisons.schemas import ComparisonView
from service.errors import NotFound
from service.web.authentication import JobReader
from service.web.dependencies import TheDatabase
from service.web.problem_responses import problem_responses, refuse_method

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/compare", response_model=ComparisonView, responses=problem_responses(NotFound))
def compare_jobs(caller: JobReader, database: TheDatabase, ids: ComparedIds) -> ComparisonView:
    """Compare jobs: differences of their specs, measurements, and the best job of each measurement."""
    return ComparisonView.of(operations.compare(database, ids, tenant=caller.tenant))


# The next router would match `compare` as the id of a job to delete.
router.add_route(f"{router.prefix}/compare", refuse_method, methods=["DELETE"], include_in_schema=False)
