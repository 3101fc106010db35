"""The position rows by themselves: against the ends of the logs, and what can't be. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from admin.journal import Bounds
from admin.verify.differences import Difference, Where
from schemas.topics import INTERACTIONS
from stores.generations import Generation
from stores.tally import COUNTERS

_COUNTED: Final = ("accepted", "dead_letters", "suppressed", "control", *COUNTERS)


def beyond_the_log(
    where: Where, rows: Mapping[int, Any], bounds: Mapping[int, Bounds]
) -> list[Difference]:
    """Positions past the end of their partition: the log has lost what they counted."""
    found = []
    for partition, row in rows.items():
        end = bounds[partition].end if partition in bounds else 0
        if row["next"] > end:
            found.append(Difference(where, partition, "", "next", end, row["next"]))
    return found


def negative_counters(where: Where, rows: Mapping[int, Any]) -> list[Difference]:
    """Counters below zero: nothing can have been undone that often."""
    return [
        Difference(where, partition, "", name, 0, row[name])
        for partition, row in rows.items()
        for name in _COUNTED
        if row.get(name, 0) < 0
    ]


def partition_count(live: Generation, partitions: int) -> list[Difference]:
    """What the live views say they were folded from."""
    known = live.journal_partitions
    if known is None or known == partitions:
        return []
    return [Difference("generation", -1, "", "journal_partitions", partitions, known)]


def lowered_epochs(rows: Iterable[Any]) -> list[Difference]:
    """Rows whose epoch is below one that was claimed: two owners could both be the newest."""
    return [
        Difference(
            "intake" if row["topic"] == INTERACTIONS.name else "position",
            row["partition"],
            "",
            "epoch",
            row["claimed"],
            row["epoch"],
        )
        for row in rows
    ]
