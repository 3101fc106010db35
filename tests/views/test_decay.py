"""Decayed counts."""

from math import isfinite

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from schemas.times import DAY_MS
from tests.views.interactions import NOON, YEAR_1990, YEAR_2100
from views import decay

WEEK = 7 * DAY_MS
times = st.integers(YEAR_1990, YEAR_2100)
half_lives = st.sampled_from([7, 14, 30, 60]).map(lambda days: days * DAY_MS)


def test_a_count_halves_with_each_half_life() -> None:
    assert decay.decayed(8.0, NOON, NOON + 3 * WEEK, WEEK) == 1.0


def test_a_late_event_adds_what_is_left_of_it() -> None:
    assert decay.weight(NOON - 2 * WEEK, NOON, WEEK) == 0.25


@given(times, half_lives)
def test_the_grid_point_is_less_than_a_half_life_back(time: int, half_life: int) -> None:
    point = decay.grid(time, half_life)
    assert point % half_life == 0
    assert 0 <= time - point < half_life
    assert 1 <= decay.weight(time, point, half_life) < 2.0000001


@given(times, times, half_lives, st.floats(1e-3, 1e6))
def test_moving_a_count_loses_nothing(time: int, other: int, half_life: int, value: float) -> None:
    early, late = sorted((decay.grid(time, half_life), decay.grid(other, half_life)))
    halvings = (late - early) // half_life
    moved = value * decay.shrink(early, late, half_life)
    if halvings < 900:
        assert moved * 2.0**halvings == value
    else:
        assert 0 <= moved < 1e-200


@given(times, times, half_lives)
def test_any_distance_in_time_gives_a_finite_weight_once_the_count_has_moved(
    time: int, as_of: int, half_life: int
) -> None:
    as_of = decay.grid(max(time, as_of), half_life)
    assert 0 <= decay.weight(time, as_of, half_life) <= 2
    assert isfinite(decay.shrink(0, as_of, half_life))


@given(st.lists(st.tuples(times, st.floats(0, 100)), min_size=1, max_size=20), half_lives)
def test_a_moving_count_equals_the_plain_sum(
    events: list[tuple[int, float]], half_life: int
) -> None:
    as_of, value = 0, 0.0
    for time, units in events:
        if time - as_of >= half_life:
            later = decay.grid(time, half_life)
            value *= decay.shrink(as_of, later, half_life)
            as_of = later
        value += units * decay.weight(time, as_of, half_life)
    now = max(time for time, _ in events)
    plain = sum(units * 2.0 ** (-(now - time) / half_life) for time, units in events)
    assert decay.decayed(value, as_of, now, half_life) == approx(plain, rel=1e-9, abs=1e-300)


def test_of_equal_counts_the_first_key_goes_and_the_first_key_leads() -> None:
    counts = {"b": 1.0, "a": 1.0, "c": 2.0}
    assert decay.largest(counts, 2) == ["c", "a"]
    decay.evict_smallest(counts)
    assert list(counts) == ["b", "c"]
