"""Every form of time, as the contract's one."""

from datetime import UTC, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.converted import Context, Unfit
from integrations.times import moment
from schemas.times import render_time

BERLIN = Context(received=1_795_000_000_000, zone=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("given", "time"),
    [
        (1_795_176_000, "2026-11-20T12:00:00.000Z"),
        (1_795_176_000_123, "2026-11-20T12:00:00.123Z"),
        (1_795_176_000_123_456, "2026-11-20T12:00:00.123Z"),
        (1_795_176_000_123_456_789, "2026-11-20T12:00:00.123Z"),
        (1_795_176_000.25, "2026-11-20T12:00:00.250Z"),
        (Decimal("1795176000.25"), "2026-11-20T12:00:00.250Z"),
        ("1795176000", "2026-11-20T12:00:00.000Z"),
        ("1795176000123", "2026-11-20T12:00:00.123Z"),
        ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00.000Z"),
        ("2026-11-20T12:00:00.645000Z", "2026-11-20T12:00:00.645Z"),
        ("2026-11-20T21:32:04.4588947-05:00", "2026-11-21T02:32:04.458Z"),
        ("2026-11-20 23:24:44 +0200", "2026-11-20T21:24:44.000Z"),
        ("2026-11-20T05:00:00-0700", "2026-11-20T12:00:00.000Z"),
        ("2026-11-20 12:00:00 UTC", "2026-11-20T12:00:00.000Z"),
        ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00.000Z"),
        ("2026-11-20T12:00:00", "2026-11-20T11:00:00.000Z"),
        ("2026-07-20 12:00", "2026-07-20T10:00:00.000Z"),
        ("Fri, 20 Nov 2026 12:00:00 +0000", "2026-11-20T12:00:00.000Z"),
        ("2026/11/20 12:00:00Z", "2026-11-20T12:00:00.000Z"),
        (None, "2026-11-18T11:06:40.000Z"),
        ("", "2026-11-18T11:06:40.000Z"),
    ],
)
def test_a_form_is_its_time(given: Any, time: str) -> None:
    assert moment(BERLIN, given) == time


@pytest.mark.parametrize(
    "given",
    [True, [], "yesterday", "2026-13-20T12:00:00Z", "2026-11-20T12:00:61Z", "20/11/2026 12:00",
     "2026-11-20T12:00:00+99:99", float("nan"), float("inf"), 10**30, "9" * 70, "0000-01-01T00:00Z",
     "9" * 20, -(10**21)],
)  # fmt: skip
def test_what_is_no_time_is_refused(given: Any) -> None:
    with pytest.raises(Unfit):
        moment(BERLIN, given)


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_every_moment_survives_its_own_form(when: Any) -> None:
    ms = int(when.replace(microsecond=when.microsecond // 1000 * 1000).timestamp() * 1000)
    if when.year >= 1990:
        text = moment(Context(), when.isoformat(timespec="milliseconds"))
        assert abs(int(ms) - _ms(text)) <= 1


def _ms(text: str) -> int:
    from datetime import datetime

    from schemas.times import from_datetime

    assert render_time(from_datetime(datetime.fromisoformat(text))) == text
    return from_datetime(datetime.fromisoformat(text))
