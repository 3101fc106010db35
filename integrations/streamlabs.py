"""Streamlabs donations, as its socket sends them and a relay of yours posts them.

`{type, event_id, message: [{…}]}`; several donations may come in one.

- Natural id: the donation's `id`; `event_id` and `_id` are others when an alert is shown again.
- Fans: `from_user_id` where there is one. Otherwise the donor's name: Streamlabs itself groups
  donors by it, and anybody can type it. The option `names` set to `off` leaves those out.
- Amounts: texts such as `13.37`, with `currency`.
- The words that come with a donation are a message. Times are rarely there: then that of arrival.
- Cheers, follows, raids are no money and no words of a fan: left out. Test alerts, too.
- Refunds, renewals, edits, likes, media: not sent.
- Signed: Streamlabs signs nothing. The relay signs like Stripe, in `X-Fanmemory-Signature`.
"""

from collections.abc import Mapping
from typing import Any, Final

from integrations import signatures
from integrations.amounts import money
from integrations.converted import NO_CONTEXT, Context, Converted, Event, Unfit, gather
from integrations.parts import (
    at,
    build,
    fan_of,
    first,
    id_of,
    message,
    option,
    read_json,
    text_at,
)
from integrations.times import moment

NATURAL_ID: Final = "the donation's id"
SIGNATURE_HEADER: Final = "x-fanmemory-signature"

_NO_DONATION: Final = frozenset(
    ("follow", "raid", "host", "bits", "resub", "subscription", "alertPlaying", "streamlabels")
)

read = read_json


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of one packet."""
    kind = text_at(payload, "type")
    found = at(payload, "message")
    parts = found if isinstance(found, list) else [found]
    return gather(parts, lambda one: _converted(kind, one, context))


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    return signatures.timed(headers.get(SIGNATURE_HEADER), body, secret, now)


def _converted(kind: str | None, found: Any, context: Context) -> list[Event]:
    if kind is None:
        raise Unfit("has no `type`")
    if kind in _NO_DONATION:
        raise Unfit("is no donation", expected=True)
    if kind != "donation":
        raise Unfit("is an event that is not known")
    if at(found, "isTest") is True:
        raise Unfit("is a test", expected=True)
    names = option(context, "names", "on", "off") == "on"
    fan = fan_of(
        text_at(found, "from_user_id"),
        first(text_at(found, "from"), text_at(found, "name")) if names else None,
    )
    when = moment(context, at(found, "created_at"), at(found, "createdAt"))
    event_id = id_of(text_at(found, "id"), text_at(found, "_id"))
    paid = money(at(found, "amount"), text_at(found, "currency"), context.currency)
    tip = build("tip", fan, when, event_id, amount=paid.amount, currency=paid.currency)
    words = text_at(found, "message")
    if words is None or not words.strip():
        return [tip]
    return [tip, message(fan, when, event_id, words)]
