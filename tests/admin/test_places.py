"""Sets of places behave as sets of pairs do."""

from hypothesis import given
from hypothesis import strategies as st

from admin.places import Places

PAIRS = st.sets(
    st.tuples(st.integers(0, 3), st.integers(0, 70_000) | st.integers(2**40, 2**40 + 9)),
    max_size=30,
)


def places(pairs: set[tuple[int, int]]) -> Places:
    made = Places()
    for pair in pairs:
        assert made.add(*pair)
        assert not made.add(*pair)
    return made


@given(PAIRS, PAIRS, st.integers(0, 140_000))
def test_places_are_a_set_of_pairs(
    one: set[tuple[int, int]], other: set[tuple[int, int]], until: int
) -> None:
    first, second = places(one), places(other)
    assert list(first) == sorted(one)
    assert len(first) == len(one)
    assert first.common(second) == len(one & other)
    assert all((pair in first) == (pair in one) for pair in one | other)
    for partition in range(4):
        expected = sum(p == partition and offset < until for p, offset in one)
        assert first.below(partition, until) == expected
    first.update(second)
    assert list(first) == sorted(one | other)
    assert list(second) == sorted(other)
