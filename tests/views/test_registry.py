"""The registry of views, and what `memory-updates` is told from it."""

from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from pytest import mark

from schemas.context import MemoryContext
from schemas.events import Sender
from schemas.journal import JournalEntry
from schemas.times import DAY_MS, MINUTE_MS
from tests.views.interactions import (
    NOON,
    WHO,
    entries,
    histories,
    known,
    like,
    locked,
    message,
    note,
    purchase,
    purchase_of,
    telling,
    view,
)
from views.context import render_context
from views.state import VIEWS, Fan, moved

ALMOST_MEDIUM = [message(NOON), message(NOON + 1), message(NOON + 2), message(NOON + 3), like()]
"""One like more lifts `engagementLevel`."""


def documents(fan: Fan, now: int) -> dict[str, bytes]:
    return {
        view.DOCUMENT: msgspec.json.encode(view.render(fan, WHO, now)) for view in VIEWS.values()
    }


def changed(history: list[JournalEntry], event: JournalEntry) -> set[str]:
    """Names of the documents that one more event changes, rendered at the event's time."""
    after = documents(known(*history, event), event.time)
    if not history:
        return set(after)
    before = documents(known(*history), event.time)
    return {name for name, document in after.items() if document != before[name]}


@given(
    st.one_of(st.just([]), histories()),
    entries(),
    st.sampled_from((None, "fan", "creator")),
)
@example(ALMOST_MEDIUM, like(NOON + 5), None)
@example([*ALMOST_MEDIUM, view(NOON + 4), view(NOON + 4)], view(NOON + 5), None)
@example([view(NOON)], message(NOON - DAY_MS, sender="creator"), None)
@example([], message(NOON, sender="creator"), None)
def test_every_document_that_an_event_changes_is_announced(
    history: list[JournalEntry], event: JournalEntry, sender: Sender | None
) -> None:
    if sender is not None:
        event = msgspec.structs.replace(event, sender=sender)
    assert changed(history, event) <= set(moved([event], first=not history))


def test_a_like_can_lift_the_engagement_level() -> None:
    assert "emotionalState" in changed(ALMOST_MEDIUM, like(NOON + 5))


@given(st.lists(entries(), min_size=1, max_size=5))
def test_a_batch_announces_what_its_events_announce_one_by_one(batch: list[JournalEntry]) -> None:
    singly = {name for event in batch for name in moved([event], first=False)}
    assert moved(batch, first=False) == tuple(sorted(singly))


@mark.parametrize(
    ("event", "silent"),
    [
        (message(), {"offers", "notes", "facts"}),
        (message(sender="creator"), {"emotionalState", "offers", "notes", "facts"}),
        (locked(), {"emotionalState", "notes", "facts"}),
        (purchase(), {"recentMessages", "offers", "inbox", "notes", "facts"}),
        (purchase_of("m"), {"recentMessages", "inbox", "notes", "facts"}),
        (like(), {"recentMessages", "offers", "inbox", "notes", "facts"}),
        (view(), {"recentMessages", "offers", "inbox", "notes", "facts"}),
        (note(), {"recentMessages", "emotionalState", "offers", "inbox", "facts"}),
        (telling("Rex"), {"offers", "notes"}),
    ],
)
def test_what_an_event_can_not_change_is_not_announced(
    event: JournalEntry, silent: set[str]
) -> None:
    assert {view.DOCUMENT for view in VIEWS.values()} - set(moved([event], first=False)) == silent


def test_every_document_of_the_context_has_its_view() -> None:
    fan = known(message(), locked(), note(), telling("Rex"))
    now = NOON + MINUTE_MS
    context = render_context(*WHO, fan.state, fan.recent, now, "USD", fan.notes, fan.telling)
    whole = msgspec.json.decode(msgspec.json.encode(context))
    apart = {name: msgspec.json.decode(text) for name, text in documents(fan, now).items()}
    beside = {"fanId", "creatorId", "lastInteraction", "version", "degraded"}
    assert {name: part for name, part in whole.items() if name not in beside} == apart
    public = {field.encode_name for field in msgspec.structs.fields(MemoryContext)}
    assert public - beside == set(apart)


def floats(value: Any) -> list[float]:
    if isinstance(value, float):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [one for part in parts for one in floats(part)] if isinstance(value, dict | list) else []


@given(histories(max_size=5), st.integers(0, 100_000))
@example([like()], 0)
def test_no_number_is_minus_zero(history: list[JournalEntry], days: int) -> None:
    fan = known(*history)
    shown = documents(fan, max(entry.time for entry in history) + days * DAY_MS)
    numbers = [one for text in shown.values() for one in floats(msgspec.json.decode(text))]
    assert not [one for one in numbers if str(one) == "-0.0"]
