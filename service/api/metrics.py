"""Metrics for Prometheus; no key required, and no job, tenant or key ids in labels."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.web.request_metrics import METRICS_PATH

router = APIRouter()


@router.get(METRICS_PATH, include_in_schema=False)
def metrics(request: Request) -> Response:
    """Return all metrics in the Prometheus text format."""
    return Response(generate_latest(request.app.state.metrics), media_type=CONTENT_TYPE_LATEST)
