"""Cursors of the list of jobs."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidInput
from service.kit.pagination import Cursor

zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])


@given(st.datetimes(timezones=zones), st.uuids())
def test_a_cursor_survives_a_round_trip(created_at: datetime, job_id: UUID) -> None:
    assert Cursor.decode(Cursor(created_at, job_id).encode()) == Cursor(created_at, job_id)


@given(st.datetimes(timezones=zones), st.uuids())
def test_a_cursor_needs_no_url_quoting(created_at: datetime, job_id: UUID) -> None:
    allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="
    assert set(Cursor(created_at, job_id).encode()) <= set(allowed)


@given(st.text(max_size=80))
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Cursor.decode(text)


# base64 of: [1,2]  {}  null  ["2026-01-01T00:00:00", <uuid>] (no time zone)
@pytest.mark.parametrize(
    "forged",
    ["WzEsMl0=", "e30=", "bnVsbA==", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwiMDAwMDAwMDAtMDAwMC0wMDAwLTAwMDAtMDAwMDAwMDAwMDAxIl0="],
)
def test_forged_cursors_are_refused(forged: str) -> None:
    with pytest.raises(InvalidInput):
        Cursor.decode(forged)
