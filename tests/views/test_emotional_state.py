"""EmotionalState."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx, mark

from admin.verify import reference
from schemas.context import EmotionalState, SignalAt
from schemas.events import Sender
from schemas.journal import JournalEntry
from schemas.text_features import Sentiment, TextFeatures
from schemas.times import DAY_MS, MINUTE_MS, render_time
from tests.views.interactions import (
    NOON,
    WHO,
    histories,
    known,
    like,
    message,
    purchase,
    remember,
    tip,
)
from views import emotional_state


def said(
    score: float,
    time: int = NOON,
    label: Sentiment = "neutral",
    emotions: dict[str, float] | None = None,
    sender: Sender = "fan",
) -> JournalEntry:
    text = TextFeatures(sentiment=label, score=score, emotions=emotions or {})
    return message(time, text, sender=sender)


def signalled(time: int, sender: Sender = "fan", **signals: str) -> JournalEntry:
    return message(time, TextFeatures(signals=signals), sender=sender)


def state_of(*entries: JournalEntry) -> emotional_state.State:
    return remember(*entries).emotional_state


def rendered(*entries: JournalEntry) -> EmotionalState:
    return emotional_state.render(known(*entries), WHO, NOON)


@mark.parametrize(
    ("score", "label"),
    [(0.151, "positive"), (0.15, "neutral"), (-0.15, "neutral"), (-0.151, "negative")],
)
def test_sentiment_has_the_thresholds_of_the_page(score: float, label: str) -> None:
    assert rendered(said(score)).current_sentiment == label


def test_each_message_weighs_half_as_much_as_the_third_newer_one() -> None:
    entries = [said(score, NOON + i) for i, score in enumerate((1.0, 0.0, 0.0, 0.0))]
    ratio = 2 ** (-1 / 3)
    expected = 0.5 / (1 + ratio + ratio**2 + 0.5)
    assert emotional_state.mean_score(state_of(*entries)) == approx(expected)


@given(st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=80))
def test_the_mean_is_over_all_messages_not_only_the_twenty_kept(scores: list[float]) -> None:
    entries = [said(score / 10_000, NOON + i) for i, score in enumerate(scores)]
    mean = emotional_state.mean_score(state_of(*entries))
    assert mean == approx(reference.mean_sentiment(entries), abs=1e-12)


def test_the_creators_words_move_nothing() -> None:
    state = state_of(said(1.0, label="positive", emotions={"joy": 1.0}, sender="creator"))
    assert state == emotional_state.State()


def test_the_history_holds_the_last_twenty_by_event_time_oldest_first() -> None:
    entries = [said(0, NOON + i * MINUTE_MS, "positive") for i in range(25)]
    late = said(0, NOON + 20 * MINUTE_MS + 1, "negative")
    too_late = said(-1, NOON, "negative")
    document = rendered(*entries, late, too_late)
    assert len(document.sentiment_history) == 20
    assert document.sentiment_history[0].timestamp == "2024-11-12T12:06:00.000Z"
    assert [item.sentiment for item in document.sentiment_history].index("negative") == 15
    assert document.current_sentiment == "neutral"


def test_equal_times_keep_the_order_of_the_log() -> None:
    document = rendered(said(0, NOON, "positive"), said(0, NOON, "negative"))
    assert [item.sentiment for item in document.sentiment_history] == ["positive", "negative"]


def test_emotions_halve_in_a_week_and_need_15_percent_of_the_total() -> None:
    document = rendered(
        said(0, NOON - 7 * DAY_MS, emotions={"joy": 1.0, "fear": 0.2}),
        said(0, NOON, emotions={"anger": 0.6, "love": 0.2}),
    )
    # joy 0.5, fear 0.1, anger 0.6, love 0.2 of 1.4: 15 % is 0.21.
    assert document.dominant_emotions == ("anger", "joy")


def test_at_most_three_emotions_dominate_and_equals_stand_in_alphabetical_order() -> None:
    found = {"surprise": 0.5, "joy": 0.5, "love": 0.5, "anger": 0.5}
    assert rendered(said(0, emotions=found)).dominant_emotions == ("anger", "joy", "love")


def test_nothing_emotional_leaves_no_dominant_emotion() -> None:
    assert rendered(said(0), like(NOON)).dominant_emotions == ()


def test_an_emotion_that_nobody_defined_is_not_counted() -> None:
    assert rendered(said(0, emotions={"boredom": 1.0})).dominant_emotions == ()


def test_tips_and_purchases_are_positive_and_late_events_move_no_date_back() -> None:
    document = rendered(
        purchase(NOON + 1000), tip(NOON), said(0, NOON, "negative"), said(0, NOON - 1, "negative")
    )
    assert document.last_positive_interaction == "2024-11-12T12:00:01.000Z"
    assert document.last_negative_interaction == "2024-11-12T12:00:00.000Z"


def test_dates_are_null_until_one_happens() -> None:
    document = rendered(like(NOON))
    assert document.last_positive_interaction is None
    assert document.last_negative_interaction is None
    assert document.current_sentiment == "neutral"
    assert document.sentiment_history == ()


def test_the_newest_message_of_each_kind_is_shown_and_all_are_counted() -> None:
    shown = rendered(
        signalled(NOON + 2, leaving="implied", distress="explicit"),
        signalled(NOON + 1, leaving="explicit"),
        message(NOON + 3),
        signalled(NOON + 4, "creator", refund="explicit"),
    )
    assert shown.signals == {
        "distress": SignalAt("explicit", render_time(NOON + 2), 1),
        "leaving": SignalAt("implied", render_time(NOON + 2), 2),
    }
    assert list(shown.signals) == ["distress", "leaving"]


def test_of_two_messages_of_one_time_the_explicit_one_is_shown_in_any_order() -> None:
    weak, strong = signalled(NOON, refund="implied"), signalled(NOON, refund="explicit")
    shown = {"refund": SignalAt("explicit", render_time(NOON), 2)}
    assert rendered(weak, strong).signals == rendered(strong, weak).signals == shown


def test_without_signals_the_document_is_that_of_the_contract() -> None:
    """And what a later release may find is passed over."""
    for entry in (message(), signalled(NOON, despair="explicit"), signalled(NOON, refund="sure")):
        assert b"signals" not in msgspec.json.encode(rendered(entry))
        assert state_of(entry).signals == {}


@given(histories(max_size=8))
def test_raised_is_what_a_state_did_not_say_before(history: list[JournalEntry]) -> None:
    before = state_of(*history[:-1]).signals if len(history) > 1 else {}
    after = state_of(*history).signals
    raised = emotional_state.raised(before, after)
    newest = history[-1]
    own = reference.own_words([newest])
    said = reference.features(newest).signals if own else {}
    assert raised.keys() == said.keys()
    assert all(after[kind] == signal for kind, signal in raised.items())
