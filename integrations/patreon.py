"""Patreon, by its webhooks of members and pledges (API v2, JSON:API).

- Natural id: the member's id and the time of the charge: a charge is told by several webhooks.
- Amounts: whole cents of the campaign's currency. A payload names it rarely: `currency` of the
  connection says it, else the system's default counts.
- Renewals: every charge is a subscription's; the first one `started`, later ones `renewed`.
- Refunds: `last_charge_status` `Refunded` takes that charge back, `Fraud` as a chargeback, at the
  time of the charge: when it was taken back, nobody says.
- The end: `former_patron`, or `members:pledge:delete`, is `cancelled`.
- Free trials and gifts: `is_free_trial` is `metadata.trial`; what is free has the amount 0.
- Messages, likes, edits, media: Patreon sends none.
- Signed: `X-Patreon-Signature`, HMAC-MD5 of the body; it carries no time.
"""

from collections.abc import Mapping
from typing import Any, Final

from integrations import signatures
from integrations.amounts import minor
from integrations.converted import NO_CONTEXT, Context, Converted, Event, Unfit, gather
from integrations.parts import about, at, build, fan_of, first, id_of, read_json, text_at
from integrations.times import moment

NATURAL_ID: Final = "the member's id with the time of the charge"

_PAID: Final = frozenset(("Paid",))
_TAKEN_BACK: Final = {"Refunded": "refund", "Fraud": "chargeback"}
_NOT_YET: Final = frozenset(("Declined", "Deleted", "Pending", "Other", "Free Trial"))

read = read_json


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of one delivery."""
    return gather([payload], lambda one: _converted(one, context))


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    del now  # nothing in it tells when it was signed
    return signatures.hexadecimal(headers.get("x-patreon-signature"), body, secret, "md5")


def _converted(payload: Any, context: Context) -> list[Event]:
    found = at(payload, "data")
    trigger = context.headers.get("x-patreon-event", "")
    if trigger.startswith("posts:"):
        raise Unfit("says nothing of what a fan did", expected=True)
    if text_at(found, "type") != "member":
        raise Unfit("is no member's")
    fan = fan_of(text_at(found, "relationships", "user", "data", "id"))
    member = id_of(text_at(found, "id"))
    told = at(found, "attributes")
    currency = first(text_at(told, "currency"), context.currency)
    gone = text_at(told, "patron_status") == "former_patron" or trigger.endswith(":delete")
    status = text_at(told, "last_charge_status")
    charged = at(told, "last_charge_date")
    made: list[Event] = []
    if charged is not None and (status in _PAID or status in _TAKEN_BACK):
        made.append(_charge(fan, member, told, currency, context))
    if gone:
        made.append(
            build(
                "subscription",
                fan,
                moment(context),
                f"{member}-ended-{text_at(told, 'last_charge_date') or ''}",
                amount=0,
                metadata={"event": "cancelled"},
            )
        )
    if made:
        return made
    if status is None or status in _NOT_YET:
        raise Unfit("tells of no charge", expected=True)
    raise Unfit("has a charge in a state that is not known")


def _charge(fan: str, member: str, told: Any, currency: str | None, context: Context) -> Event:
    status = text_at(told, "last_charge_status") or ""
    charged = moment(context, at(told, "last_charge_date"))
    paid = f"{member}-{charged}"
    cents = minor(
        first(at(told, "currently_entitled_amount_cents"), at(told, "will_pay_amount_cents"), 0), 2
    )
    if status in _TAKEN_BACK:
        return build(
            "refund",
            fan,
            charged,
            f"{paid}-{status.lower()}",
            amount=cents,
            currency=currency,
            reason=_TAKEN_BACK[status],
            refersTo=about(paid, "subscription"),
        )
    lifetime = at(told, "campaign_lifetime_support_cents")
    is_first = isinstance(lifetime, int) and minor(lifetime, 2) <= cents
    metadata: dict[str, Any] = {"event": "started" if is_first else "renewed"}
    if at(told, "is_free_trial") is True:
        metadata["trial"] = True
    until = at(told, "next_charge_date")
    if until is not None:
        metadata["until"] = moment(context, until)
    return build(
        "subscription", fan, charged, paid, amount=cents, currency=currency, metadata=metadata
    )
