"""Fansly, by the webhooks of the same services that OnlyFans's come from.

Envelope `{event: "fansly.…", account_id, payload}`, signed in the same way.

- Natural id: the message's, the tip's, the subscription's; snowflakes, kept as texts.
- Amounts: thousandths of a dollar (`15000` is 15.00). Which of the two webhooks of a tip counts is
  the option `tips`: `events` (the default: `fansly.tips.…`) or `messages` (`totalTipAmount`).
- Times: seconds or milliseconds, told by their size.
- Mass messages: whatever has a `broadcastId`, or `isBroadcast`, is `origin: broadcast`.
- Media-only: attachments; what kind they are is told only where there is a `mimetype`.
- Edits: none are sent. Unsent: `fansly.messages.deleted`, of the fan whom it names, or who has
  that message.
- Refunds: none are sent. Renewals: `fansly.subscriptions.renewed`.
- Likes of both sides: `fansly.messages.liked`; whose it is tells the account that liked.
- The creator's own account id tells the two sides apart: give it as `me`. Without it what is
  received is the fan's, what is sent is the creator's.
"""

from collections.abc import Mapping
from typing import Any, Final

from integrations import onlyfans
from integrations.amounts import minor
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

NATURAL_ID: Final = "the message's, the tip's, the subscription's snowflake"
CURRENCY: Final = "USD"
AMOUNT_DIGITS: Final = 3
"""Thousandths of a dollar."""
TOLD_BY_MESSAGE: Final = "is told by the message it came with, which counts here"

_TIP_ATTACHMENTS: Final = (7, 7100)
"""Content types that are a tip, and a tip's goal: no media."""

read = read_json


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of one delivery."""
    return gather([payload], lambda one: _converted(one, context))


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    return onlyfans.verify(headers, body, secret, now)


def _converted(envelope: Any, context: Context) -> list[Event]:
    name = (text_at(envelope, "event") or "").removeprefix("fansly.")
    found = at(envelope, "payload")
    match name:
        case "":
            raise Unfit("has no `event`")
        case "messages.received" | "messages.sent":
            return _message(found, context, sent=name == "messages.sent")
        case "messages.deleted":
            event_id = id_of(text_at(found, "id"), text_at(found, "messageId"))
            when = moment(context, at(found, "deletedAt"))
            return [unsent(event_id, when, *_named(found, context, "senderId", "recipientId"))]
        case "messages.liked":
            return [_like(found, context)]
    group, _, what = name.partition(".")
    if group == "tips":
        return [_tip(found, context)]
    if group == "subscriptions":
        return [_subscription(what, found, context)]
    if group in ("accounts", "followers", "posts") or what in ("read", "typing"):
        raise Unfit("says nothing of what a fan did", expected=True)
    raise Unfit("is an event that is not known")


def _fan(found: Any, context: Context, *names: str) -> str:
    return fan_of(*_named(found, context, *names))


def _named(found: Any, context: Context, *names: str) -> tuple[str | None, ...]:
    """The side that is not the creator."""
    sides = [text_at(found, name) for name in names]
    return (
        *(one for one in sides if one not in context.me),
        text_at(found, "fan", "id"),
        text_at(found, "sender", "id"),
    )


def _message(found: Any, context: Context, *, sent: bool) -> list[Event]:
    by_creator = text_at(found, "senderId") in context.me if context.me else sent
    fan = (
        fan_of(text_at(found, "recipientId"), text_at(found, "recipient", "id"))
        if by_creator
        else fan_of(text_at(found, "senderId"), text_at(found, "sender", "id"))
    )
    event_id = id_of(text_at(found, "id"))
    when = moment(context, at(found, "createdAt"))
    mass = at(found, "isBroadcast") is True or text_at(found, "broadcastId") is not None
    made: list[Event] = []
    tip = at(found, "totalTipAmount")
    if tip and not by_creator and option(context, "tips", "events", "messages") == "messages":
        amount = minor(tip, AMOUNT_DIGITS)
        made = [build("tip", fan, when, event_id, amount=amount, currency=CURRENCY)]
    price = at(found, "price")
    try:
        text = message(
            fan,
            when,
            event_id,
            text_at(found, "content"),
            _attachments(found),
            sender="creator" if by_creator else None,
            origin="broadcast" if mass and by_creator else None,
            price=minor(price, AMOUNT_DIGITS) if price and by_creator else None,
            currency=CURRENCY if price and by_creator else None,
        )
    except Unfit:
        if not made:
            raise
        return made
    return [text, *made]


def _attachments(found: Any) -> list[dict[str, Any]]:
    made = []
    for one in list_at(found, "attachments"):
        if at(one, "contentType") in _TIP_ATTACHMENTS:
            continue
        kind = (text_at(one, "mimetype") or "").partition("/")[0]
        known = {"image": "photo", "video": "video", "audio": "audio"}.get(kind, "file")
        name = first(text_at(one, "contentId"), text_at(one, "id"))
        made.append({"type": known} | ({"id": name} if name else {}))
    return made


def _tip(found: Any, context: Context) -> Event:
    if option(context, "tips", "events", "messages") == "messages":
        raise Unfit(TOLD_BY_MESSAGE, expected=True)
    return build(
        "tip",
        _fan(found, context, "senderId", "accountId", "tipperId"),
        moment(context, at(found, "createdAt")),
        id_of(text_at(found, "id"), text_at(found, "tipId")),
        amount=minor(at(found, "amount"), AMOUNT_DIGITS),
        currency=CURRENCY,
        refersTo=about(text_at(found, "messageId"), "message"),
    )


def _subscription(what: str, found: Any, context: Context) -> Event:
    event = {
        "new": "started",
        "renewed": "renewed",
        "cancelled": "cancelled",
        "expired": "expired",
    }.get(what)
    if event is None:
        raise Unfit("is an event that is not known")
    price = at(found, "price") if event in ("started", "renewed") else 0
    metadata: dict[str, Any] = {"event": event}
    if at(found, "endsAt") is not None:
        metadata["until"] = moment(context, at(found, "endsAt"))
    when = first(at(found, "renewedAt") if event == "renewed" else None, at(found, "createdAt"))
    event_id = id_of(text_at(found, "historyId"), text_at(found, "id"))
    return build(
        "subscription",
        _fan(found, context, "subscriberId", "accountId"),
        moment(context, when),
        # One subscription renews under its own id: which of its times this is makes it one event.
        f"{event_id}-{event}-{text_at(found, 'renewCorrelation') or when}"
        if event == "renewed"
        else f"{event_id}-{event}",
        amount=minor(first(price, 0), AMOUNT_DIGITS),
        currency=CURRENCY,
        metadata=metadata,
    )


def _like(found: Any, context: Context) -> Event:
    liker = text_at(found, "accountId") or text_at(found, "likerId")
    liked = id_of(text_at(found, "messageId"), text_at(found, "id"))
    by_creator = liker is not None and liker in context.me
    fan = _fan(found, context, "accountId", "likerId", "recipientId", "senderId")
    return build(
        "like",
        fan,
        moment(context, at(found, "createdAt")),
        f"liked-{liker or fan}-{liked}",
        sender="creator" if by_creator else None,
        refersTo=about(liked, "message"),
        metadata={"contentType": "message"},
    )
