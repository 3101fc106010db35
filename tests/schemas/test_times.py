"""Times are whole milliseconds inside and RFC 3339 outside."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from schemas.times import from_datetime, render_time, to_datetime

YEAR_1990, YEAR_9999 = 631_152_000_000, 253_402_300_799_999


@given(st.integers(YEAR_1990, YEAR_9999))
def test_a_time_is_the_same_after_it_was_written_and_read(ms: int) -> None:
    assert from_datetime(to_datetime(ms)) == ms
    assert from_datetime(datetime.fromisoformat(render_time(ms))) == ms
    assert len(render_time(ms)) == len("2024-11-12T10:30:00.000Z")


def test_the_documented_form() -> None:
    assert render_time(1_731_407_400_000) == "2024-11-12T10:30:00.000Z"
    assert render_time(1_731_407_400_007) == "2024-11-12T10:30:00.007Z"


def test_what_is_finer_than_a_millisecond_is_cut_off() -> None:
    moment = datetime(2024, 11, 12, 10, 30, 0, 1999, tzinfo=UTC)
    assert from_datetime(moment) == 1_731_407_400_001
    before_1970 = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert from_datetime(before_1970) == -1


@given(st.integers(YEAR_1990, YEAR_9999 - 10**9), st.integers(-840, 840))
def test_a_zone_changes_nothing(ms: int, minutes: int) -> None:
    elsewhere = to_datetime(ms).astimezone(timezone(timedelta(minutes=minutes)))
    assert from_datetime(elsewhere) == ms


@given(st.integers(YEAR_1990, YEAR_9999), st.integers(YEAR_1990, YEAR_9999))
def test_written_times_sort_as_the_times_do(one: int, other: int) -> None:
    assert (render_time(one) < render_time(other)) == (one < other)
