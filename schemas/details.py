"""What most events lack, in one place: whom a message went to, what hangs on it, what it is about.

`WireAttachment` and `WireReference` are the JSON shapes; the others stand, sealed, in the journal:
a field is only ever added at the end of one, with a default.
"""

from typing import Any, Final, Literal

import msgspec

from schemas.errors import InvalidInput
from schemas.money import minor_units
from schemas.relationship import check_event_id

Kind = Literal[
    "message", "purchase", "tip", "like", "view", "refund", "subscription", "delete", "note"
]
Origin = Literal["direct", "broadcast", "system"]
AttachmentType = Literal["photo", "video", "audio", "voice", "gif", "sticker", "file"]
RefundReason = Literal["refund", "chargeback"]
SubscriptionEvent = Literal["started", "renewed", "cancelled", "expired"]
OfferAct = Literal["pitched", "promised", "delivered", "declined", "bought"]

ATTACHMENTS_MAX: Final = 40
NULL: Final = msgspec.Raw(b"null")


class WireAttachment(msgspec.Struct, rename="camel", gc=False):
    type: AttachmentType
    id: str | int | None = None
    """A whole number is taken as its digits: platforms send either."""
    price: msgspec.Raw = NULL


class WireReference(msgspec.Struct, rename="camel", gc=False):
    event_id: str
    type: Kind | None = None


class Attachment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    type: AttachmentType
    id: str | None = None
    price: int | None = None
    """Minor units of the event's currency."""


class Reference(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Another event of the same relationship."""

    event_id: str
    kind: Kind | None = None
    """Of the event meant; None: a message, or whatever else has that id."""


class Subscription(msgspec.Struct, frozen=True, array_like=True, gc=False):
    event: SubscriptionEvent
    trial: bool = False
    until: int | None = None
    """When it ends unless it is renewed, ms, as far as the platform said so."""


class Mention(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an event says of an offer of the creator's."""

    act: OfferAct
    id: str
    """In the creator's catalogue."""
    price: int | None = None
    """That it was pitched for, in minor units of the event's currency; never 0."""


class StatedFact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a note says of the fan (`schemas.facts`)."""

    kind: str
    """A `FactKind`."""
    value: str | None = None
    """None: nothing that was told of this kind so far counts any more."""
    wrong: bool = False
    """It is not so."""


class Details(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What most events lack: an event without any of it has no `Details`."""

    origin: Origin = "direct"
    attachments: tuple[Attachment, ...] = ()
    currency: str | None = None
    """Of the amount and the prices; None: none was named, and the default one was US dollars."""
    price: int | None = None
    """Minor units that a message costs before it can be seen; never 0."""
    refers_to: Reference | None = None
    sequence: int | None = None
    """Order among messages of one time."""
    replaces: str | None = None
    """The eventId of the message that this one is an edit of."""
    reason: RefundReason = "refund"
    subscription: Subscription | None = None
    offers: tuple[Mention, ...] = ()
    """What `metadata` says of offers, in a message or a purchase (`schemas.offers`)."""
    fact: StatedFact | None = None
    """What `metadata` of a note states of the fan."""


NO_DETAILS: Final = Details()


def attachments_of(
    found: list[WireAttachment] | None, currency: str
) -> tuple[tuple[Attachment, ...], bool]:
    """In normal form, and whether there is a GIF among them. Raises `InvalidInput`."""
    if not found:
        return (), False
    if len(found) > ATTACHMENTS_MAX:
        raise InvalidInput("attachments", f"must be at most {ATTACHMENTS_MAX}")
    kept = []
    for one in found:
        name = str(one.id) if isinstance(one.id, int) else one.id
        if name is not None:
            check_event_id("attachments.id", name)
        kept.append(Attachment(one.type, name, price_of("attachments.price", one.price, currency)))
    return tuple(kept), any(one.type == "gif" for one in kept)


def price_of(field: str, token: msgspec.Raw, currency: str) -> int | None:
    """Minor units; None for no price, which many send as 0."""
    text = bytes(token)
    if text == b"null":
        return None
    return minor_units(field, text, currency) or None


def subscription_of(metadata: dict[str, Any] | None, until: int | None) -> Subscription:
    """What `metadata` says of a subscription. Raises `InvalidInput` when it says nothing."""
    given = metadata or {}
    try:
        event = msgspec.convert(given.get("event"), SubscriptionEvent)
    except msgspec.ValidationError:
        reason = "must be one of started, renewed, cancelled, expired in a subscription"
        raise InvalidInput("metadata.event", reason) from None
    return Subscription(event, given.get("trial") is True, until)
