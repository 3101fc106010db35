"""Inbox: since when the fan waits for an answer, and how many messages nobody has answered.

- *Unanswered*: a direct message of the fan's that is newer, by event time, than the creator's
  newest direct message. Of one time, the creator's counts as the later one: a reply of a machine
  comes in the second of what it answers, and some platforms tell no more than seconds.
- `waitingSince`: the oldest of these; null when there is none.
- A mass message and one of the platform ask and answer nothing. Who of the creator's side has
  written makes no difference; a like, a view or a payment is no answer.
- What was deleted was never asked, or never answered; an edited message keeps its time.

Order: the same in any order, as long as no more than `KEPT_MAX` are unanswered. Of more the newest
are kept one by one, the older ones as a number; an answer that comes late, in the midst of these,
counts as one to all of them, so there are `KEPT_MAX` at least then.
"""

from bisect import bisect_right, insort
from typing import TYPE_CHECKING, Final

import msgspec

from schemas.context import Inbox
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.times import render_time
from views.acts import is_direct

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "inbox"
VERSION: Final = 1

KEPT_MAX: Final = 64
"""Unanswered messages whose times are kept: 16 bytes each."""


class State(msgspec.Struct, omit_defaults=True, gc=False):
    """Times in ms, 0: never."""

    answered: int = 0
    """Of the creator's newest direct message."""
    times: list[int] = msgspec.field(default_factory=list)
    """Of the newest unanswered messages, sorted."""
    older: int = 0
    """How many are unanswered besides, all of them older."""
    oldest: int = 0
    """Time of the oldest of those."""


def fold(state: State, entry: JournalEntry, position: int) -> None:
    if entry.kind != "message" or (entry.details is not None and not is_direct(entry)):
        return
    time, times = entry.time, state.times
    if entry.sender != "fan":
        if time > state.answered:
            state.answered = time
            if times:
                _answer(state, time)
    elif time > state.answered:
        insort(times, time)
        if len(times) > KEPT_MAX:
            first = times.pop(0)
            state.older += 1
            state.oldest = min(state.oldest or first, first)


def _answer(state: State, time: int) -> None:
    if state.older and time >= state.oldest:
        state.older = state.oldest = 0
    del state.times[: bisect_right(state.times, time)]


def waiting_since(state: State) -> int:
    """Ms; 0: nothing waits."""
    if state.older:
        return state.oldest
    return state.times[0] if state.times else 0


def unanswered(state: State) -> int:
    return state.older + len(state.times)


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
    """Every message, of both senders."""
    return kind == "message"


def render(fan: "Fan", who: Relationship, now: int) -> Inbox:
    state = fan.state.inbox
    since = waiting_since(state)
    return Inbox(render_time(since) if since else None, unanswered(state))
