"""A fan's history under a new subject: what is left means what it would without the rest."""

import os
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from privacy.seal import (
    event_key,
    former_event_key,
    open_if_intact,
    seal_entry,
    source_key,
    text_keys,
)
from privacy.subjects import Subject, journal_partition, successor
from schemas.control import Forget
from schemas.journal import JournalEntry, check_source, decode_record, forgotten, is_forgotten
from schemas.positions import Position
from schemas.topics import INTERACTIONS
from stores.conflicts import differs
from stores.folding import FramedBatch, fold_whole
from stores.history import Row
from stores.moving import chosen, move
from stores.record import HIDDEN, columns_of
from stores.refolding import UNLIMITED
from stores.tally import Tally
from tests.stores.fans import KEYRING
from tests.views.corrected import context_of, edit, logs
from tests.views.interactions import IDS, NOON, message
from views.corrections import as_corrected
from views.explain import context_as_of

PARTITIONS = 4
KEY = os.urandom(32)
OLD = Subject(os.urandom(16), "c", "fan", *KEYRING.wrap(b"0" * 16, ("c", "fan"), KEY), KEY)


def rows_of(log: Sequence[JournalEntry], keys: Sequence[bytes] | None = None) -> list[Row]:
    found = []
    for offset, entry in enumerate(log):
        key = event_key(OLD.key, entry.event_id, entry.kind) if keys is None else keys[offset]
        body = seal_entry(OLD.cipher, OLD.id, key, entry)
        found.append(Row(OLD.id, key, 0, offset, body, columns_of(entry)))
    return found


def moved(log: Sequence[JournalEntry], order: Forget) -> tuple[Subject, list[JournalEntry]]:
    """The new subject, and what the journal has under it."""
    new = successor(KEYRING, OLD, PARTITIONS)
    done = move(rows_of(log), 0, OLD, new, order, {})
    entries = []
    for key, value in done.records:
        record = decode_record(value)
        entry = open_if_intact(new.cipher, new.id, record.event_key, record.sealed)
        assert entry is not None
        assert key == new.id
        check_source(record, entry)
        assert open_if_intact(OLD.cipher, OLD.id, record.event_key, record.sealed) is None
        entries.append(entry)
    assert [one.entry for one in done.opened] == entries
    return new, entries


@given(logs(), st.sets(st.sampled_from((*IDS, "e-1", "e-2")), max_size=3), st.data())
def test_the_context_is_that_of_a_world_without_them(
    log: list[JournalEntry], ids: set[str], data: st.DataObject
) -> None:
    order = Forget("c", "fan", "id", tuple(sorted(ids)))
    left = [entry for n, entry in enumerate(log) if n not in chosen(log, order)]
    _, entries = moved(log, order)
    now = max(entry.time for entry in log)
    assert context_of(entries, now) == context_of(left, now)
    time = data.draw(st.integers(min(entry.time for entry in log), now))
    seen = [
        context_as_of("c", "fan", as_corrected(list(enumerate(known))), time)
        for known in ([entry for entry in entries if not is_forgotten(entry)], left)
    ]
    assert seen[0] == seen[1]


@given(logs(), st.integers(NOON - 10, NOON + 10))
def test_what_is_older_was_never_sent(log: list[JournalEntry], before: int) -> None:
    _, entries = moved(log, Forget("c", "fan", "id", before=before))
    assert entries == [entry for entry in log if entry.time >= before]


def test_a_forgotten_message_does_not_come_back_when_what_is_older_goes() -> None:
    log = [message(NOON, event_id="a"), message(NOON + 2, event_id="b")]
    _, once = moved(log, Forget("c", "fan", "id", ("b",)))
    _, entries = moved(once, Forget("c", "fan", "id", before=NOON + 1))
    assert entries == [forgotten(log[1])]


def test_a_message_goes_with_all_that_it_was_edited_to() -> None:
    log = [
        message(NOON, event_id="a"),
        edit("c", event_id="d"),  # of an edit, and before it came
        edit("a", event_id="c"),
        message(NOON, event_id="b"),
        edit("b", event_id="e"),
    ]
    assert chosen(log, Forget("c", "fan", "id", ("a",))) == {0, 1, 2}
    assert chosen(log, Forget("c", "fan", "id", ("c",))) == {1, 2}


def test_what_stands_in_its_place_moves_nothing_and_conflicts_with_nothing() -> None:
    said = JournalEntry("a", "message", NOON, content="secret")
    new, (kept, _) = moved([said, message(NOON, event_id="b")], Forget("c", "fan", "id", ("a",)))
    assert kept == forgotten(said)
    assert (kept.content, kept.text, kept.time, kept.event_id) == (None, None, 0, "a")
    assert columns_of(kept) == HIDDEN
    assert not differs(kept, said)
    # It is known by the same key as the event: who sends it once more repeats what is known.
    _, entries = moved([kept, said], Forget("c", "fan", "id"))
    assert entries == [kept, said]
    assert event_key(new.key, "a") != event_key(OLD.key, "a")


def test_identities_are_kept_whatever_they_were_made_of() -> None:
    place = str(Position(INTERACTIONS.name, 1, 7))
    again = f"{place}#1"
    log = [
        message(NOON, event_id="a"),
        JournalEntry("a", "tip", NOON, amount=5),
        JournalEntry("former", "tip", NOON, amount=5),
        message(NOON, event_id=place),
        JournalEntry(place, "message", NOON, content="x", source_partition=1, source_offset=7),
        JournalEntry(place, "like", NOON, source_partition=1, source_offset=7),
        message(NOON, event_id="altered"),
    ]
    old = [
        event_key(OLD.key, "a"),
        event_key(OLD.key, "a", "tip"),
        former_event_key(OLD.key, "former"),
        event_key(OLD.key, place),  # a producer's id that looks like a place
        source_key(OLD.key, place),
        source_key(OLD.key, again),
        os.urandom(16),
    ]
    new = successor(KEYRING, OLD, PARTITIONS)
    done = move(rows_of(log, old), 0, OLD, new, Forget("c", "fan", "id"), {1: (3,)})
    keys = [one.event_key for one in done.opened]
    assert keys[:6] == [
        event_key(new.key, "a"),
        event_key(new.key, "a", "tip"),
        former_event_key(new.key, "former"),
        event_key(new.key, place),
        source_key(new.key, place),
        source_key(new.key, again),
    ]
    assert len(set(keys)) == 7
    assert keys[0] in text_keys(new.key, "a")
    assert keys[4] in text_keys(new.key, place)


@given(st.binary(min_size=16, max_size=16), st.integers(1, 64))
def test_the_new_subject_is_in_the_same_partition(id: bytes, partitions: int) -> None:
    old = Subject(id, "c", "fan", "k", b"", KEY)
    new = successor(KEYRING, old, partitions)
    assert journal_partition(new.id, partitions) == journal_partition(id, partitions)
    assert (new.id, new.key) != (old.id, old.key)


def test_what_is_folded_at_its_new_places_is_what_a_rebuild_folds() -> None:
    log = [message(NOON + n, event_id=str(n)) for n in range(4)]
    new = successor(KEYRING, OLD, PARTITIONS)
    done = move(rows_of(log), 0, OLD, new, Forget("c", "fan", "id", ("2",)), {})
    placed = done.placed([10, 11, 13, 14])
    framed = FramedBatch(tallies={0: Tally()})
    (fan,) = fold_whole(placed, UNLIMITED, framed)
    assert (fan.subject, fan.version) == (new.id, 15)
    assert framed.quarantined == []
