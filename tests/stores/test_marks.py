"""Marks: bounded, ordered, and never without the newest and the oldest."""

from itertools import pairwise
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from stores.marks import (
    MARKS_MAX,
    Mark,
    below,
    mark_of,
    marks_from,
    marks_row,
    newest_agreed,
    newest_lost,
    with_mark,
)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=200))
def test_however_far_a_log_is_read_a_few_marks_span_it(steps: list[int]) -> None:
    marks: tuple[Mark, ...] = ()
    offset = 0
    for step in steps:
        offset += step
        marks = with_mark(marks, Mark(offset, 7, 8))
        assert len(marks) <= MARKS_MAX
        assert list(marks) == sorted(marks)
    assert marks[-1].offset == offset
    assert marks[0].offset == steps[0]
    assert marks_from(marks_row(marks)) == marks


def test_marks_grow_sparser_the_farther_they_are_back() -> None:
    marks: tuple[Mark, ...] = ()
    for offset in range(1000):
        marks = with_mark(marks, Mark(offset, 0, 0))
    gaps = [after.offset - before.offset for before, after in pairwise(marks)]
    assert gaps[-1] <= 2
    assert gaps[0] > 100


def test_going_back_drops_what_is_not_below() -> None:
    marks = tuple(Mark(offset, 0, 0) for offset in (1, 5, 9))
    assert [mark.offset for mark in below(marks, 5)] == [1]


def test_a_mark_tells_records_apart_by_key_value_and_time() -> None:
    def record(**changes: object) -> SimpleNamespace:
        return SimpleNamespace(
            **{"offset": 3, "key": b"k", "value": b"v", "timestamp": 5} | changes
        )

    same = mark_of(record())
    assert same == mark_of(record())
    others = ({"key": None}, {"value": b"w"}, {"timestamp": 6}, {"key": b"kv", "value": b""})
    for change in others:
        assert mark_of(record(**change)) != same, change


def test_a_log_read_on_before_anybody_looks_has_the_newest_mark_and_lost_an_older() -> None:
    marks = tuple(Mark(offset, 0, offset * 10) for offset in (1, 5, 9, 12))
    kept, new = marks[0], marks[3]
    assert newest_agreed(marks, {kept, new}, start=0) == kept
    assert newest_lost(marks, {kept, new}) == marks[2]


def test_what_was_deleted_below_the_beginning_of_a_log_proves_nothing() -> None:
    marks = tuple(Mark(offset, 0, 0) for offset in (1, 5, 9))
    assert newest_agreed(marks, {marks[1]}, start=3) == marks[1]
    assert newest_agreed(marks, {marks[1]}, start=0) is None
    assert newest_lost(marks, set(marks)) is None
