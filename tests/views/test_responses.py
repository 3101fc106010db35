"""Response times."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from admin.verify import reference
from schemas.journal import JournalEntry
from schemas.times import DAY_MS, HOUR_MS, MINUTE_MS
from tests.views.interactions import NOON, any_time, like, message, remember
from views import responses


def mean(*entries: JournalEntry) -> float | None:
    return responses.mean_seconds(remember(*entries).responses)


def creator(time: int) -> JournalEntry:
    return message(time, sender="creator")


def test_nothing_is_known_until_the_fan_answers() -> None:
    assert mean(message(NOON)) is None
    assert mean(creator(NOON)) is None
    assert mean(message(NOON), creator(NOON + 1)) is None


def test_the_time_runs_from_the_creators_newest_message_to_the_fans_next_one() -> None:
    assert mean(creator(NOON), creator(NOON + 40_000), message(NOON + 60_000)) == 20.0


def test_a_row_of_fan_messages_is_one_response() -> None:
    state = remember(creator(NOON), message(NOON + 10_000), message(NOON + 90_000)).responses
    assert (state.count, state.total_ms) == (1, 10_000)


def test_what_is_no_message_neither_asks_nor_answers() -> None:
    assert mean(creator(NOON), like(NOON + 1000), message(NOON + 5000)) == 5.0


def test_a_gap_over_24_hours_is_not_counted() -> None:
    assert mean(creator(NOON), message(NOON + DAY_MS)) == 86_400.0
    assert mean(creator(NOON), message(NOON + DAY_MS + 1)) is None


def test_after_a_pause_the_wait_is_over() -> None:
    pause = NOON + 2 * DAY_MS
    assert mean(creator(NOON), message(pause), message(pause + 1000)) is None


def test_a_late_fan_message_leaves_the_creator_waiting() -> None:
    assert mean(creator(NOON), message(NOON - 5000), message(NOON + 5000)) == 5.0


def test_a_late_creator_message_changes_nothing() -> None:
    assert mean(creator(NOON), creator(NOON - HOUR_MS), message(NOON + 5000)) == 5.0


@given(
    st.lists(
        st.builds(message, any_time, sender=st.sampled_from(("fan", "creator"))),
        min_size=1,
        max_size=40,
    )
)
def test_count_mean_and_histogram_tell_of_the_same_gaps(entries: list[JournalEntry]) -> None:
    state = remember(*entries).responses
    gaps = reference.response_gaps(entries)
    assert state.count == len(gaps) == sum(state.histogram)
    assert state.total_ms == sum(gaps)
    if gaps:
        assert responses.mean_seconds(state) == approx(sum(gaps) / len(gaps) / 1000)
        for quarters, place in enumerate(responses.quartile_bins(state), 1):
            rank = -(-len(gaps) * quarters // 4)
            exact = sorted(gaps)[rank - 1]
            edges = (0, *responses.EDGES_MS, responses.GAP_MS_MAX + 1)
            assert edges[place] <= exact < edges[place + 1]


def test_the_edges_rise_by_at_most_a_factor_two_and_a_half_and_hold_every_threshold() -> None:
    edges = (*responses.EDGES_MS, responses.GAP_MS_MAX)
    assert all(1 < high / low <= 2.5 for low, high in pairwise(edges))
    assert {MINUTE_MS, 15 * MINUTE_MS, 2 * HOUR_MS} <= set(edges)
