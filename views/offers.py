"""Offers: what was offered to this fan, and what became of it.

An *offer* is something that the creator sells. It is known by the name that events give it in
`metadata.offers` (an entry of the creator's catalogue); without one a locked message is an offer:
by the ids of what is attached to it, so that the same pictures are the same offer in every message,
else by its own id. Names that are ids of messages or files stand here as hashes: the state is not
sealed.

- *Pitched*: a message of the creator's that names the offer, or is locked (`price`, its own or that
  of an attachment). Also a mass message. `price` is that of the newest pitch that had one.
- *Bought*: a purchase that names the offer in `metadata.offers`, or whose `refersTo` is a message
  that pitched it, whichever came first. A tip or a like buys nothing. What is refunded wholly was
  never bought (`views.corrections`).
- *Promised*: a message of the creator's that names it in `metadata.promises`, as long as nothing
  later delivers it: `metadata.delivers` of the creator's message, a pitch, or a purchase.
- *Declined*: a message of the fan's that names it in `metadata.declines` and is not older than the
  newest pitch; or 7 days without a purchase since the newest pitch, at `now`: what is bought is
  mostly bought within hours.

The status is the first of `promised`, `bought`, `declined`, `pitched` that holds. What was neither
pitched nor bought by name, and is not promised, is not shown. Newest first.

`OFFERS_MAX` offers are kept. The one goes first that was not offered (yet), then the one of which
nothing was heard for longest.

Order: the same in any order, as long as no more than `OFFERS_MAX` compete, and no offer has
more than `PITCHES_KEPT_MAX` pitches (a purchase that names an older message finds it no more).
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from schemas.context import OfferState, OfferStatus
from schemas.details import Details
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY, major_units
from schemas.relationship import Relationship
from schemas.times import DAY_MS, render_time
from views import engagement

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "offers"
VERSION: Final = 1

OFFERS_MAX: Final = 32
PITCHES_KEPT_MAX: Final = 8
"""Messages that one offer was pitched in, to be found by a purchase."""
IN_MESSAGE_MAX: Final = 8
"""Offers of one message without names: of attachments with prices of their own."""
DECLINED_MS: Final = 7 * DAY_MS

MESSAGE: Final = "message:"
FILES: Final = "files:"
"""Before the hash that an offer without a name is known by."""

_HASH_BYTES: Final = 6


class Offer(msgspec.Struct, omit_defaults=True, gc=False):
    """Times in ms, 0: never; money in minor units."""

    pitches: int = 0
    first: int = 0
    last: int = 0
    """Of the oldest and the newest pitch."""
    price: int = 0
    """0: none was named."""
    currency: str = DEFAULT_CURRENCY
    priced: int = 0
    """Of the newest pitch with a price."""
    messages: dict[str, int] = msgspec.field(default_factory=dict)
    """Hash of the message -> time, of the newest pitches."""
    bought: int = 0
    bought_at: int = 0
    paid: int = 0
    """At the newest purchase."""
    paid_in: str = DEFAULT_CURRENCY
    promised: int = 0
    delivered: int = 0
    declined: int = 0
    """Of the newest."""


class State(msgspec.Struct, omit_defaults=True, gc=False):
    offers: dict[str, Offer] = msgspec.field(default_factory=dict)


def fold(state: State, entry: JournalEntry, position: int) -> None:
    details = entry.details
    if details is None:
        return
    kind = entry.kind
    if kind == "message":
        if entry.sender == "creator":
            _said(state, entry, details)
        else:
            for one in details.offers:
                if one.act == "declined":
                    offer = _offer(state, one.id)
                    offer.declined = max(offer.declined, entry.time)
    elif kind == "purchase":
        _bought(state, entry, details)
    else:
        return
    while len(state.offers) > OFFERS_MAX:
        del state.offers[min(state.offers, key=lambda name: _rank(name, state.offers[name]))]


def _said(state: State, entry: JournalEntry, details: Details) -> None:
    time, message = entry.time, hashed(entry.event_id)
    currency = details.currency or DEFAULT_CURRENCY
    for name, price in _pitched(entry, details):
        offer = _offer(state, name)
        offer.pitches += 1
        offer.first = min(offer.first or time, time)
        offer.last = max(offer.last, time)
        if price and (time, price, currency) > (offer.priced, offer.price, offer.currency):
            offer.priced, offer.price, offer.currency = time, price, currency
        offer.messages[message] = time
        if len(offer.messages) > PITCHES_KEPT_MAX:
            del offer.messages[min(offer.messages, key=lambda one: (offer.messages[one], one))]
    _adopt(state, message)
    for one in details.offers:
        if one.act == "promised":
            offer = _offer(state, one.id)
            offer.promised = max(offer.promised, time)
        elif one.act == "delivered":
            offer = _offer(state, one.id)
            offer.delivered = max(offer.delivered, time)


def _pitched(entry: JournalEntry, details: Details) -> Iterator[tuple[str, int | None]]:
    """(name, price) of what a message of the creator's offers, each name once."""
    price = details.price
    named = {one.id: one.price for one in details.offers if one.act == "pitched"}
    if named:
        for name, own in named.items():
            yield name, own or (price if len(named) == 1 else None)
    elif price is not None:
        yield _unnamed(entry, {one.id for one in details.attachments if one.id is not None}), price
    else:
        priced = {one.id: one.price for one in details.attachments if one.price}
        for id, own in list(priced.items())[:IN_MESSAGE_MAX]:
            yield _unnamed(entry, () if id is None else (id,)), own


