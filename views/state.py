"""FanState: everything remembered of one subject as one JSON document, a pure fold of the journal.

It is the registry of views: adding a view is one module (`VERSION`, `State`, `fold`, and what
renders it) and one line in `FanState`. Names are written out in the stored JSON because a SQL view
shows it to people; fields at their defaults are left out. It never holds a text of the fan.

A state is bounded for any input: every map and list has a cap and every key a longest length.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import msgspec

from schemas.errors import Misconfigured
from schemas.journal import JournalEntry
from views.emotional_state import State as EmotionalState
from views.engagement import State as Engagement
from views.personality import State as Personality
from views.preferences import State as Preferences
from views.responses import State as Responses

STATE_BYTES_MAX: Final = 65_536
"""No state is larger: 64 topics and 64 content types of 64 characters are most of it."""


class FanState(msgspec.Struct, gc=False):
    position: int = -1
    """Journal offset of the newest event folded."""
    responses: Responses = msgspec.field(default_factory=Responses)
    engagement: Engagement = msgspec.field(default_factory=Engagement)
    emotional_state: EmotionalState = msgspec.field(default_factory=EmotionalState)
    personality: Personality = msgspec.field(default_factory=Personality)
    preferences: Preferences = msgspec.field(default_factory=Preferences)


def _view_modules() -> dict[str, ModuleType]:
    """Each part's type lives in its view's module, so the fields of `FanState` name the views."""
    return {
        field.name: sys.modules[field.type.__module__]
        for field in msgspec.structs.fields(FanState)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
    }


VIEWS: Final = _view_modules()
"""Name of the part in `FanState` -> module of its view."""

VIEW_VERSION: Final = " ".join(f"{name}:{module.VERSION}" for name, module in VIEWS.items())
"""Stored with each generation; a stored version other than this one needs a rebuild."""

_FOLDS: Final[tuple[tuple[str, Callable[[Any, JournalEntry, int], None]], ...]] = tuple(
    (name, module.fold) for name, module in VIEWS.items()
)
_decode = msgspec.json.Decoder(FanState).decode

encode: Final = msgspec.json.Encoder().encode
"""The state as JSON; `decode` of it folds on to the same bytes as the state itself."""


def fold(state: FanState | None, entry: JournalEntry, position: int) -> FanState:
    """Take one event into the state, in place; a new state for the first event.

    `position` is the event's journal offset. Depends on nothing but its arguments, so refolding
    the same events gives the same bytes (on one platform: `exp2` and `log1p` are the C library's).
    Features outside their documented bounds count as absent: no record can spoil a state.
    """
    if state is None:
        state = FanState()
    state.position = position
    for name, fold_view in _FOLDS:
        fold_view(getattr(state, name), entry, position)
    return state


def decode(data: bytes) -> FanState:
    """Raises `Misconfigured` for what this view version did not write."""
    try:
        return _decode(data)
    except msgspec.DecodeError:
        raise Misconfigured(
            "A stored state does not have the form of this view version.",
            hint="Run `fanmemory rebuild`.",
        ) from None
