"""Marks: what a position remembers of the log below it, so that another log is recognised. Pure.

A mark is a record's offset, a checksum of the whole record, and the time that the broker has for
it. The newest mark is the last record that was read; older ones are kept ever farther apart, so a
few are enough to find about where a changed log still agrees. Kafka's topic id, which fetches name
(`infra.kafka_ids`), tells a topic that was made again, but not one that was cut.
"""

import zlib
from collections.abc import Container, Iterable, Sequence
from typing import Any, Final, NamedTuple

MARKS_MAX: Final = 12


class Mark(NamedTuple):
    """One record below a position."""

    offset: int
    checksum: int
    time: int


def mark_of(record: Any) -> Mark:
    """The mark of a record as Kafka's client gives it."""
    parts = (record.key or b"", b"\0", record.value or b"", b"%d" % record.timestamp)
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return Mark(record.offset, checksum, record.timestamp)


def with_mark(marks: Sequence[Mark], newest: Mark) -> tuple[Mark, ...]:
    """The marks after `newest` was read: at most `MARKS_MAX`, the oldest and the newest kept.

    Beyond the bound that one goes whose neighbours are closest, measured by how far back they lie.
    """
    kept = [*(mark for mark in marks if mark.offset < newest.offset), newest]
    if len(kept) > MARKS_MAX:
        spacing = [
            (kept[i + 1].offset - kept[i - 1].offset) / (newest.offset - kept[i - 1].offset)
            for i in range(1, len(kept) - 2)
        ]
        del kept[1 + min(range(len(spacing)), key=spacing.__getitem__)]
    return tuple(kept)


def below(marks: Iterable[Mark], offset: int) -> tuple[Mark, ...]:
    """The marks that a position keeps when it goes back to `offset`."""
    return tuple(mark for mark in marks if mark.offset < offset)


def newest_agreed(marks: Sequence[Mark], proven: Container[Mark], start: int) -> Mark | None:
    """The newest mark that the log proves, and below which it disproves none.

    What lies below `start`, where the log begins, was deleted and says nothing.
    """
    agreed = None
    for mark in marks:
        if mark.offset >= start:
            if mark not in proven:
                break
            agreed = mark
    return agreed


def newest_lost(marks: Sequence[Mark], proven: Container[Mark]) -> Mark | None:
    """The newest mark that the log does not prove: a record that it had, and has no more."""
    return next((mark for mark in reversed(marks) if mark not in proven), None)


def marks_row(marks: Iterable[Mark]) -> list[int]:
    """The column `marks`."""
    return [number for mark in marks for number in mark]


def marks_from(column: Sequence[int]) -> tuple[Mark, ...]:
    return tuple(Mark(*column[i : i + 3]) for i in range(0, len(column) - 2, 3))
