"""Purchases: what a fan has paid, payment by payment, and what of it was taken back. Pure.

A payment is a purchase, a tip, or a subscription's event with an amount. It is told as it was made;
`refunds` are those that name it, each with what it took back of this payment, and `net` is what is
left. What was deleted was never paid. A refund stands by itself where it took more than its payment
had, where no payment is known (yet), or where that was in another currency: its `net` is below 0.
So the `net` of all is the fan's revenue, currency by currency (`views.engagement`).
"""

from collections import defaultdict
from typing import Final, Literal, NamedTuple

import msgspec

from schemas.details import NO_DETAILS, Kind, RefundReason, SubscriptionEvent
from schemas.journal import JournalEntry
from schemas.money import major_units
from schemas.positions import Place
from schemas.times import Time, render_time
from views.corrections import REFUNDABLE, History, correct, currency_of

PaymentType = Literal["purchase", "tip", "subscription", "refund"]

_TYPES: Final[dict[Kind, PaymentType]] = {
    "purchase": "purchase",
    "tip": "tip",
    "subscription": "subscription",
    "refund": "refund",
}


class PaidFor(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What a payment was for, as its event says."""

    event_id: str
    type: Kind | None


class Refunded(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A refund of a payment."""

    id: str
    amount: float
    """What of it was taken back of this payment."""
    timestamp: Time
    reason: RefundReason


class Payment(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One payment, or a refund that stands by itself."""

    id: str
    type: PaymentType
    amount: float
    """As it was paid, or of a refund asked back, in major units."""
    currency: str
    refunded: float
    """What was taken back of it; of a refund 0."""
    net: float
    """What is left of it; of a refund what it takes from the revenue, below 0."""
    timestamp: Time
    refunds: tuple[Refunded, ...]
    """In the order of their arrival."""
    content_type: str | None = None
    refers_to: PaidFor | None = None
    subscription: SubscriptionEvent | None = None
    """What happened to the subscription."""
    reason: RefundReason | None = None
    """Of a refund."""


class Listed(NamedTuple):
    """Some payments, the newest first."""

    payments: list[Payment]
    end: Place | None
    """None: there is none that is older."""


def purchases(history: History, before: Place | None, limit: int) -> Listed:
    """Up to `limit` payments that are older than `before`. `history` is as it came."""
    entries = [entry for _, entry in history]
    corrected = correct(entries)
    standing = {one.place: one.entry for one in corrected.stands}
    refunds: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for refund, taken in corrected.taken.items():
        refunds[taken.payment].append((refund, taken.amount))
    found = []
    for place, (offset, entry) in enumerate(history):
        if before is not None and (entry.time, offset) >= before:
            continue
        if entry.kind == "refund":
            told = place in standing and bool(standing[place].amount)
        else:
            told = entry.kind in REFUNDABLE and (place in standing or place in refunds)
            told = told and (entry.kind != "subscription" or entry.amount is not None)
        if told:
            found.append((Place(entry.time, offset), place))
    found.sort(reverse=True)
    shown = [
        _refund(entries[place], standing[place].amount or 0)  # what of it no payment had
        if entries[place].kind == "refund"
        else _payment(entries[place], [(entries[one], part) for one, part in refunds[place]])
        for _, place in found[:limit]
    ]
    return Listed(shown, found[limit - 1][0] if len(found) > limit else None)


def _payment(entry: JournalEntry, refunds: list[tuple[JournalEntry, int]]) -> Payment:
    details, currency, paid = entry.details or NO_DETAILS, currency_of(entry), entry.amount or 0
    meant, subscribed = details.refers_to, details.subscription
    back = sum(amount for _, amount in refunds)
    return Payment(
        entry.event_id,
        _TYPES[entry.kind],
        major_units(paid, currency),
        currency,
        major_units(back, currency),
        major_units(paid - back, currency),
        render_time(entry.time),
        tuple(
            Refunded(
                one.event_id,
                major_units(amount, currency),
                render_time(one.time),
                (one.details or NO_DETAILS).reason,
            )
            for one, amount in refunds
        ),
        entry.content_type,
        None if meant is None else PaidFor(meant.event_id, meant.kind),
        None if subscribed is None else subscribed.event,
    )


def _refund(entry: JournalEntry, beyond: int) -> Payment:
    details, currency = entry.details or NO_DETAILS, currency_of(entry)
    meant = details.refers_to
    return Payment(
        entry.event_id,
        "refund",
        major_units(entry.amount or 0, currency),
        currency,
        0.0,
        major_units(-beyond, currency),
        render_time(entry.time),
        (),
        entry.content_type,
        None if meant is None else PaidFor(meant.event_id, meant.kind),
        reason=details.reason,
    )
