"""EngagementMetrics."""

from math import exp, log

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx, mark

from schemas.context import EngagementMetrics
from schemas.journal import JournalEntry
from schemas.times import DAY_MS
from tests.views.interactions import (
    NOON,
    WHO,
    YEAR_2100,
    histories,
    known,
    like,
    message,
    purchase,
    remember,
    tip,
    view,
)
from views import engagement


def rendered(*entries: JournalEntry, now: int = NOON) -> EngagementMetrics:
    return engagement.render(known(*entries), WHO, now)


@mark.parametrize(
    ("days", "activity", "score"),
    [(0, 5 + log(21), 0.48848), (14, 4.02226, 0.28480), (60, 0.41245, 0.03379)],
)
def test_the_worked_example_of_one_purchase_of_20(days: int, activity: float, score: float) -> None:
    now = NOON + days * DAY_MS
    document = rendered(purchase(NOON, 2000), now=now)
    assert document.engagement_score == approx(score, abs=5e-6)
    assert document.engagement_score == approx(1 - exp(-activity / 12), abs=5e-6)
    assert (document.total_purchases, document.total_revenue) == (1, 20.0)


@mark.parametrize(
    ("entry", "weight"),
    [
        (message(), 1.0),
        (message(sender="creator"), 0.0),
        (like(), 0.5),
        (view(), 0.2),
        (tip(amount=999), 4 + log(1 + 9.99)),
        (purchase(amount=0), 5.0),
    ],
)
def test_each_kind_has_its_weight(entry: JournalEntry, weight: float) -> None:
    assert rendered(entry).engagement_score == approx(1 - exp(-weight / 12))


def test_totals_count_both_senders_and_all_money_exactly() -> None:
    document = rendered(
        message(), message(sender="creator"), purchase(amount=10), tip(amount=20), tip(amount=1)
    )
    assert document.total_messages == 2
    assert document.total_purchases == 1
    assert document.total_revenue == 0.31


def test_times_tell_oldest_newest_and_last_folded() -> None:
    document = rendered(like(NOON), like(NOON - DAY_MS), like(NOON + DAY_MS), like(NOON + 1))
    assert document.created_at == "2024-11-11T12:00:00.000Z"
    assert document.last_interaction == "2024-11-13T12:00:00.000Z"
    assert document.updated_at == "2024-11-12T12:00:00.001Z"


def test_a_now_before_the_newest_event_counts_as_that_event() -> None:
    state = remember(purchase(NOON)).engagement
    assert engagement.score(state, NOON - DAY_MS) == engagement.score(state, NOON)


@mark.parametrize(
    ("score", "level"),
    [(1.0, "high"), (0.66, "high"), (0.65, "medium"), (0.33, "medium"), (0.32, "low"), (0, "low")],
)
def test_the_level_has_the_thresholds_of_the_page(score: float, level: str) -> None:
    assert engagement.level(score) == level


def test_the_score_never_exceeds_one_however_much_is_paid() -> None:
    state = remember(*(purchase(NOON, 100_000_000) for _ in range(5000))).engagement
    assert 0.999 < engagement.score(state, NOON) <= 1


@given(histories(), st.lists(st.integers(0, YEAR_2100), min_size=2, max_size=8))
def test_the_score_lies_in_0_to_1_and_only_falls_with_silence(
    entries: list[JournalEntry], waits: list[int]
) -> None:
    state = remember(*entries).engagement
    newest = max(entry.time for entry in entries)
    scores = [engagement.score(state, newest + wait) for wait in sorted(waits)]
    assert all(0 <= score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


@given(histories())
def test_silence_strictly_lowers_a_score_above_zero(entries: list[JournalEntry]) -> None:
    state = remember(*entries).engagement
    newest = max(entry.time for entry in entries)
    before = engagement.score(state, newest)
    if 1e-9 < before < 0.999:
        assert engagement.score(state, newest + DAY_MS) < before
