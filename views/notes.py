"""notes: what people on the creator's side wrote about the fan, the newest first.

A note is no word between the two: it moves no other view, and nothing of it is analysed. An edit
(`replaces`) gives it another text, a `delete` that names it takes it away (`views.corrections`).

20 are shown at most, and as many of the newest as have `CHARACTERS_MAX` together, each whole: a
context stays small whoever writes. Of one time the later in log order is the newer. Older ones are
in the history: `export` and `changes` have them.

A view without a state of its own, like `messages`: the history rows are its state.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from schemas.context import Note
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.times import render_time
from views.messages import newest_first

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "notes"

NOTES_MAX: Final = 20
CHARACTERS_MAX: Final = 20_000
"""Of all that are shown: any one fits."""


def newest(history: Iterable[tuple[int, JournalEntry]]) -> list[JournalEntry]:
    """The notes of (offset, entry) pairs that are shown, the newest first."""
    shown = []
    left = CHARACTERS_MAX
    for one in newest_first(history, lambda entry: entry.kind == "note")[:NOTES_MAX]:
        left -= len(one.content or "")
        if left < 0:
            break
        shown.append(one)
    return shown


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
    """Only a note."""
    return kind == "note"


def render(fan: "Fan", who: Relationship, now: int) -> tuple[Note, ...]:
    return render_all(fan.notes)


def render_all(entries: Iterable[JournalEntry]) -> tuple[Note, ...]:
    """They depend on nothing but their entries, so that readers keep them rendered."""
    return tuple(
        Note(
            id=entry.event_id,
            content=entry.content or "",
            timestamp=render_time(entry.time),
            author=entry.author,
        )
        for entry in entries
    )
