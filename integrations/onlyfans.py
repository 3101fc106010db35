"""OnlyFans, by the webhooks of the public API services.

Envelope `{event, account_id, payload}`; what their API lists (chargebacks) is taken, too.

- Natural id: the message's, and the notification's of a tip, an unlock or a subscription.
- Amounts: dollars, as numbers or as `$25.00`. Money is told more than once: by its own webhook, by
  the message that a tip came with, and by `transactions.new`. One of them counts, by the option
  `money`: `events` (the default: `tips.received`, `messages.ppv.unlocked`, `subscriptions.*`) or
  `transactions` (only `transactions.new`, with the currency that it names). Amounts are gross.
- Mass messages: `isFromQueue` or a `queueId` is `origin: broadcast`.
- Media-only, GIFs: attachments. Texts are HTML (`format: html`). A price is the message's `price`.
- Edits: none are sent. Unsent: `messages.deleted` names only the message: it is of the fan who has
  that message, unless the service adds one.
- Refunds: a chargeback takes its tip or purchase back where `money` is `transactions`, since it
  names that id; otherwise it lowers the revenue without naming what was paid.
- Renewals: `subscriptions.renewed`. Likes of both sides: `posts.liked` and `messages.liked` are the
  fan's unless `isLikedByMe` says that they are the creator's.
- Signed: `Signature`, HMAC-SHA256 of the body, or Svix's headers; only Svix's carry a time.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from integrations import signatures
from integrations.amounts import Money, money
from integrations.converted import NO_CONTEXT, Context, Converted, Event, Unfit, gather
from integrations.parts import (
    about,
    at,
    build,
    fan_of,
    first,
    id_of,
    list_at,
    message,
    option,
    read_json,
    text_at,
    unsent,
)
from integrations.times import moment

NATURAL_ID: Final = "the message's id; the notification's of a tip, an unlock or a subscription"

TOLD_BY_TRANSACTIONS: Final = "is told by `transactions.new`, which counts here"
TOLD_BY_EVENTS: Final = "is told by its own webhook, which counts here"
NOTHING_SAID: Final = frozenset(("accounts", "users", "chats", "fans"))
"""Webhooks that tell of sessions, presence and lists."""

_MEDIA: Final = {"photo": "photo", "video": "video", "audio": "audio", "gif": "gif"}
_message_in_link = re.compile(r"[?&](?:firstId|message_?id)=(\d{1,30})").search

read = read_json


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of one delivery."""
    return gather([payload], lambda one: _converted(one, context))


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    """By whichever of the two schemes the service signs."""
    if any(name in headers for name in ("svix-signature", "webhook-signature")):
        return signatures.svix(headers, body, secret, now)
    return signatures.hexadecimal(headers.get("signature"), body, secret)


def _converted(envelope: Any, context: Context) -> list[Event]:
    name = text_at(envelope, "event")
    if name is None and at(envelope, "payment") is not None:
        return [_chargeback(envelope, context)]
    if name is None:
        raise Unfit("has no `event`")
    name = name.removeprefix("onlyfans.")
    found = at(envelope, "payload")
    match name:
        case "messages.received":
            return _message(found, context, "fromUser", "fan")
        case "messages.sent":
            return _message(found, context, "toUser", "creator")
        case "messages.deleted":
            return [_deleted(found, context)]
        case "messages.ppv.unlocked":
            return [_paid("purchase", found, context)]
        case "tips.received":
            return [_paid("tip", found, context)]
        case "transactions.new":
            return [_transaction(found, context)]
        case "posts.liked" | "messages.liked":
            return [_like(name, found, context)]
    group, _, what = name.partition(".")
    if group == "subscriptions":
        return [_subscription(what, found, context)]
    if group.startswith("chargeback"):
        return [_chargeback(found, context)]
    if group in NOTHING_SAID:
        raise Unfit("says nothing of what a fan did", expected=True)
    raise Unfit("is an event that is not known")


def _fan(found: Any) -> str:
    return fan_of(*_named(found))


def _named(found: Any) -> tuple[str | None, ...]:
    return (
        text_at(found, "user", "id"),
        text_at(found, "fan", "id"),
        text_at(found, "fromUser", "id"),
        text_at(found, "toUser", "id"),
        text_at(found, "chat", "id"),
    )


def _message(found: Any, context: Context, other: str, sender: str) -> list[Event]:
    fan = fan_of(text_at(found, other, "id"), text_at(found, "chat", "id"))
    attachments = [
        {"type": _MEDIA.get(text_at(one, "type") or "", "file"), "id": text_at(one, "id")}
        for one in list_at(found, "media")
    ]
    giphy = text_at(found, "giphyId")
    if giphy is not None:
        attachments.append({"type": "gif", "id": giphy})
    mass = at(found, "isFromQueue") is True or bool(at(found, "queueId"))
    price = at(found, "price")
    locked = sender == "creator" and price not in (None, 0, "0", "")
    return [
        message(
            fan,
            moment(context, at(found, "createdAt")),
            id_of(text_at(found, "id")),
            text_at(found, "text"),
            [{name: v for name, v in one.items() if v is not None} for one in attachments],
            sender=sender if sender != "fan" else None,
            format="html",
            origin="broadcast" if mass and sender == "creator" else None,
            price=money(price).amount if locked else None,
        )
    ]


