"""Health probes for orchestrators; no key required."""

from fastapi import APIRouter, Response

from service.ops.health.schemas import Alive, ReadinessView
from service.web.dependencies import TheReadiness

router = APIRouter(tags=["health"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez")
async def livez() -> Alive:
    """Report that the process serves requests."""
    return Alive()


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", response_model=ReadinessView, responses={503: {"model": ReadinessView, "description": "Not ready"}})
def readyz(readiness: TheReadiness, response: Response) -> ReadinessView:
    """Report whether database, broker and artifact store are usable; 503 if any is not."""
    view = ReadinessView.of(readiness.check())
    if not view.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return view
