"""Where pages of the list of jobs end, in each of its orders."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.states import JobState
from service.database.tables.jobs import Job
from service.errors import InvalidInput
from service.jobs.sorting import JobOrder, Place

moments = st.datetimes(timezones=st.just(UTC))
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80)
figures = st.floats(allow_nan=False, allow_infinity=False)
rows = st.builds(
    Job,
    id=st.uuids(),
    model=names,
    name=st.none() | names,
    artifact_bytes=st.none() | st.integers(0, 2**63 - 1),
    sparsity=st.none() | figures,
    perplexity=st.none() | figures,
    agreement=st.none() | figures,
    duration=st.none() | figures,
    state=st.sampled_from(JobState),
    priority=st.integers(0, 9),
    created_at=moments,
    finished_at=st.none() | moments,
)
orders = st.sampled_from(JobOrder)
FIRST = ["2026-01-01T00:00:00Z", str(UUID(int=1))]


def written(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@given(rows, orders)
def test_a_cursor_position_survives_a_round_trip(job: Job, order: JobOrder) -> None:
    place = Place.of(job, order)
    assert Place.decode(place.encode(), order) == place


@given(rows, orders, orders)
def test_a_position_is_valid_in_its_own_order_only(job: Job, order: JobOrder, other: JobOrder) -> None:
    if order != other:
        with pytest.raises(InvalidInput, match="is not a cursor of this list"):
            Place.decode(Place.of(job, order).encode(), other)


@given(st.text(max_size=80), orders)
def test_other_text_is_refused(text: str, order: JobOrder) -> None:
    with pytest.raises(InvalidInput):
        Place.decode(text, order)


@pytest.mark.parametrize(
    ("order", "value"),
    [
        ("priority", 2**40),
        ("priority", "high"),
        ("model", "a\0b"),
        ("model", "\ud800"),
        ("model", None),
        ("-model", 7),
        ("state", 3),
        ("finished_at", "2026-01-01T00:00:00"),
        ("-finished_at", "yesterday"),
        ("finished_at", {"a": []}),
        ("created_at", None),
        ("size", -1),
        ("size", 2**63),
        ("perplexity", "low"),
        ("-duration", "NaN"),
        ("name", None),
    ],
)
def test_values_no_column_can_hold_are_refused(order: str, value: Any) -> None:
    with pytest.raises(InvalidInput):
        Place.decode(written(order, value, *FIRST), JobOrder(order))


def test_a_datetime_without_time_zone_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Place.decode(written("model", "a", "2026-01-01T00:00:00", FIRST[1]), JobOrder.MODEL)
    assert Place.decode(written("model", "a", *FIRST), JobOrder.MODEL).created_at == datetime(2026, 1, 1, tzinfo=UTC)
