"""Inbox: since when a fan waits for an answer, and how many messages nobody has answered."""

import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pytest import mark

from schemas.context import Inbox
from schemas.details import Details
from schemas.journal import JournalEntry
from schemas.times import MINUTE_MS, render_time
from tests.views.corrected import delete, edit
from tests.views.interactions import NEAR, NOON, WHO, histories, like, message, purchase, remember
from views import inbox
from views.context import minimal_context
from views.corrections import as_corrected
from views.inbox import KEPT_MAX
from views.state import Fan


def shown(*entries: JournalEntry) -> Inbox:
    return inbox.render(Fan(remember(*entries), ()), WHO, NOON)


def by(sender: Any, minute: int, event_id: str = "m", origin: Any = "direct") -> JournalEntry:
    said = message(NOON + minute * MINUTE_MS, sender=sender, event_id=event_id)
    return said if origin == "direct" else msgspec.structs.replace(said, details=Details(origin))


def waits(minute: int, unanswered: int) -> Inbox:
    return Inbox(render_time(NOON + minute * MINUTE_MS), unanswered)


ANSWERED = Inbox(None, 0)


@mark.parametrize(
    ("entries", "expected"),
    [
        ([by("creator", 0)], ANSWERED),
        ([by("fan", 0)], waits(0, 1)),
        ([by("creator", 0), by("fan", 1), by("fan", 2)], waits(1, 2)),
        ([by("fan", 0), by("creator", 1)], ANSWERED),
        ([by("fan", 0), by("creator", 0)], ANSWERED),
        ([by("creator", 0), by("fan", 0)], ANSWERED),
        ([by("fan", 0), by("creator", 1), by("fan", 2)], waits(2, 1)),
        # What comes late counts by its own time.
        ([by("fan", 3), by("fan", 1), by("creator", 2)], waits(3, 1)),
        ([by("creator", 2), by("fan", 1)], ANSWERED),
        ([by("fan", 5), by("creator", 2), by("fan", 3)], waits(3, 2)),
        # Nobody has said anything to the other.
        ([by("fan", 0), by("creator", 1, origin="broadcast")], waits(0, 1)),
        ([by("fan", 0), by("creator", 1, origin="system")], waits(0, 1)),
        ([by("fan", 0, origin="system")], ANSWERED),
        ([by("fan", 0), purchase(NOON + MINUTE_MS), like(NOON + MINUTE_MS)], waits(0, 1)),
    ],
)
def test_who_waits(entries: list[JournalEntry], expected: Inbox) -> None:
    assert shown(*entries) == expected


@mark.parametrize(
    ("log", "expected"),
    [
        ([by("fan", 0, "q"), by("creator", 1, "a"), delete("a")], waits(0, 1)),
        ([by("fan", 0, "q"), by("fan", 1, "r"), delete("q")], waits(1, 1)),
        ([by("fan", 0, "q"), delete("q"), by("creator", -1, "a")], ANSWERED),
        (
            [by("fan", 0, "q"), by("creator", 1, "a"), edit("q", time=NOON + 3 * MINUTE_MS)],
            ANSWERED,
        ),
    ],
)
def test_what_was_unsent_was_never_asked_or_answered(
    log: list[JournalEntry], expected: Inbox
) -> None:
    assert shown(*(entry for _, entry in as_corrected(list(enumerate(log))))) == expected


@given(histories(max_size=20, times=NEAR), st.randoms(use_true_random=False))
def test_the_order_of_arrival_makes_no_difference(
    history: list[JournalEntry], chance: random.Random
) -> None:
    before = shown(*history)
    chance.shuffle(history)
    assert shown(*history) == before


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=3 * KEPT_MAX),
    st.lists(st.integers(0, 300), max_size=3),
    st.randoms(use_true_random=False),
)
def test_beyond_what_is_kept_nobody_is_taken_for_answered(
    asked: list[int], answers: list[int], chance: random.Random
) -> None:
    entries = [*(by("fan", one) for one in asked), *(by("creator", one) for one in answers)]
    chance.shuffle(entries)
    waiting = [one for one in asked if one > max(answers, default=-1)]
    state = remember(*entries).inbox
    found = shown(*entries)
    assert len(state.times) <= KEPT_MAX
    if len(waiting) <= KEPT_MAX:
        assert found == (waits(min(waiting), len(waiting)) if waiting else ANSWERED)
    else:
        assert KEPT_MAX <= found.unanswered <= len(waiting)
        assert found.waiting_since is not None
    if not answers:
        assert found == waits(min(asked), len(asked))


def test_many_that_come_in_order_are_counted_one_by_one_and_answered_at_once() -> None:
    asked = [by("fan", minute) for minute in range(5 * KEPT_MAX)]
    assert shown(*asked) == waits(0, 5 * KEPT_MAX)
    assert shown(*asked, by("creator", 5 * KEPT_MAX)) == ANSWERED
    assert shown(*asked, by("creator", 5 * KEPT_MAX - 3)) == waits(5 * KEPT_MAX - 2, 2)


def test_nobody_says_that_nothing_waits_where_nothing_could_be_read() -> None:
    assert minimal_context(*WHO, NOON).inbox is msgspec.UNSET
