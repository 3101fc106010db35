"""Ko-fi, by its webhook: a form whose field `data` is JSON.

- Natural id: `kofi_transaction_id`; `message_id` is another at every delivery.
- Fans: Ko-fi names no account. The e-mail address is the fan's id, in lower case; who gives none
  can't be remembered. A shown name is no identity.
- Amounts: texts such as `3.00`, with `currency`.
- Donations are tips, with the message that came with them; shop orders and commissions are
  purchases.
- Renewals: `Subscription` is a subscription, `started` by its first payment, else `renewed`.
- Refunds, edits, likes, media: Ko-fi sends none.
- Signed: not at all. `verification_token` in the data is the connection's secret; no time.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from integrations import signatures
from integrations.amounts import money
from integrations.converted import NO_CONTEXT, Context, Converted, Event, Unfit, gather
from integrations.parts import at, build, fan_of, id_of, message, read_json, text_at
from integrations.times import moment

NATURAL_ID: Final = "kofi_transaction_id"
FIELDS_MAX: Final = 8

_PURCHASES: Final = {"Shop Order": "shop", "Commission": "commission"}


def read(body: bytes) -> Any:
    """The JSON in the form's field, or JSON as it is. Raises `Unfit`."""
    if body.lstrip()[:1] == b"{":
        return read_json(body)
    try:
        found = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Unfit("is no form with a field `data`") from None
    if "data" not in found:
        raise Unfit("is no form with a field `data`")
    return read_json(found["data"][0].encode("utf-8", "surrogatepass"))


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of one delivery."""
    return gather([payload], lambda one: _converted(one, context))


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    """The token stands in the body, so this is the one scheme that has to read it."""
    del headers, now
    try:
        return signatures.token(text_at(read(body), "verification_token"), secret)
    except Unfit:
        return signatures.MISSING


def _converted(found: Any, context: Context) -> list[Event]:
    kind = text_at(found, "type")
    if kind is None:
        raise Unfit("has no `type`")
    fan = fan_of(text_at(found, "email")).lower()
    when = moment(context, at(found, "timestamp"))
    event_id = id_of(text_at(found, "kofi_transaction_id"), text_at(found, "message_id"))
    paid = money(at(found, "amount"), text_at(found, "currency"), context.currency)
    words = text_at(found, "message")
    amount: dict[str, Any] = {"amount": paid.amount, "currency": paid.currency}
    if kind == "Donation":
        made = build("tip", fan, when, event_id, **amount)
    elif kind in _PURCHASES:
        metadata: dict[str, Any] = {"contentType": _PURCHASES[kind]}
        made = build("purchase", fan, when, event_id, **amount, metadata=metadata)
    elif kind == "Subscription":
        started = at(found, "is_first_subscription_payment") is True
        metadata = {"event": "started" if started else "renewed"}
        made = build("subscription", fan, when, event_id, **amount, metadata=metadata)
    else:
        raise Unfit("is an event that is not known")
    if words is None or not words.strip():
        return [made]
    return [made, message(fan, when, event_id, words)]
