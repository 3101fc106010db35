"""Quiet hours: whether it is night for a creator, and when it ends."""

from datetime import UTC, datetime

import pytest

from schemas.sending import night_ends

NIGHT = (22 * 60, 7 * 60)


@pytest.mark.parametrize(
    ("now", "zone", "hours", "ends"),
    [
        ("2026-11-28T21:00", "UTC", (None, None), None),
        ("2026-11-28T21:00", "UTC", (60, 60), None),
        ("2026-11-28T21:59", "UTC", NIGHT, None),
        ("2026-11-28T22:00", "UTC", NIGHT, "2026-11-29T07:00"),
        ("2026-11-29T06:59", "UTC", NIGHT, "2026-11-29T07:00"),
        ("2026-11-29T07:00", "UTC", NIGHT, None),
        ("2026-11-28T13:30", "UTC", (13 * 60, 14 * 60), "2026-11-28T14:00"),
        ("2026-11-28T21:30", "Europe/Berlin", NIGHT, "2026-11-29T06:00"),
        ("2026-11-28T12:00", "America/Los_Angeles", NIGHT, "2026-11-28T15:00"),
        # The clocks go back in this night: it is an hour longer.
        ("2026-10-24T22:00", "Europe/Berlin", NIGHT, "2026-10-25T06:00"),
    ],
)
def test_a_night_is_the_creators_own(
    now: str, zone: str, hours: tuple[int | None, int | None], ends: str | None
) -> None:
    found = night_ends(datetime.fromisoformat(now).replace(tzinfo=UTC), zone, *hours)
    expected = None if ends is None else datetime.fromisoformat(ends).replace(tzinfo=UTC)
    assert found == expected
