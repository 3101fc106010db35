"""FanState: everything remembered of one subject as one JSON document, a pure fold of the journal.

It is also the registry of views. Adding one is one module (`VERSION`, `State`, `fold`, `DOCUMENT`,
`render`, `moved_by`), its field in `FanState` and its line in `PARTS`, in `fold` and in `VIEWS`.
Names are written out in its JSON because `fanmemory export` shows it to people; fields at their
defaults are left out. It never holds a text of the fan.

A state is bounded for any input: every map and list has a cap and every key a longest length.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from schemas.errors import Misconfigured
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY
from schemas.relationship import Relationship
from views import (
    corrections,
    emotional_state,
    engagement,
    facts,
    inbox,
    messages,
    notes,
    offers,
    personality,
    preferences,
    responses,
)
from views.acts import is_fans
from views.emotional_state import State as EmotionalState
from views.engagement import State as Engagement
from views.inbox import State as Inbox
from views.offers import State as Offers
from views.personality import State as Personality
from views.preferences import State as Preferences
from views.responses import State as Responses

STATE_BYTES_MAX: Final = 65_536
"""No state is larger: 64 topics and 64 content types of 64 characters are most of it."""


class FanState(msgspec.Struct, gc=False):
    position: int = -1
    """Journal offset of the newest event folded."""
    known_since: int = 0
    """Oldest time, ms, of what is no event of the fan's: a creator's likes and views, notes, and
    refunds that name their payment; 0: none."""
    awaited: list[int] = msgspec.field(default_factory=list)
    """Tokens of the ids that corrections wait for, sorted (`views.corrections`)."""
    responses: Responses = msgspec.field(default_factory=Responses)
    engagement: Engagement = msgspec.field(default_factory=Engagement)
    emotional_state: EmotionalState = msgspec.field(default_factory=EmotionalState)
    personality: Personality = msgspec.field(default_factory=Personality)
    preferences: Preferences = msgspec.field(default_factory=Preferences)
    offers: Offers = msgspec.field(default_factory=Offers)
    inbox: Inbox = msgspec.field(default_factory=Inbox)


class Fan(NamedTuple):
    """One fan's memory as views render it."""

    state: FanState
    recent: Sequence[JournalEntry]
    """The newest messages (`views.messages.newest`), oldest first: rows of the history."""
    currency: str = DEFAULT_CURRENCY
    """Of `totalRevenue`."""
    notes: Sequence[JournalEntry] = ()
    """The newest notes (`views.notes.newest`), the newest first: rows of the history too."""
    telling: Sequence[JournalEntry] = ()
    """What tells facts (`views.facts.telling`), the newest first: rows of the history too."""


class Part(Protocol):
    """A module whose `State` is a part of `FanState`."""

    @property
    def VERSION(self) -> int: ...  # noqa: N802 # a constant of the module

    @property
    def State(self) -> type[msgspec.Struct]: ...  # noqa: N802

    @property
    def fold(self) -> Callable[[Any, JournalEntry, int], None]: ...


class View(Protocol):
    """A module that renders one of the documents that readers get."""

    @property
    def DOCUMENT(self) -> str: ...  # noqa: N802
    def moved_by(self, kind: Kind, sender: Sender, *, detailed: bool) -> bool:
        """Whether such an event can change the document, as rendered at the event's time;
        `detailed`: it has `Details`."""

    def render(self, fan: Fan, who: Relationship, now: int) -> object:
        """The document at `now` (ms); a `now` before the newest event counts as that event's."""


PARTS: Final[dict[str, Part]] = {
    "responses": responses,
    "engagement": engagement,
    "emotional_state": emotional_state,
    "personality": personality,
    "preferences": preferences,
    "offers": offers,
    "inbox": inbox,
}
"""Part of `FanState` -> the module that folds it, in the order of folding."""

VIEWS: Final[dict[str, View]] = {
    "messages": messages,
    "personality": personality,
    "preferences": preferences,
    "emotional_state": emotional_state,
    "engagement": engagement,
    "offers": offers,
    "inbox": inbox,
    "notes": notes,
    "facts": facts,
}
"""Name -> module of what is rendered, in the order of the public document. `messages`, `notes` and
`facts` fold nothing (their state is the history), `responses` renders nothing (two others do)."""

STORED_AS: Final = "sealed:1"
"""How `stores.sealing` keeps the document; former releases kept it in clear."""

