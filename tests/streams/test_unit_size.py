"""How large a unit of work is: large in a backlog, and no larger than gets done in seconds."""

import pytest

from streams.unit_size import FIRST_RECORDS, QUICK_SECONDS, SLOW_SECONDS, next_size

MOST = 8_000


def test_quick_units_grow_to_the_configured_size_and_stay_there() -> None:
    size, sizes = FIRST_RECORDS, []
    for _ in range(5):
        size = next_size(size, QUICK_SECONDS / 2, FIRST_RECORDS, MOST)
        sizes.append(size)
    assert sizes == [2_000, 4_000, 8_000, 8_000, 8_000]


def test_slow_units_shrink_to_a_single_fetch_and_no_further() -> None:
    size, sizes = MOST, []
    for _ in range(5):
        size = next_size(size, SLOW_SECONDS * 2, FIRST_RECORDS, MOST)
        sizes.append(size)
    assert sizes == [4_000, 2_000, 1_000, 1_000, 1_000]


@pytest.mark.parametrize("seconds", [QUICK_SECONDS, SLOW_SECONDS])
def test_between_quick_and_slow_the_size_stays(seconds: float) -> None:
    assert next_size(4_000, seconds, FIRST_RECORDS, MOST) == 4_000


def test_a_configured_size_below_the_first_one_is_kept() -> None:
    assert next_size(500, 0.0, FIRST_RECORDS, 500) == 500
    assert next_size(500, 60.0, FIRST_RECORDS, 500) == 500
