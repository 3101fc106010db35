"""recentMessages: the last 50 messages by event time, oldest first; equal times in log order.

The only view without a state of its own: the history rows are its state, and the newest 50 are
read by index. `sentiment` and `topics` are the analyser's and stand at both senders' messages.
`metadata` is the object as received, plus `language` (the analyser's, unless the sender gave one)
and, when known, `author`.
"""

from collections.abc import Iterable
from heapq import nlargest
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.context import ConversationMessage
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.text_features import NO_TEXT
from schemas.times import render_time

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "recentMessages"

MESSAGES_MAX: Final = 50
"""Also what the stores keep at hand for one fan."""

_decode_metadata = msgspec.json.Decoder(dict[str, Any]).decode


def newest(
    history: Iterable[tuple[int, JournalEntry]], limit: int = MESSAGES_MAX
) -> list[JournalEntry]:
    """The newest messages of (position, entry) pairs by (event time, position), oldest first."""
    messages = ((entry.time, at, entry) for at, entry in history if entry.kind == "message")
    latest = nlargest(limit, messages, key=lambda message: message[:2])
    return [entry for _, _, entry in reversed(latest)]


def moved_by(kind: Kind, sender: Sender) -> bool:
    """Every message, of both senders."""
    return kind == "message"


def render(fan: "Fan", who: Relationship, now: int) -> tuple[ConversationMessage, ...]:
    return tuple(render_one(who, entry) for entry in fan.recent)


def render_one(who: Relationship, entry: JournalEntry) -> ConversationMessage:
    """One message: it depends on nothing but its entry, so that readers keep it rendered."""
    text = entry.text or NO_TEXT
    metadata = _decode_metadata(entry.metadata) if entry.metadata else {}
    metadata.setdefault("language", text.language)
    if entry.author is not None:
        metadata.setdefault("author", entry.author)
    return ConversationMessage(
        id=entry.event_id,
        fan_id=who[1],
        creator_id=who[0],
        content=entry.content or "",
        sender=entry.sender,
        sentiment=text.sentiment,
        topics=text.topics,
        timestamp=render_time(entry.time),
        metadata=metadata,
    )
