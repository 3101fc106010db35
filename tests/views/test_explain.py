"""As-of and explain."""

from math import fsum
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx, mark, raises

from schemas.errors import InvalidInput
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from schemas.times import DAY_MS
from tests.views.interactions import (
    NOON,
    YEAR_1990,
    YEAR_2100,
    any_time,
    histories,
    like,
    message,
    purchase,
    remember,
)
from views import engagement, facts, messages, notes
from views.acts import is_direct, is_fans
from views.context import render_context
from views.explain import FIELDS, History, context_as_of, explain, state_as_of, value_of
from views.state import encode

NAMES = (*FIELDS, "contentPreferences.photo", "topicInterests.cars", "signals.distress")
LATER = NOON + 30 * DAY_MS


def history(*entries: JournalEntry) -> History:
    return list(enumerate(entries))


def test_each_event_has_its_contribution_and_silence_its_own_line() -> None:
    told = explain(
        history(purchase(NOON, 2000), message(NOON + DAY_MS)), "engagementScore", None, LATER
    )
    bought, wrote = told.contributions
    assert (bought.before, bought.after) == (None, approx(0.48848, abs=5e-6))
    assert bought.contribution == approx(0.48848, abs=5e-6)
    assert wrote.kind == "message"
    assert 0 < wrote.contribution < 1 / 12
    assert told.silence < 0
    assert told.from_value is None
    assert told.to_value == approx(told.silence + bought.contribution + wrote.contribution)


def test_the_window_begins_after_from_and_includes_to() -> None:
    entries = history(like(NOON), like(NOON + 1), like(NOON + 2), like(NOON + 3))
    told = explain(entries, "interactionCount", NOON, NOON + 2)
    assert [item.position for item in told.contributions] == [1, 2]
    assert (told.from_value, told.to_value, told.difference) == (1, 3, 2.0)
    assert (told.from_time, told.to_time) == (
        "2024-11-12T12:00:00.000Z",
        "2024-11-12T12:00:00.002Z",
    )


def test_a_window_without_events_is_all_silence() -> None:
    told = explain(history(purchase(NOON)), "engagementScore", NOON, NOON + 14 * DAY_MS)
    assert told.contributions == ()
    assert told.silence == told.difference < 0


@given(histories(), st.sampled_from(NAMES), any_time, any_time, st.integers(0, 5))
def test_contributions_add_up_to_the_difference(
    entries: list[JournalEntry], field: str, one: int, other: int, limit: int
) -> None:
    start, end = sorted((one, other + 1 if one == other else other))
    told = explain(history(*entries), field, start, end, contributions_max=limit)
    named = fsum(item.contribution for item in told.contributions)
    whole = named + told.others.contribution + told.silence + told.order
    assert whole == approx(told.difference, rel=1e-9, abs=1e-9)
    assert told.difference == approx((told.to_value or 0) - (told.from_value or 0))
    assert len(told.contributions) <= limit
    inside = [entry for entry in entries if start < entry.time <= end]
    assert len(told.contributions) + told.others.count == len(inside)


@given(histories(), st.sampled_from([name for name in NAMES if name != "avgResponseTimeSeconds"]))
def test_only_the_response_time_depends_on_the_order_of_arrival(
    entries: list[JournalEntry], field: str
) -> None:
    assert explain(history(*entries), field, None, YEAR_2100).order == 0


def test_late_events_of_the_response_time_stand_in_a_line_of_their_own() -> None:
    entries = history(message(NOON + 9000), message(NOON, sender="creator"))
    told = explain(entries, "avgResponseTimeSeconds", None, LATER)
    assert told.to_value is None
    assert [item.contribution for item in told.contributions] == [0.0, 9.0]
    assert told.order == -9.0


