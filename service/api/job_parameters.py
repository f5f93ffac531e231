"""Query parameters and headers of job routes, strictly validated."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Header, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import StringConstraints

from service.contract.recipe.presets import PresetName
from service.contract.states import JobState
from service.errors import InvalidInput
from service.jobs.repository import JobFilter
from service.jobs.sorting import MAX_CURSOR, JobOrder
from service.kit.datetimes import Moment
from service.web.headers import HeaderText
from service.web.query_parameters import PAGE_BEFORE

_LABEL: Final = "label."
_ETAG: Final = re.compile(r'(?:W/)?"(\d{1,9})"')

LABEL_PARAMETER: Final[dict[str, Any]] = {
    "name": "label",
    "in": "query",
    "description": "`label.<name>=<value>`: only jobs with this label; repeatable",
    "style": "form",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}, "propertyNames": {"pattern": r"^label\..+$"}},
    "example": {"label.team": "search"},
}

_Text = Annotated[str, StringConstraints(max_length=256)]


async def _job_filter(
    request: Request,
    state: Annotated[list[JobState], Query(description="only jobs in this state; repeatable")] = [],  # noqa: B006  # FastAPI copies it
    model: Annotated[_Text | None, Query(description="the model's id")] = None,
    created_after: Annotated[Moment | None, Query()] = None,
    created_before: Annotated[Moment | None, Query()] = None,
    q: Annotated[
        _Text | None,
        Query(
            description="substring of the job's name, the model's id or a label `name=value`, or prefix of the id; "
            "case-insensitive"
        ),
    ] = None,
    sweep: Annotated[UUID | None, Query(description="only the jobs of this sweep, also those that were retried")] = None,
    preset: Annotated[list[PresetName], Query(description="only jobs with this preset; repeatable")] = [],  # noqa: B006
) -> JobFilter:
    given = request.query_params.multi_items()
    labels = {name.removeprefix(_LABEL): value for name, value in given if name.startswith(_LABEL)}
    return JobFilter(state, model, labels, created_after, created_before, q or None, sweep, preset)


WantedJobs = Annotated[JobFilter, Depends(_job_filter)]

JobCursor = Annotated[str | None, Query(max_length=MAX_CURSOR, description=PAGE_BEFORE)]
SortedBy = Annotated[
    JobOrder,
    Query(
        description="sort key; prefix with - for descending. Ties: newest first. Other orders than by created_at cover the "
        "newest 10,000 jobs that match the filters"
    ),
]


async def only_known_parameters(request: Request) -> None:
    """Raise InvalidInput for unknown query parameters: a misspelt filter must not list everything."""
    given = request.query_params.multi_items()
    known = _names(request.scope["route"]) if given else set()
    for name, value in given:
        if name not in known and not (name.startswith(_LABEL) and name != _LABEL and "label" in known):
            raise _refused(name, f"unknown parameter; use one of: {', '.join(sorted(known)) or 'none'}")
        if "\0" in name + value:
            raise _refused(name, "must not contain NUL characters")


def _names(route: APIRoute) -> set[str]:
    """Return the query parameters of a route, including those that it only declares for the OpenAPI document."""
    read = {field.alias for field in get_flat_params(Dependant(query_params=list(_query_parameters(route.dependant))))}
    return read | {each["name"] for each in (route.openapi_extra or {}).get("parameters", ()) if each["in"] == "query"}


def _query_parameters(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.query_params
    for each in dependant.dependencies:
        yield from _query_parameters(each)


def _refused(name: str, detail: str) -> InvalidInput:
    return InvalidInput(f"{name}: {detail}", errors=[{"pointer": name, "detail": detail}])


def versions_of(if_match: str | None) -> frozenset[int] | None:
    """Return the versions that `If-Match` allows; None if any. Foreign tags match nothing.

    The weak comparison applies, because a proxy that compresses responses weakens their tags, and the version means the job.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = (_ETAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag)


async def _versions(
    request: Request,
    _if_match: Annotated[HeaderText, Header(alias="If-Match", description="only if the job has this version")] = None,
) -> frozenset[int] | None:
    return versions_of(_one_line(request, "If-Match"))


IfMatch = Annotated[frozenset[int] | None, Depends(_versions)]


def is_known(if_none_match: str | None, version: int) -> bool:
    """Return whether `If-None-Match` names this version; the weak comparison applies."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or f'"{version}"' in {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}


async def _known(
    request: Request,
    _if_none_match: Annotated[
        HeaderText, Header(alias="If-None-Match", description="304 if the job still has this version")
    ] = None,
) -> str | None:
    return _one_line(request, "If-None-Match")


IfNoneMatch = Annotated[str | None, Depends(_known)]


def _one_line(request: Request, header: str) -> str | None:
    """Return the header's lines joined by commas, which is equivalent for lists."""
    lines = request.headers.getlist(header)
    return ",".join(lines) if lines else None
