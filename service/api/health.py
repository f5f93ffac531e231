"""HTTP of health, for the platform that runs the service. No key is needed."""

from fastapi import APIRouter, Response

from service.ops.health.schemas import Alive, ReadinessView
from service.web.dependencies import TheReadiness

router = APIRouter(tags=["health"])


@router.get("/livez")
async def livez() -> Alive:
    """The process serves requests."""
    return Alive()


@router.get("/readyz", response_model=ReadinessView, responses={503: {"model": ReadinessView, "description": "Not ready"}})
def readyz(readiness: TheReadiness, response: Response) -> ReadinessView:
    """Database, broker and artifact store can be used. 503 if not all of them can."""
    view = ReadinessView.of(readiness.check())
    if not view.ready:
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return view