@given(histories(), st.sampled_from(NAMES))
def test_a_value_is_that_of_the_rendered_context(entries: list[JournalEntry], field: str) -> None:
    now = max(entry.time for entry in entries) + DAY_MS
    state = remember(*entries)
    context = render_context("c", "f", state, (), now)
    documents: dict[str, Any] = {}
    for document in (
        context.engagement_metrics,
        context.personality_profile,
        context.preferences,
    ):
        names = zip(document.__struct_encode_fields__, document.__struct_fields__, strict=True)
        documents |= {public: getattr(document, name) for public, name in names}
    name, _, key = field.partition(".")
    signals = context.emotional_state.signals or {}
    documents["signals"] = {kind: said.count for kind, said in signals.items()}
    expected = documents[name].get(key) if key else documents[name]
    assert value_of(field)(state, now) == expected


@given(histories())
def test_as_of_the_newest_event_is_the_live_state_byte_for_byte(
    entries: list[JournalEntry],
) -> None:
    newest = max(entry.time for entry in entries)
    state = state_as_of(history(*entries), newest)
    assert state is not None
    assert encode(state) == encode(remember(*entries))


@given(histories(), any_time)
def test_as_of_a_time_knows_the_events_until_then_alone(
    entries: list[JournalEntry], time: int
) -> None:
    known = [(at, entry) for at, entry in history(*entries) if entry.time <= time]
    context = context_as_of("c", "f", history(*entries), time)
    if not known:
        assert context is None
        return
    assert context is not None
    state = state_as_of(known, YEAR_2100)
    assert state is not None
    recent, written = messages.newest_entries(known), notes.newest(known)
    told = facts.telling(known)
    assert context == render_context("c", "f", state, recent, time, "USD", written, told)
    direct = [entry for _, entry in known if is_direct(entry) and is_fans(entry.kind, entry.sender)]
    assert context.personality_profile.interaction_count == len(direct)


def test_as_of_before_the_first_event_nothing_is_known() -> None:
    assert state_as_of(history(like(NOON)), NOON - 1) is None
    assert context_as_of("c", "f", history(like(NOON)), NOON - 1) is None


def test_a_long_window_names_the_largest_and_sums_up_the_rest() -> None:
    entries = history(*(like(NOON + i) for i in range(50)), purchase(NOON + 7))
    told = explain(entries, "engagementScore", None, LATER, contributions_max=1)
    assert [item.kind for item in told.contributions] == ["purchase"]
    assert told.others.count == 50


def test_topics_and_content_types_can_be_explained_by_name() -> None:
    hate = TextFeatures(topics=("cars",), sentiment="negative")
    love = TextFeatures(topics=("cars",))
    entries = history(message(NOON, love), message(NOON + 1, hate))
    up, down = explain(entries, "topicInterests.cars", None, NOON + 1).contributions
    assert up.contribution > 0 > down.contribution


def test_the_messages_that_raised_a_signal_can_be_named() -> None:
    despair = TextFeatures(signals={"distress": "explicit"})
    entries = history(
        message(NOON, despair, event_id="first"),
        message(NOON + 1, event_id="other"),
        message(NOON + 2, despair, event_id="second"),
    )
    told = explain(entries, "signals.distress", None, NOON + 2)
    named = [one.event_id for one in told.contributions if one.contribution]
    assert (named, told.to_value) == (["first", "second"], 2)


@mark.parametrize(
    "field",
    [
        "signals",
        "signals.despair",
        "tone",
        "",
        "topicInterests",
        "topicInterests.",
        "engagement.score",
    ],
)
def test_an_unknown_field_is_refused_and_the_known_ones_named(field: str) -> None:
    with raises(InvalidInput, match="engagementScore") as refused:
        explain([], field, None, NOON)
    assert refused.value.field == "field"


def test_an_empty_window_is_refused() -> None:
    with raises(InvalidInput, match="must be before to"):
        explain([], "engagementScore", NOON, NOON)


def test_nobody_has_nothing_to_explain() -> None:
    told = explain([], "engagementScore", YEAR_1990, NOON)
    assert (told.from_value, told.to_value, told.difference) == (None, None, 0.0)
    assert engagement.VERSION
