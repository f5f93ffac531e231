"""Route of the OpenAPI document, which is serialised once; no key required."""

import json
from functools import lru_cache

from fastapi import APIRouter, FastAPI, Request, Response

from service.web.proxy_headers import prefix_of

router = APIRouter(include_in_schema=False)


@router.head("/openapi.json")
@router.get("/openapi.json")
async def read_description(request: Request) -> Response:
    """Return the OpenAPI document, with the path prefix as its server."""
    servers = json.dumps([{"url": prefix_of(request) or "/"}]).encode()
    return Response(b'{"servers":' + servers + b"," + _fields_of(request.app), media_type="application/json")


@lru_cache(maxsize=1)
def _fields_of(app: FastAPI) -> bytes:
    return json.dumps(app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()[1:]
