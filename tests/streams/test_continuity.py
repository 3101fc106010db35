"""What a run of fetches means, and what is wrong with a log: pure, without an event loop."""

from types import SimpleNamespace
from typing import Any

import pytest

from stores.marks import Mark
from streams.continuity import (
    BEGINNING_GONE,
    CUT,
    REPLACED,
    Bounds,
    Fetched,
    judge,
    plan,
)
from streams.transport import Records

NOW = 5


def fetched(
    start: int,
    until: int,
    *,
    seek: int = 1,
    link: int = 0,
    thrown_back: bool = False,
    partition: int = 0,
) -> Fetched:
    records: Any = Records(SimpleNamespace(offset=offset) for offset in range(start, until))
    records.start, records.until, records.seek = start, until, seek
    records.thrown_back, records.link = thrown_back, link
    return Fetched(partition, NOW, records)


def test_what_follows_the_position_becomes_one_batch_per_partition() -> None:
    found = plan(
        [fetched(10, 20), fetched(0, 5, partition=1), fetched(20, 30)], {0: 10, 1: 0}, NOW, {}, {}
    )
    assert [(b.partition, b.base, b.until, len(b.records)) for b in found.batches] == [
        (0, 10, 30, 20),
        (1, 0, 5, 5),
    ]
    assert not (found.seeks or found.holes or found.thrown_back)


def test_what_is_not_held_or_of_an_earlier_assignment_is_dropped() -> None:
    earlier = fetched(10, 20)._replace(assignment=NOW - 1)
    found = plan([earlier, fetched(10, 20, partition=7)], {0: 10}, NOW, {}, {})
    assert found.batches == []


def test_a_log_that_threw_us_back_brings_no_batch_even_when_it_is_longer_again() -> None:
    """It was at 600, lost its tail from 500 on, and has new records at 500 to 650 since."""
    reread = [fetched(0, 400, thrown_back=True), fetched(400, 650, thrown_back=True)]
    found = plan(reread, {0: 600}, NOW, {}, {})
    assert found.batches == []
    assert found.thrown_back == {0: 1}
    # Answered by a look at the log and another seek: what was under way is dropped quietly.
    assert plan(reread, {0: 500}, NOW, {0: 1}, {}).thrown_back == {}


def test_what_came_by_a_link_that_the_log_was_not_checked_on_waits_for_the_check() -> None:
    run = [fetched(100, 110, link=3), fetched(110, 120, link=4), fetched(120, 130, link=4)]
    found = plan(run, {0: 100}, NOW, {}, {0: 3})
    assert [(batch.base, batch.until) for batch in found.batches] == [(100, 110)]
    assert (found.unchecked, found.seeks) == ({0: 1}, {})


def test_what_came_before_the_check_by_an_earlier_link_is_dropped() -> None:
    """It may be of a log that is no more; the check's own seek brings it again."""
    run = [fetched(100, 110, link=3), fetched(100, 108, link=4, seek=2)]
    found = plan(run, {0: 100}, NOW, {}, {0: 4})
    assert [(batch.base, batch.until) for batch in found.batches] == [(100, 108)]
    assert (found.unchecked, found.seeks) == ({}, {})


def test_a_fetch_before_was_dropped_is_answered_by_one_seek() -> None:
    behind = [fetched(529, 600), fetched(600, 650)]
    assert plan(behind, {0: 100}, NOW, {}, {}).seeks == {0: (100, 1)}
    assert plan(behind, {0: 100}, NOW, {0: 1}, {}).seeks == {}


@pytest.mark.parametrize(
    ("position", "bounds", "found", "reason"),
    [
        (10, Bounds(0, 10), Mark(9, 1, 1), None),
        (10, Bounds(0, 15), Mark(9, 1, 1), None),
        (10, Bounds(0, 15), Mark(9, 2, 1), REPLACED),
        (10, Bounds(0, 15), None, REPLACED),
        (10, Bounds(0, 9), None, CUT),
        (10, Bounds(11, 15), None, BEGINNING_GONE),
        (10, Bounds(10, 15), None, None),  # retention took the record, not what is to be read
    ],
)
def test_a_log_is_judged_by_its_ends_and_its_newest_mark(
    position: int, bounds: Bounds, found: Mark | None, reason: str | None
) -> None:
    wrong = judge(0, position, [Mark(9, 1, 1)], bounds, found)
    assert (None if wrong is None else wrong.reason) == reason


def test_without_marks_only_the_ends_judge() -> None:
    assert judge(0, 10, [], Bounds(0, 15), None) is None
