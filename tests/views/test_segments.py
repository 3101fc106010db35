"""Segments: what stands in columns leaves nobody out whom the rendered views would let in."""

from datetime import UTC, datetime
from math import inf, isclose, log1p, log2
from typing import Any

from hypothesis import assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest import mark

from schemas.context import Inbox
from schemas.details import Details
from schemas.journal import JournalEntry
from schemas.segments import Segment
from schemas.text_features import TextFeatures
from schemas.times import DAY_MS, MINUTE_MS
from tests.views.conditions import at, belongs, segments
from tests.views.interactions import (
    NOON,
    WHO,
    histories,
    like,
    message,
    purchase,
    remember,
    tip,
)
from views import engagement, preferences
from views.context import render_context
from views.engagement import HALF_LIFE_MS
from views.segments import (
    AHEAD_MS,
    ROUNDING,
    Bounds,
    Filters,
    bounds,
    filters_of,
    matches,
    summarize,
)
from views.state import Fan, FanState

activities = st.floats(1e-300, 1e6)
moments = st.integers(NOON - 400 * DAY_MS, NOON + 400 * DAY_MS)
scores = st.one_of(st.floats(0, 1), st.sampled_from((0.0, 5e-324, 0.33, 0.66, 1 - 2**-53, 1.0)))


def within(bounds: Bounds, filters: Filters) -> bool:
    """What the query of the columns says."""
    return (
        bounds.rank_min <= filters.rank <= bounds.rank_max
        and bounds.revenue_min <= filters.revenue <= bounds.revenue_max
        and bounds.last_interaction_min <= filters.last_interaction <= bounds.last_interaction_max
        and filters.traits & bounds.traits == bounds.traits
        and bounds.waiting_since_min <= filters.waiting_since <= bounds.waiting_since_max
    )


def active(activity: float, as_of: int) -> FanState:
    state = FanState(position=0)
    state.engagement = engagement.State(activity=activity, as_of=as_of)
    return state


@given(activities, moments, moments, scores)
@example(engagement.SCALE, NOON, NOON, 1 - 1 / 2.718281828459045)
@hypothesis_settings(max_examples=1_000)
def test_a_score_is_in_a_range_exactly_if_the_rank_is_but_for_rounding(
    activity: float, as_of: int, now: int, bound: float
) -> None:
    state = active(activity, as_of)
    score, rank = engagement.score(state.engagement, now), filters_of(state).rank
    above, below = (
        bounds(Segment(min_score=bound), now, now),
        bounds(Segment(max_score=bound), now, now),
    )
    ahead = AHEAD_MS / HALF_LIFE_MS
    if score >= bound:
        assert rank >= above.rank_min
    if score <= bound:
        assert rank <= below.rank_max
    # Nor do the ranges let in what is farther away than that.
    if 1e-9 < bound < 1 - 1e-9:
        if rank >= above.rank_min + 3 * ROUNDING:
            assert score >= bound
        if rank <= below.rank_max - ahead - 3 * ROUNDING:
            assert score <= bound


@given(activities, activities, moments, moments, moments)
def test_of_two_fans_the_larger_rank_has_the_larger_score_at_any_time(
    activity: float, other: float, as_of: int, later: int, now: int
) -> None:
    one, two = active(activity, as_of), active(other, later)
    ranks = filters_of(one).rank, filters_of(two).rank
    assume(ranks[0] > ranks[1] + ROUNDING)
    assert engagement.score(one.engagement, now) >= engagement.score(two.engagement, now)


def test_the_rank_does_not_move_with_what_is_as_old_as_the_grid() -> None:
    """`as_of` moves on the grid and activity with it: the same rank by other numbers."""
    before = active(3.5, NOON - NOON % HALF_LIFE_MS)
    after = active(3.5 / 2, before.engagement.as_of + HALF_LIFE_MS)
    assert isclose(filters_of(before).rank, filters_of(after).rank, abs_tol=1e-12)
    assert filters_of(active(1.0, 0)).rank == 0
    assert filters_of(FanState()).rank == -inf


@given(histories(), segments, st.integers(-9 * MINUTE_MS, 120 * DAY_MS))
@hypothesis_settings(max_examples=100)
def test_members_are_those_whose_rendered_context_says_so_and_the_columns_find_them(
    history: list[JournalEntry], segment: Segment, silence: int
) -> None:
    state = remember(*history)
    now = engagement.not_before_newest(state.engagement, 0) + silence
    context = render_context(*WHO, state, (), now)
    member = matches(segment, state, now)
    assert member == belongs(segment, context, engagement.worth(state.engagement) / 100)
    if member:
        assert within(bounds(segment, now, now), filters_of(state))


