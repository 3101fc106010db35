"""What if, as a pure function: events that have not happened do what they would have done."""

from schemas.details import Details, Reference
from schemas.journal import JournalEntry
from schemas.times import HOUR_MS
from tests.views.interactions import NOON, WHO, message, tip
from views.explain import context_as_of
from views.what_if import context_after

NOW = NOON + HOUR_MS


def placed(*entries: JournalEntry) -> list[tuple[int, JournalEntry]]:
    return list(enumerate(entries, 100))


def test_an_event_does_what_it_would_have_done() -> None:
    before, later = message(NOON, event_id="m1"), tip(NOON + 1, 700)
    happened = context_as_of(*WHO, placed(before, later), NOW)
    assert happened is not None
    assert context_after(WHO, placed(before), [later], NOW) == happened
    assert context_after(WHO, [], [before, later], NOW) == happened


def test_what_is_there_already_changes_nothing() -> None:
    before = message(NOON, event_id="m1")
    without = context_after(WHO, placed(before), [], NOW)
    assert without is not None
    assert context_after(WHO, placed(before), [before, before], NOW) == without
    twice = context_after(WHO, placed(before), [tip(), tip()], NOW)
    assert twice == context_after(WHO, placed(before), [tip()], NOW) != without


def test_a_delete_takes_back_what_is_there_and_what_is_supposed() -> None:
    gone = JournalEntry("d", "delete", NOON + 2, details=Details(refers_to=Reference("m1", None)))
    before, stays = message(NOON, event_id="m1"), message(NOON + 1, event_id="m2")
    left = context_after(WHO, placed(stays), [], NOW)
    assert context_after(WHO, placed(before, stays), [gone], NOW) == left
    assert context_after(WHO, [], [before, stays, gone], NOW) == left
    assert context_after(WHO, placed(before), [gone], NOW) is None


def test_it_is_seen_from_the_newest_of_the_events() -> None:
    before, later = message(NOON, event_id="m1"), message(NOW + HOUR_MS, event_id="m2")
    seen = context_after(WHO, placed(before), [later], NOW)
    assert seen == context_as_of(*WHO, placed(before, later), later.time)
    assert context_after(WHO, [], [], NOW) is None