def _deleted(found: Any, context: Context) -> Event:
    when = moment(context, at(found, "deletedAt"))
    return unsent(id_of(text_at(found, "id")), when, *_named(found))


def _amount(found: Any, context: Context) -> Money:
    told = first(
        at(found, "amountGross"),
        at(found, "amount"),
        at(found, "price"),
        at(found, "replacePairs", "{AMOUNT}"),
        at(found, "replacePairs", "{PRICE}"),
    )
    return money(told, text_at(found, "currency"), context.currency)


def _paid(kind: str, found: Any, context: Context) -> Event:
    if _by_transactions(context):
        raise Unfit(TOLD_BY_TRANSACTIONS, expected=True)
    link = _message_in_link(text_at(found, "replacePairs", "{MESSAGE_LINK}") or "")
    named = first(text_at(found, "message", "id"), text_at(found, "messageId"), link and link[1])
    return _of_money(
        kind,
        found,
        _amount(found, context),
        context,
        refersTo=about(named, "message"),
        metadata={"contentType": "ppv"} if kind == "purchase" else None,
    )


def _subscription(what: str, found: Any, context: Context) -> Event:
    event = {
        "new": "started",
        "renewed": "renewed",
        "cancelled": "cancelled",
        "canceled": "cancelled",
        "expired": "expired",
    }.get(what)
    if event is None:
        raise Unfit("is an event that is not known")
    paying = event in ("started", "renewed")
    if paying and _by_transactions(context):
        raise Unfit(TOLD_BY_TRANSACTIONS, expected=True)
    try:
        amount = _amount(found, context) if paying else Money(money(0).amount, None)
    except Unfit:
        amount = Money(money(0).amount, None)  # most of these tell no price
    until = at(found, "expiredAt")
    metadata: dict[str, Any] = {"event": event}
    if until is not None:
        metadata["until"] = moment(context, until)
    if at(found, "isTrial") is True:
        metadata["trial"] = True
    return _of_money("subscription", found, amount, context, metadata=metadata)


def _transaction(found: Any, context: Context) -> Event:
    if not _by_transactions(context):
        raise Unfit(TOLD_BY_EVENTS, expected=True)
    kind, metadata = _kind(text_at(found, "description") or text_at(found, "type") or "")
    return _of_money(kind, found, _amount(found, context), context, metadata=metadata)


def _of_money(kind: str, found: Any, amount: Money, context: Context, **more: Any) -> Event:
    return build(
        kind,
        _fan(found),
        moment(context, at(found, "createdAt")),
        id_of(text_at(found, "id")),
        amount=amount.amount,
        currency=amount.currency,
        **more,
    )


def _kind(description: str) -> tuple[str, dict[str, Any] | None]:
    """Descriptions are for people: `Tip from …`, `Recurring subscription from …`."""
    words = description[:200].lower()
    if "tip" in words:
        return "tip", None
    if "subscription" in words:
        again = "recurring" in words or "renew" in words
        return "subscription", {"event": "renewed" if again else "started"}
    content = "post" if "post" in words else "stream" if "stream" in words else "ppv"
    return "purchase", {"contentType": content}


def _chargeback(found: Any, context: Context) -> Event:
    payment = at(found, "payment")
    paid = id_of(text_at(payment, "id"))
    amount = money(at(payment, "amount"), text_at(payment, "currency"), context.currency)
    kind, _ = _kind(text_at(found, "paymentType") or text_at(found, "description") or "")
    return build(
        "refund",
        _fan(payment),
        moment(context, at(found, "createdAt")),
        id_of(text_at(found, "id")),
        amount=abs(amount.amount),
        currency=amount.currency,
        reason="chargeback",
        refersTo=about(paid, kind) if _by_transactions(context) else None,
    )


def _like(name: str, found: Any, context: Context) -> Event:
    about_message = name.startswith("messages")
    liked = text_at(found, "message" if about_message else "post", "id") or text_at(found, "id")
    fan = _fan(found)
    return build(
        "like",
        fan,
        moment(context, at(found, "likedAt"), at(found, "createdAt")),
        f"{name}-{fan}-{id_of(liked)}",
        sender="creator" if at(found, "isLikedByMe") is True else None,
        refersTo=about(liked, "message") if about_message else None,
        metadata={"contentType": "message" if about_message else "post"},
    )


def _by_transactions(context: Context) -> bool:
    return option(context, "money", "events", "transactions") == "transactions"
