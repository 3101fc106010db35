"""Sending: the rules that no setting moves, and when a creator's night ends."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

AUTOMATIC: Final = frozenset(("generic",))
"""Platforms whose rules let a program send what no person has read. OnlyFans' do not, and of the
others none says that it does: so only channels that are a creator's own."""
SPACING_SECONDS: Final = 45
"""From the end of one message to a recipient to the start of the next."""
WRITTEN_HOURS: Final = 24
"""No campaign writes to a fan who was written to so lately."""
PARTS_MAX: Final = 3
"""Messages of one draft."""
PART_LENGTH_MAX: Final = 2_000
DAY_MINUTES: Final = 1_440


def night_ends(now: datetime, zone: str, begins: int | None, ends: int | None) -> datetime | None:
    """When the quiet hours that it is within end; None outside of them.

    `begins` and `ends` are minutes of the day in `zone`; a night may contain midnight. On the days
    when the clocks change, what counts is what they show.
    """
    if begins is None or ends is None or begins == ends:
        return None
    local = now.astimezone(ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    within = begins <= minute < ends if begins < ends else minute >= begins or minute < ends
    if not within:
        return None
    end = local.replace(hour=ends // 60, minute=ends % 60, second=0, microsecond=0)
    if ends <= minute:
        end += timedelta(days=1)
    return end.astimezone(now.tzinfo)