@given(histories(), st.integers(-9 * MINUTE_MS, 120 * DAY_MS))
def test_a_summary_repeats_the_context(history: list[JournalEntry], silence: int) -> None:
    state = remember(*history)
    now = engagement.not_before_newest(state.engagement, 0) + silence
    context = render_context(*WHO, state, (), now)
    summary = summarize(Fan(state, ()), WHO, now, "journal-0:1")
    metrics, felt = context.engagement_metrics, context.emotional_state
    assert (summary.fan_id, summary.version) == (WHO[1], "journal-0:1")
    assert summary.engagement_score == metrics.engagement_score
    assert summary.engagement_level == felt.engagement_level
    assert summary.current_sentiment == felt.current_sentiment
    assert summary.dominant_emotions == felt.dominant_emotions
    assert summary.total_revenue == metrics.total_revenue
    assert summary.revenue_by_currency == metrics.revenue_by_currency
    assert summary.total_messages == metrics.total_messages
    assert summary.total_purchases == metrics.total_purchases
    assert summary.purchase_patterns == context.preferences.purchase_patterns
    assert summary.last_interaction == metrics.last_interaction
    assert summary.signals == felt.signals
    assert context.inbox == Inbox(summary.waiting_since, summary.unanswered)
    for pattern in summary.purchase_patterns:
        assert matches(Segment(pattern=pattern), state, now)


def paid(amount: int, currency: str) -> JournalEntry:
    return JournalEntry("p", "purchase", NOON, amount=amount, details=Details(currency=currency))


def test_revenue_is_exact_in_dollars_and_rough_in_others() -> None:
    exact = remember(purchase(NOON, 1001), paid(2002, "USD"))
    assert filters_of(exact).revenue == 3003
    rough = remember(purchase(NOON, 1001), paid(1000, "EUR"), paid(1000, "JPY"))
    assert filters_of(rough).revenue == 1001 + 1150 + 660
    assert matches(Segment(min_revenue=28.11, max_revenue=28.11), rough, NOON)
    assert not matches(Segment(min_revenue=28.12), rough, NOON)


def test_a_sum_that_no_column_holds_is_cut_off_there() -> None:
    state = FanState(position=0)
    state.engagement = engagement.State(revenue=1 << 70)
    assert filters_of(state).revenue < 1 << 63
    assert matches(Segment(min_revenue=10.0), state, NOON)


@mark.parametrize(
    ("pattern", "after_days", "member"),
    [
        ("frequent_buyer", 0, True),
        ("frequent_buyer", 40, False),
        ("lapsed_buyer", 0, False),
        ("lapsed_buyer", 60, True),
    ],
)
def test_patterns_that_come_and_go_with_time_are_found_by_columns_that_stand_still(
    pattern: str, after_days: int, member: bool
) -> None:
    state = remember(*(purchase(NOON) for _ in range(5)))
    now = NOON + after_days * DAY_MS
    assert matches(Segment(pattern=pattern), state, now) is member
    assert within(bounds(Segment(pattern=pattern), now, now), filters_of(state))


def test_a_topic_that_was_only_complained_of_is_no_interest() -> None:
    complaint = TextFeatures("negative", -0.9, topics=("cars",), length=4, words=1)
    state = remember(message(text=complaint))
    assert not matches(Segment(topic="cars"), state, NOON)
    assert preferences.topic_score(state.preferences, "cars", NOON) == 0


def test_who_never_turned_to_the_creator_is_silent_and_never_active() -> None:
    state = remember(
        JournalEntry(
            "m", "message", NOON, "creator", content="hi", details=Details(origin="broadcast")
        )
    )
    ever: dict[str, Any] = {"active_since": datetime(1970, 1, 1, tzinfo=UTC)}
    assert not matches(Segment(**ever), state, NOON)
    assert matches(Segment(silent_since=at(-4000)), state, NOON)
    assert within(bounds(Segment(silent_since=at(-40_000)), NOON, NOON), filters_of(state))


def test_an_event_ahead_of_the_readers_clock_is_still_found_below_a_score() -> None:
    state = remember(tip(NOON, 5000), like(NOON + 9 * MINUTE_MS))
    score = engagement.score(state.engagement, NOON)
    segment = Segment(max_score=score)
    assert matches(segment, state, NOON)
    assert within(bounds(segment, NOON, NOON), filters_of(state))
    assert filters_of(state).rank > log2(-engagement.SCALE * log1p(-score)) + NOON / HALF_LIFE_MS


def test_the_columns_mean_what_they_meant_when_they_were_stored() -> None:
    """Who has to change this test raises the `VERSION` of a view: see `views.segments`."""
    travel = TextFeatures("positive", 0.8, topics=("travel",), length=4, words=1)
    paid_thrice = (purchase(NOON + number * DAY_MS, 6_000, "photo") for number in range(3))
    found = filters_of(remember(message(text=travel), *paid_thrice, tip(NOON, 123)))
    assert isclose(found.rank, 1436.503279144448, abs_tol=1e-9)
    assert found[1:] == (18_123, NOON + 2 * DAY_MS, 2_199_056_812_293, NOON)
