"""HTTP of comparisons."""

from fastapi import APIRouter, HTTPException, Request, Response

from service.comparisons import operations
from service.comparisons.parameters import ComparedIds
from service.comparisons.schemas import ComparisonView
from service.errors import NotFound
from service.keys.authentication import JobReader
from service.problems import problem_responses
from service.resources import TheDatabase

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


@router.get("/compare", response_model=ComparisonView, responses=problem_responses(NotFound))
def compare_jobs(caller: JobReader, database: TheDatabase, ids: ComparedIds) -> ComparisonView:
    """Jobs side by side: in what they were asked for differently, what was measured of each, and which does best."""
    return ComparisonView.of(operations.compare(database, ids, tenant=caller.tenant))


async def _refuse(_request: Request) -> Response:
    raise HTTPException(405, headers={"Allow": "GET"})


# The next router would take `compare` for the id of a job that is to be deleted.
router.add_route(f"{router.prefix}/compare", _refuse, methods=["DELETE"], include_in_schema=False)
