"""Stripe, by its webhooks of charges, refunds and disputes.

- Natural id: the charge's; Stripe delivers one charge in several events with ids of their own.
- Fans: `customer`, or `metadata.fanId` of the charge where it is given.
- Amounts: minor units of the currency as Stripe counts them (5000 JPY are 5,000 yen, 5000 KWD 5).
- Refunds: `charge.refunded` names the sum taken back so far; what it adds to the one before is a
  refund of that charge. `refund.*` tell the same again, and are left out.
- Chargebacks: a dispute counts when its money is withdrawn.
- Renewals: a charge of an invoice is a subscription's: `started` where Stripe describes it as a
  subscription's creation, else `renewed`. `invoice.*`, `payment_intent.*` and
  `checkout.session.*` tell the same money again, and are left out.
- What was bought: `metadata.contentType` of the charge.
- Messages, likes, edits, media: none.
- Signed: `Stripe-Signature` with its time, five minutes.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from integrations import signatures
from integrations.amounts import minor
from integrations.converted import NO_CONTEXT, Context, Converted, Event, Unfit, gather
from integrations.parts import about, at, build, fan_of, first, id_of, read_json, text_at
from integrations.times import moment

NATURAL_ID: Final = "the charge's id"
TOLD_BY_CHARGE: Final = "is told by its charge, which counts here"

WHOLE: Final = frozenset(
    ("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF",
     "XOF", "XPF")
)  # fmt: skip
"""Currencies whose amounts Stripe gives without minor units."""
THOUSANDTHS: Final = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))

_SAID_BY_CHARGE: Final = (
    "payment_intent.", "invoice.", "invoice_payment.", "checkout.session.", "refund.",
    "charge.refund.", "charge.dispute.", "charge.updated", "charge.captured", "charge.pending",
    "charge.failed", "charge.expired",
)  # fmt: skip
_NOTHING_SAID: Final = (
    "customer.", "payout.", "balance.", "payment_method.", "setup_intent.", "account.", "product.",
    "price.", "plan.", "source.", "radar.",
)  # fmt: skip

read = read_json


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of one delivery."""
    return gather([payload], lambda one: _converted(one, context))


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    return signatures.timed(headers.get("stripe-signature"), body, secret, now)


def _converted(payload: Any, context: Context) -> list[Event]:
    name = text_at(payload, "type")
    found = at(payload, "data", "object")
    created = at(payload, "created")
    match name:
        case None:
            raise Unfit("has no `type`")
        case "charge.succeeded":
            return [_charge(found, created, context)]
        case "charge.refunded":
            before = at(payload, "data", "previous_attributes", "amount_refunded")
            return [_refund(found, before, created, context)]
        case "charge.dispute.funds_withdrawn":
            return [_dispute(found, created, context)]
        case "customer.subscription.deleted":
            return [_ended(found, created, context)]
    if name.startswith(_SAID_BY_CHARGE):
        raise Unfit(TOLD_BY_CHARGE, expected=True)
    if name.startswith(_NOTHING_SAID):
        raise Unfit("says nothing of what a fan did", expected=True)
    raise Unfit("is an event that is not known")


def _fan(found: Any) -> str:
    customer = at(found, "customer")
    return fan_of(
        text_at(found, "metadata", "fanId"),
        text_at(customer, "id") if isinstance(customer, dict) else text_at(found, "customer"),
    )


def _currency(found: Any) -> str:
    named = text_at(found, "currency")
    if named is None:
        raise Unfit("names no currency")
    return named.upper()


def _amount(value: Any, currency: str) -> Decimal:
    digits = 0 if currency in WHOLE else 3 if currency in THOUSANDTHS else 2
    return minor(value, digits)


def _is_subscription(found: Any) -> bool:
    description = (text_at(found, "description") or "").lower()
    return at(found, "invoice") is not None or description.startswith("subscription ")


def _charge(found: Any, created: Any, context: Context) -> Event:
    currency = _currency(found)
    kind, metadata = "purchase", {"contentType": text_at(found, "metadata", "contentType")}
    if _is_subscription(found):
        description = (text_at(found, "description") or "").lower()
        kind = "subscription"
        metadata = {"event": "started" if "creation" in description else "renewed"}
    return build(
        kind,
        _fan(found),
        moment(context, at(found, "created"), created),
        id_of(text_at(found, "id")),
        amount=_amount(at(found, "amount"), currency),
        currency=currency,
        metadata=metadata if any(metadata.values()) else None,
    )


def _refund(found: Any, before: Any, created: Any, context: Context) -> Event:
    currency = _currency(found)
    charge = id_of(text_at(found, "id"))
    total = _amount(at(found, "amount_refunded"), currency)
    earlier = _amount(first(before, 0), currency)
    if total <= earlier:
        raise Unfit("takes nothing back", expected=True)
    return build(
        "refund",
        _fan(found),
        moment(context, created),
        f"{charge}-refunded-{at(found, 'amount_refunded')}",
        amount=total - earlier,
        currency=currency,
        refersTo=about(charge, "subscription" if _is_subscription(found) else "purchase"),
    )


def _dispute(found: Any, created: Any, context: Context) -> Event:
    currency = _currency(found)
    charge = at(found, "charge")
    inner = charge if isinstance(charge, dict) else None
    return build(
        "refund",
        _fan(inner or found),
        moment(context, created),
        id_of(text_at(found, "id")),
        amount=_amount(at(found, "amount"), currency),
        currency=currency,
        reason="chargeback",
        refersTo=about(
            text_at(inner, "id") if inner else text_at(found, "charge"),
            "subscription" if _is_subscription(inner) else "purchase",
        ),
    )


def _ended(found: Any, created: Any, context: Context) -> Event:
    return build(
        "subscription",
        _fan(found),
        moment(context, at(found, "ended_at"), created),
        f"{id_of(text_at(found, 'id'))}-ended",
        amount=0,
        metadata={"event": "cancelled"},
    )
