"""Query parameter `ids` of comparisons, repeated once per job."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Query
from pydantic import AfterValidator, BeforeValidator

LEAST: Final = 2
MOST: Final = 50
"""Jobs of one comparison: their ids still fit into a URL of 2,500 characters, and a series of jobs into one chart."""


def _id_of(text: object) -> object:
    try:
        return UUID(str(text))
    except ValueError:
        raise ValueError("is not a job id; repeat `ids` for each job, as in ids=A&ids=B") from None


def _some_jobs(ids: list[UUID]) -> list[UUID]:
    if not LEAST <= len(ids) <= MOST:
        raise ValueError(f"names {len(ids)} {'job' if len(ids) == 1 else 'jobs'}; give the ids of {LEAST} to {MOST}")
    twice = sorted({str(each) for each in ids if ids.count(each) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice; give each id once")
    return ids


ComparedIds = Annotated[
    list[Annotated[UUID, BeforeValidator(_id_of)]],
    AfterValidator(_some_jobs),
    Query(
        description=f"{LEAST} to {MOST} distinct job ids: `ids=A&ids=B`",
        json_schema_extra={"minItems": LEAST, "maxItems": MOST, "uniqueItems": True},
    ),
]
