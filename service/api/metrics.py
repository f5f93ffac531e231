"""HTTP of metrics, for Prometheus. No key is needed; no id of a job, a tenant or a key is among them."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.web.request_metrics import METRICS_PATH

router = APIRouter()


@router.get(METRICS_PATH, include_in_schema=False)
def metrics(request: Request) -> Response:
    """Everything in the text format of Prometheus."""
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)