VIEW_VERSION: Final = " ".join(
    (
        *(f"{name}:{module.VERSION}" for name, module in PARTS.items()),
        f"corrections:{corrections.VERSION}",
        STORED_AS,
    )
)
"""Stored with each generation; a stored version other than this one needs a rebuild."""


class Scored(msgspec.Struct, gc=False):
    """What of `FanState` a score is made of: a third of the time to decode."""

    known_since: int
    engagement: Engagement


_decode = msgspec.json.Decoder(FanState).decode
_decode_scored = msgspec.json.Decoder(Scored).decode

_NOBODY: Final = b'{"position":-1,'

encode: Final = msgspec.json.Encoder().encode
"""The state as JSON; `decode` of it folds on to the same bytes as the state itself."""


def fold(state: FanState | None, entry: JournalEntry, position: int) -> FanState:
    """Take one event of a corrected history (`views.corrections`) into the state, in place; a new
    state for the first event.

    `position` is the event's journal offset. Depends on nothing but its arguments, so refolding
    the same events gives the same bytes (on one platform: `exp2` and `log1p` are the C library's).
    Features outside their documented bounds count as absent: no record can spoil a state.
    """
    if state is None:
        state = FanState()
    state.position = position
    kind = entry.kind
    if kind == "refund":
        if corrections.is_correction(entry):
            engagement.settle(state.engagement, entry)
            preferences.fold(state.preferences, entry, position)
            return _beside(state, entry)
    elif kind == "note" or (
        entry.sender != "fan" and kind != "message" and not is_fans(kind, entry.sender)
    ):
        return _beside(state, entry)
    # All of PARTS, each by its name and only for events that it looks at: a loop over them, and the
    # calls that do nothing, were a sixth of the fold (`bench fold`).
    engagement.fold(state.engagement, entry, position)
    if kind == "message":
        responses.fold(state.responses, entry, position)
        inbox.fold(state.inbox, entry, position)
        if entry.sender == "fan":
            emotional_state.fold(state.emotional_state, entry, position)
            personality.fold(state.personality, entry, position)
            preferences.fold(state.preferences, entry, position)
    else:
        emotional_state.fold(state.emotional_state, entry, position)
        preferences.fold(state.preferences, entry, position)
    if entry.details is not None:
        offers.fold(state.offers, entry, position)
    return state


def _beside(state: FanState, entry: JournalEntry) -> FanState:
    """The fan is known by it, and has no part in it."""
    if not state.known_since or entry.time < state.known_since:
        state.known_since = entry.time
    return state


def is_nobody(data: bytes) -> bool:
    """Whether nothing stands of all that was remembered: readers know no such fan."""
    return data.startswith(_NOBODY)


def decode(data: bytes) -> FanState:
    """Raises `Misconfigured` for what this view version did not write."""
    try:
        return _decode(data)
    except msgspec.DecodeError:
        raise _of_another_version() from None


def decode_scored(data: bytes) -> Scored:
    """Of the same data; raises like `decode`."""
    try:
        return _decode_scored(data)
    except msgspec.DecodeError:
        raise _of_another_version() from None


def _of_another_version() -> Misconfigured:
    return Misconfigured(
        "A stored state does not have the form of this view version.",
        hint="Run `fanmemory rebuild`.",
    )


_ALL: Final = tuple(sorted(view.DOCUMENT for view in VIEWS.values()))


@lru_cache(maxsize=4096)
def _documents_moved_by(
    kinds: frozenset[tuple[Kind, Sender, bool]], *, telling: bool
) -> tuple[str, ...]:
    return tuple(
        sorted(
            view.DOCUMENT
            for view in VIEWS.values()
            if (telling or view is not facts)
            and any(view.moved_by(kind, by, detailed=detailed) for kind, by, detailed in kinds)
        )
    )


def moved(entries: Iterable[JournalEntry], *, first: bool) -> tuple[str, ...]:
    """Names of the documents that these events can have changed, sorted.

    `first`: nothing was remembered of the fan before, or all of it was folded again, so every
    document is new.
    """
    if first:
        return _ALL
    entries = list(entries)
    kinds = [(entry.kind, entry.sender, entry.details is not None) for entry in entries]
    return _documents_moved_by(frozenset(kinds), telling=any(map(facts.tells, entries)))
