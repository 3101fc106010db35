"""What files of events hold, as a table and as JSON."""

from typing import Any

from rich.table import Table
from rich.text import Text

from admin.staging import Staged
from schemas.times import render_time


def told(staged: Staged) -> dict[str, Any]:
    return {
        "accepted": staged.accepted,
        "repeated": staged.repeated,
        "conflicts": staged.conflicts,
        "refused": [
            {"field": field, "reason": reason, "count": count}
            for (field, reason), count in staged.refused.most_common()
        ],
        "fans": staged.fans,
        "money": {name: format(amount, "f") for name, amount in sorted(staged.money.items())},
        "first": None if staged.first is None else render_time(staged.first),
        "last": None if staged.last is None else render_time(staged.last),
    }


def table(staged: Staged) -> Table:
    """All but what was refused."""
    rows = Table(box=None, pad_edge=False, show_header=False)
    rows.add_column(justify="right")
    rows.add_column(overflow="fold")
    rows.add_row(f"{staged.accepted:,}", "events")
    rows.add_row(f"{staged.repeated:,}", "repeated, counted once")
    if staged.conflicts:
        kept = "share an id with another event: they don't count, and are kept as dead letters"
        rows.add_row(f"{staged.conflicts:,}", Text(kept, "red"))
    rows.add_row(f"{staged.fans:,}", "fans")
    read = told(staged)
    for name, amount in read["money"].items():
        rows.add_row(amount, Text(name))
    if staged.accepted:
        rows.add_row("", f"from {read['first']} until {read['last']}")
    return rows
