"""One opened record of the journal, and how its row of the history says what it is to a reader."""

from typing import NamedTuple

from schemas.journal import JournalEntry
from views import facts
from views.acts import is_direct
from views.corrections import is_edit


class OpenedRecord(NamedTuple):
    """One record that is to be folded."""

    partition: int
    offset: int
    subject: bytes
    event_key: bytes
    body: bytes
    entry: JournalEntry
    other_key: bytes | None = None
    """Under which another release would have known the same event (`privacy.seal`)."""


class Columns(NamedTuple):
    """What readers of messages and notes are told by a row of the history."""

    message: bool = False
    """A direct message, as it stands."""
    indirect: bool = False
    """Another message: a mass message, or one of the platform's."""
    edited_by: bytes | None = None
    """Event key of the edit whose text it has."""
    note: bool = False
    """A note, as it stands."""
    told: bool = False
    """It tells facts, as it stands."""


HIDDEN = Columns()


def columns_of(entry: JournalEntry) -> Columns:
    """As long as no correction is known: an edit is no message, or note, of its own."""
    if entry.kind == "note":
        return HIDDEN if is_edit(entry) else Columns(note=True, told=facts.tells(entry))
    if entry.kind != "message" or is_edit(entry):
        return HIDDEN
    direct = is_direct(entry)
    return Columns(direct, not direct, told=facts.tells(entry))
