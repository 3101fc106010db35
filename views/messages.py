"""recentMessages: the newest messages by event time, oldest first.

50 are shown, and of what was not direct (a mass message, or a word of the platform's) the newest 5
at most: the blasts of a year don't push out what the fan said. Messages of one time stand by their
`sequence` if all of them have one, else by their ids if all of these are whole numbers, else in
log order.

A view without a state of its own: the history rows are its state, and the newest are read by index.
`sentiment` and `topics` are the analyser's and stand at both senders' messages. `metadata` is the
object as received, plus `language` and `author` unless the sender gave one, and `origin` (unless
direct), `attachments`, `price` and `currency` where the event has them.
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import msgspec

from schemas.context import ConversationMessage
from schemas.details import Attachment, Details
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY, major_units
from schemas.relationship import Relationship
from schemas.text_features import NO_TEXT
from schemas.times import render_time

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "recentMessages"

MESSAGES_MAX: Final = 50
"""Also what the stores keep at hand for one fan."""
INDIRECT_MAX: Final = 5
"""Of these, the ones that are not direct."""
NUMBER_LENGTH_MAX: Final = 18
"""Digits of an id that is taken for a number: what fits into 64 bits."""

_decode_metadata = msgspec.json.Decoder(dict[str, Any]).decode
T = TypeVar("T", bound="Placed")


class Placed(Protocol):
    """What has a place among the messages."""

    @property
    def time(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def rank(self) -> "Rank": ...


class Rank(NamedTuple):
    """What else than the time decides on a message's place."""

    direct: bool = True
    sequence: int | None = None
    number: int | None = None
    """The id, if it is a whole number."""


class Message(NamedTuple):
    """A message and its place."""

    time: int
    offset: int
    rank: Rank
    entry: JournalEntry


_PLAIN: Final = Rank()


def rank_of(entry: JournalEntry) -> Rank:
    name = entry.event_id
    whole = len(name) <= NUMBER_LENGTH_MAX and name.isascii() and name.isdecimal()
    number = int(name) if whole else None
    details = entry.details
    if details is None:
        return _PLAIN if number is None else Rank(True, None, number)
    return Rank(details.origin == "direct", details.sequence, number)


def newest_of(messages: Iterable[T]) -> list[T]:
    """Those that are shown, in their order. What is left out now is never shown later: what comes
    takes the place of what is as old or older."""
    found = sorted(messages, key=lambda one: (one.time, one.offset))
    indirect = [one for one in found if not one.rank.direct]
    if len(indirect) > INDIRECT_MAX:
        left_out = {id(one) for one in indirect[:-INDIRECT_MAX]}
        found = [one for one in found if id(one) not in left_out]
    return in_order(found[-MESSAGES_MAX:])


def newest_first(
    history: Iterable[tuple[int, JournalEntry]], wanted: Callable[[JournalEntry], bool]
) -> list[JournalEntry]:
    """The entries that are wanted of (offset, entry) pairs, the newest first."""
    found = [(entry.time, at, entry) for at, entry in history if wanted(entry)]
    found.sort(key=lambda one: one[:2], reverse=True)
    return [entry for _, _, entry in found]


def in_order(found: list[T]) -> list[T]:
    """Messages of one time by what their platform says of their order."""
    if len({one.time for one in found}) == len(found):
        return found
    ordered: list[T] = []
    for _, together in groupby(found, key=lambda one: one.time):
        group = list(together)
        if all(one.rank.sequence is not None for one in group):
            group.sort(key=lambda one: one.rank.sequence or 0)
        elif all(one.rank.number is not None for one in group):
            group.sort(key=lambda one: one.rank.number or 0)
        ordered += group
    return ordered


def newest(history: Iterable[tuple[int, JournalEntry]]) -> list[Message]:
    """The messages of (offset, entry) pairs that are shown, in their order."""
    return newest_of(
        Message(entry.time, at, rank_of(entry), entry)
        for at, entry in history
        if entry.kind == "message"
    )


def newest_entries(history: Iterable[tuple[int, JournalEntry]]) -> list[JournalEntry]:
    """The same without their places."""
    return [one.entry for one in newest(history)]


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
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
    if entry.details is not None:
        metadata |= _shown_details(entry.details)
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


def _shown_details(details: Details) -> dict[str, Any]:
    currency = details.currency or DEFAULT_CURRENCY
    found: dict[str, Any] = {}
    if details.origin != "direct":
        found["origin"] = details.origin
    if details.attachments:
        found["attachments"] = [_shown_attachment(one, currency) for one in details.attachments]
    if details.price is not None:
        found["price"] = major_units(details.price, currency)
    if details.currency is not None and (details.price or details.attachments):
        found["currency"] = currency
    return found


def _shown_attachment(one: Attachment, currency: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": one.type}
    if one.id is not None:
        found["id"] = one.id
    if one.price is not None:
        found["price"] = major_units(one.price, currency)
    return found
