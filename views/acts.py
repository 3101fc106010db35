"""What an event says about the fan: shared by all views.

- Only a *direct* event is one between the two: a mass message (`broadcast`) and what a platform
  writes (`system`) count as messages and nothing more.
- A like or a view by the creator is the creator's: it moves no view of the fan.
- A note is about the fan, and between nobody: it moves no view but `notes`.
- A refund and a subscription that renews or expires happen without anybody's doing: they are no
  interaction with the fan, though their money counts.
"""

from typing import Final

from schemas.events import Kind, Sender
from schemas.journal import JournalEntry

_TIMED: Final = frozenset(("renewed", "expired"))


def is_fans(kind: Kind, sender: Sender) -> bool:
    """Whether the event is about the fan at all."""
    if kind == "note":
        return False
    return sender == "fan" or (kind != "like" and kind != "view")


def is_direct(entry: JournalEntry) -> bool:
    details = entry.details
    return details is None or details.origin == "direct"


def is_act(entry: JournalEntry) -> bool:
    """Whether somebody, of either side, turned to the other."""
    details = entry.details
    if details is None:
        return entry.kind != "refund"
    if entry.kind == "refund" or details.origin != "direct":
        return False
    return details.subscription is None or details.subscription.event not in _TIMED
