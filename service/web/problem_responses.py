"""Exception handlers that render errors as RFC 9457 problems, and the problems' OpenAPI declaration."""

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from service.contract.validation_errors import field_errors
from service.database.engine import TRANSIENT
from service.database.reasons import reason_of
from service.errors import PROBLEM_MEDIA_TYPE, InvalidInput, Later, NotFound, Problem, Unavailable
from service.logging import get_logger
from service.web.headers import RETRY_AFTER
from service.web.proxy_headers import prefix_of

log = get_logger(__name__)


class MethodNotAllowed(Problem):
    """Problem 405: the path does not support the method."""

    status, type, title = 405, "method-not-allowed", "Method not allowed"


class Refused(Problem):
    """Problem 400: HTTP error raised by the framework."""

    status, type, title = 400, "bad-request", "Bad request"


class Internal(Problem):
    """Problem 500: uncaught exception."""

    status, type, title = 500, "internal", "Internal server error"


class ErrorView(BaseModel):
    """One validation error."""

    pointer: str = Field(description="JSON pointer into the body, or the name of a parameter")
    detail: str


class ProblemView(BaseModel):
    """Problem document (RFC 9457)."""

    type: str = Field(
        description="URI reference of the section about this type; it contains the path prefix of a proxy, so compare `code`",
        examples=["/errors#invalid-input"],
    )
    code: str = Field(description="stable identifier of the type, for programs", examples=["invalid-input"])
    title: str
    status: int
    detail: str
    errors: list[ErrorView] | None = None


def render(problem: Problem, request: Request) -> Response:
    """Return the problem as a response."""
    # ASCII: a field name in the input may contain a lone surrogate, which UTF-8 cannot encode
    content = json.dumps(problem.body(prefix_of(request)), ensure_ascii=True)
    return Response(content, problem.status, problem.headers, PROBLEM_MEDIA_TYPE)


def problem_responses(*problems: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """Return `responses=` for a route or router that may answer with these problems."""
    declared: dict[int | str, dict[str, Any]] = {}
    for problem in problems:
        example = problem("Cause and remedy.").body()
        content = {"schema": {"$ref": "#/components/schemas/ProblemView"}, "example": example}
        declared[problem.status] = {"description": problem.title, "content": {PROBLEM_MEDIA_TYPE: content}}
        if issubclass(problem, Later):
            declared[problem.status]["headers"] = RETRY_AFTER
    return declared


def install(app: FastAPI) -> None:
    """Register the exception handlers, which answer every error with a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    for away in TRANSIENT:
        app.add_exception_handler(away, _database_away)


def _answered(request: Request, problem: Problem) -> Response:
    request.state.problem = problem.type
    return render(problem, request)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answered(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(entry["loc"][0] == "path" for entry in found):
        return _answered(request, NotFound("the path contains a malformed id"))
    errors = field_errors(found, error.body)
    return _answered(request, InvalidInput("; ".join(_sentence(entry) for entry in errors[:3]), errors=errors))


def _sentence(entry: dict[str, str]) -> str:
    return f"{entry['pointer'] or 'the body'}: {entry['detail']}"


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == NotFound.status:
        return _answered(request, NotFound(f"there is no route {request.url.path}; check the path"))
    if error.status_code == MethodNotAllowed.status:
        detail = f"{request.method} is not supported at {request.url.path}; see the header Allow"
        return _answered(request, MethodNotAllowed(detail, headers={"Allow": _allowed(request)}))
    return _answered(request, Refused(str(error.detail)))


async def refuse_method(_request: Request) -> Response:
    """Answer 405 on a path that another route would match as its own."""
    raise HTTPException(MethodNotAllowed.status)


def _allowed(request: Request) -> str:
    """Return the methods of all routes at this path, because the framework names only those of the first one.

    A path with its own route, such as `/v1/jobs/compare`, does not count as an id of another route.
    """
    matching = [route for route in iter_route_contexts(request.app.routes) if route.matches(request.scope)[0] is not Match.NONE]
    here = [route for route in matching if route.path == request.url.path] or matching
    able = [route for route in here if route.endpoint is not refuse_method]
    return ", ".join(sorted({method for route in able for method in route.methods or ()}))


async def _database_away(request: Request, error: Exception) -> Response:
    log.warning("database_unavailable", error=type(error).__name__, reason=reason_of(error))
    return _answered(request, Unavailable("the database does not answer; try again shortly"))