def _unnamed(message: JournalEntry, files: Iterable[str]) -> str:
    """What an offer without a name is known by."""
    ids = sorted(files)
    return FILES + hashed(" ".join(ids)) if ids else MESSAGE + hashed(message.event_id)


def _bought(state: State, entry: JournalEntry, details: Details) -> None:
    names = [one.id for one in details.offers if one.act == "bought"]
    meant = details.refers_to
    if not names and meant is not None and meant.kind in (None, "message"):
        message = hashed(meant.event_id)
        names = [name for name, offer in state.offers.items() if message in offer.messages]
        names = names or [MESSAGE + message]  # waits there for the message
    paid = entry.amount or 0
    for name in names:
        _buy(_offer(state, name), 1, entry.time, paid, details.currency or DEFAULT_CURRENCY)


def _buy(offer: Offer, times: int, newest: int, paid: int, currency: str) -> None:
    offer.bought += times
    if (newest, paid, currency) >= (offer.bought_at, offer.paid, offer.paid_in):
        offer.bought_at, offer.paid, offer.paid_in = newest, paid, currency


def _adopt(state: State, message: str) -> None:
    """What was bought by a message's id before it came belongs to what the message pitched."""
    early = state.offers.get(MESSAGE + message)
    if early is None or early.pitches:
        return
    names = [name for name, offer in state.offers.items() if message in offer.messages]
    for name in names:
        _buy(state.offers[name], early.bought, early.bought_at, early.paid, early.paid_in)
    if names:
        del state.offers[MESSAGE + message]


def _offer(state: State, name: str) -> Offer:
    found = state.offers.get(name)
    if found is None:
        found = state.offers[name] = Offer()
    return found


def _heard(offer: Offer) -> int:
    """When something was last heard of it."""
    return max(offer.last, offer.bought_at, offer.promised, offer.delivered, offer.declined)


def _rank(name: str, offer: Offer) -> tuple[bool, int, str]:
    return offer.pitches > 0 or offer.promised > 0, _heard(offer), name


def hashed(id: str) -> str:
    """Stands for the id of a message, or of a file, in a state; 12 characters."""
    return blake2b(id.encode(), digest_size=_HASH_BYTES).hexdigest()


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
    """A message or a purchase that says more than most."""
    return detailed and kind in ("message", "purchase")


def status(name: str, offer: Offer, now: int) -> OfferStatus | None:
    """At `now`, which must not be before the newest event; None for what is not shown."""
    if offer.promised and offer.promised >= max(offer.delivered, offer.last, offer.bought_at):
        return "promised"
    if offer.bought and (offer.pitches or not name.startswith(MESSAGE)):
        return "bought"
    if not offer.pitches:
        return None
    if offer.declined >= offer.last or now - offer.last >= DECLINED_MS:
        return "declined"
    return "pitched"


def count(state: State, wanted: OfferStatus, now: int) -> int:
    """How many offers have this status at `now`."""
    return sum(status(name, offer, now) == wanted for name, offer in state.offers.items())


def render(fan: "Fan", who: Relationship, now: int) -> tuple[OfferState, ...]:
    offers = fan.state.offers.offers
    if not offers:
        return ()
    now = engagement.not_before_newest(fan.state.engagement, now)
    newest = sorted(offers.items(), key=lambda one: (-_heard(one[1]), one[0]))
    return tuple(
        _rendered(name, offer, found)
        for name, offer in newest
        if (found := status(name, offer, now)) is not None
    )


def _rendered(name: str, offer: Offer, found: OfferStatus) -> OfferState:
    return OfferState(
        id=name,
        status=found,
        pitches=offer.pitches,
        price=major_units(offer.price, offer.currency) if offer.price else None,
        currency=offer.currency if offer.price else None,
        first_pitched=_time(offer.first),
        last_pitched=_time(offer.last),
        purchases=offer.bought,
        last_bought=_time(offer.bought_at),
        paid=major_units(offer.paid, offer.paid_in) if offer.bought else None,
        paid_in=offer.paid_in if offer.bought else None,
        promised=_time(offer.promised),
        delivered=_time(offer.delivered),
        declined=_time(offer.declined),
    )


def _time(time: int) -> str | None:
    return render_time(time) if time else None
