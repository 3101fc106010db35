"""notes: what people on the creator's side wrote about the fan."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pytest import mark

from schemas.context import Note
from schemas.details import Details, Reference
from schemas.journal import JournalEntry
from schemas.times import DAY_MS, render_time
from tests.views.corrected import delete
from tests.views.interactions import NOON, WHO, entries, histories, known, like, message, note
from views import notes
from views.context import render_context
from views.corrections import as_corrected
from views.explain import context_as_of, explain
from views.state import encode
from views.what_if import context_after


def shown(*history: JournalEntry) -> list[str]:
    return [entry.content or "" for entry in notes.newest(list(enumerate(history)))]


def test_the_newest_are_shown_first_with_who_wrote_them() -> None:
    fan = known(note(NOON, "older", "1"), message(), note(NOON + 1, "newer", "2", author="ai"))
    assert notes.render(fan, WHO, NOON) == (
        Note("2", "newer", render_time(NOON + 1), "ai"),
        Note("1", "older", render_time(NOON)),
    )


def test_of_one_time_the_later_in_the_log_is_the_newer() -> None:
    assert shown(note(NOON, "first", "1"), note(NOON, "second", "2")) == ["second", "first"]


def test_twenty_are_shown_at_most() -> None:
    history = [note(NOON + n, str(n), str(n)) for n in range(notes.NOTES_MAX + 5)]
    assert shown(*history) == [str(n) for n in range(24, 4, -1)]


def test_what_is_shown_has_so_many_characters_together_and_each_is_whole() -> None:
    """The first that does not fit ends it: a smaller, older one is not shown in its place."""
    long = "x" * 10_000
    assert shown(note(NOON + 9, long), note(NOON + 8, long), note(NOON, "a")) == [long, long]
    assert shown(note(NOON + 9, "b"), note(NOON + 8, long), note(NOON + 7, long), note(NOON)) == [
        "b",
        long,
    ]


@given(histories(max_size=8), entries())
def test_a_note_moves_nothing_else(history: list[JournalEntry], other: JournalEntry) -> None:
    """Whatever else is in it: the fan did nothing."""
    written = msgspec.structs.replace(other, kind="note", sender="creator")
    now = max(entry.time for entry in (*history, written))
    first = like(1)  # of a fan whom nothing else is known of, `createdAt` is that of the note
    plain, noted = known(first, *history), known(first, *history, written)
    noted.state.position = plain.state.position
    noted.state.known_since = plain.state.known_since
    assert encode(noted.state) == encode(plain.state)
    before = render_context(*WHO, plain.state, plain.recent, now)
    after = render_context(*WHO, noted.state, noted.recent, now)
    assert msgspec.json.encode(before) == msgspec.json.encode(after)


def test_a_fan_known_only_by_a_note_has_every_document() -> None:
    context = context_as_of(*WHO, [(0, note(NOON))], NOON + DAY_MS)
    assert context is not None
    assert context.engagement_metrics.total_messages == 0
    assert context.engagement_metrics.last_interaction is None
    assert context.engagement_metrics.created_at == render_time(NOON)
    assert context.personality_profile.interaction_count == 0
    assert context.recent_messages == ()
    assert [one.content for one in context.notes or ()] == ["likes boats"]


def test_without_notes_the_document_is_that_of_the_contract() -> None:
    context = context_as_of(*WHO, [(0, message())], NOON)
    assert b"notes" not in msgspec.json.encode(context)


def edited(target: str, content: str, event_id: str = "e") -> JournalEntry:
    return note(NOON + 5, content, event_id, details=Details(replaces=target))


@mark.parametrize("place", [0, 1])
def test_an_edit_gives_a_note_another_text_and_a_delete_takes_it_away(place: int) -> None:
    change = edited("n", "likes planes")
    history = [note(), message()]
    history.insert(place * 2, change)
    stands = [entry for _, entry in as_corrected(list(enumerate(history)))]
    assert shown(*stands) == ["likes planes"]
    history.insert(place * 3, delete("n", "note"))
    assert shown(*(entry for _, entry in as_corrected(list(enumerate(history))))) == []


def test_an_edit_of_a_message_by_a_note_and_the_reverse_is_nothing() -> None:
    said = message(event_id="m")
    other = msgspec.structs.replace(message(event_id="x"), details=Details(replaces="n"))
    history = [note(), said, edited("m", "I never said that"), other]
    stands = [entry for _, entry in as_corrected(list(enumerate(history)))]
    assert stands == [note(), said]


def test_notes_are_as_of_a_time_and_what_if_and_explained_as_nothing() -> None:
    history = [(0, message()), (1, note(NOON + 10, "later"))]
    was = context_as_of(*WHO, history, NOON)
    assert was is not None
    assert was.notes is msgspec.UNSET
    gone = JournalEntry("d", "delete", NOON + 20, details=Details(refers_to=Reference("n", "note")))
    after = context_after(WHO, history, [gone, note(NOON + 20, "new", "n2")], NOON + 20)
    assert after is not None
    assert [one.content for one in after.notes or ()] == ["new"]
    told = explain(history, "totalMessages", None, NOON + 20)
    assert [(one.event_id, one.contribution) for one in told.contributions] == [
        ("m", 1.0),
        ("n", 0.0),
    ]


@given(st.lists(st.integers(0, 12_000), max_size=30))
def test_the_bound_of_characters_holds(sizes: list[int]) -> None:
    found = shown(*(note(NOON + n, "x" * size, str(n)) for n, size in enumerate(sizes)))
    assert sum(map(len, found)) <= notes.CHARACTERS_MAX
    assert len(found) <= notes.NOTES_MAX
