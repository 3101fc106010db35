"""The accounting after a restore: how much less than everything may be counted, and no more."""

import pytest

from admin.verify.accounts import SourcePlaces, accounting_differences
from stores.tally import COUNTERS

EVENTS = 100
LOST = 10
"""Events of fans that a restore lost: they stand in the journal under two subjects."""


def found(applied: int, forgotten: int, accepted: int = EVENTS, rewritten: bool = True) -> set[str]:
    places = SourcePlaces()
    for offset in range(EVENTS):
        places.projected.add(0, offset)
    if rewritten:
        assert places.living is None
        living = type(places.projected)()
        for offset in range(LOST):
            places.gone.add(0, offset)
            living.add(0, offset)
        places.living = living
    intake = {0: {"boundaries": [], "next": EVENTS, "accepted": accepted}}
    folded = dict.fromkeys(COUNTERS, 0) | {
        "applied": applied,
        "forgotten": forgotten,
        "broken": False,
    }
    return {one.field for one in accounting_differences(places, intake, [folded])}


@pytest.mark.parametrize("repeats", [0, 3, LOST])
def test_what_is_written_again_may_be_a_repeat(repeats: int) -> None:
    assert found(EVENTS - repeats, LOST) == set()


@pytest.mark.parametrize("off", [1, -LOST - 1])
def test_one_more_or_fewer_than_that_is_found(off: int) -> None:
    assert len(found(EVENTS + off, LOST)) == 2


@pytest.mark.parametrize("off", [1, -1])
def test_without_a_restore_the_sums_are_exact(off: int) -> None:
    assert found(EVENTS, 0, rewritten=False) == set()
    assert len(found(EVENTS + off, 0, rewritten=False)) == 2


@pytest.mark.parametrize("off", [1, -1])
def test_what_was_accepted_is_exact_even_then(off: int) -> None:
    assert "accepted" in found(EVENTS, LOST, accepted=EVENTS + off)
