"""The shapes that platforms really send, with what they must become written down beforehand.

Not everybody has the samples; the shapes of the other tests are our own.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from integrations import generic
from integrations.converted import Context, Converted, Event
from integrations.platforms import PLATFORMS

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "platforms"
pytestmark = pytest.mark.skipif(not SAMPLES.exists(), reason="the samples are not here")

RECEIVED = 1_795_300_000_000


def converted(platform: str, *names: str, **more: Any) -> list[Converted]:
    module = PLATFORMS[platform]
    context = Context(received=RECEIVED, **more)
    return [
        module.events(module.read((SAMPLES / f"{name}.json").read_bytes()), context)
        for name in names
    ]


class Told(NamedTuple):
    """What a person would count."""

    messages: int
    revenue: dict[str, str]
    skipped: int


def told(found: list[Converted]) -> Told:
    """Each identity (fan, type, id) counts once, as ingest counts it."""
    events: dict[tuple[str, str, str], Event] = {}
    for one in found:
        for event in one.events:
            events.setdefault((event["fanId"], event["type"], event["eventId"]), event)
    revenue: dict[str, Decimal] = {}
    for event in events.values():
        sign = -1 if event["type"] == "refund" else 1
        if "amount" in event:
            currency = event.get("currency", "USD")
            revenue[currency] = revenue.get(currency, Decimal(0)) + sign * Decimal(event["amount"])
    return Told(
        sum(event["type"] == "message" for event in events.values()),
        {currency: format(amount.normalize(), "f") for currency, amount in revenue.items()},
        sum(len(one.skipped) for one in found),
    )


ONLYFANS = (
    "of_message_received",
    "of_message_media_only",
    "of_message_giphy",
    "of_message_with_tip",
    "of_ppv_sent",
    "of_ppv_unlocked",
    "of_tip_received",
    "of_transaction_new",
    "of_message_deleted",
    "of_chargeback",
)


def test_onlyfans_counts_the_tip_once_and_takes_the_chargeback_off() -> None:
    """Five messages; 25 for the locked one, 25 tipped, 25 charged back. A transaction is told
    twice, and whose message was deleted has to be looked for."""
    found = converted("onlyfans", *ONLYFANS)
    assert told(found) == Told(5, {"USD": "25"}, 1)
    assert [one.skipped[0].expected for one in found if one.skipped] == [True]
    assert [len(one.unaddressed) for one in found] == [0] * 8 + [1, 0]


def test_onlyfans_by_transactions_counts_the_same_tip_and_names_what_is_taken_back() -> None:
    found = converted("onlyfans", *ONLYFANS, options={"money": "transactions"})
    assert told(found) == Told(5, {"USD": "0"}, 2)
    (tip,), (refund,) = found[7].events, found[9].events
    assert refund["refersTo"] == {"type": "tip", "eventId": tip["eventId"]}
    assert (refund["reason"], refund["amount"]) == ("chargeback", 25)


def test_onlyfans_messages_are_html_with_media_and_price() -> None:
    found = [one.events[0] for one in converted("onlyfans", *ONLYFANS[:6])]
    received, photo, giphy, with_tip, locked, unlocked = found
    assert {event["fanId"] for event in found} == {"1000003"}
    assert received["format"] == "html"
    assert received["content"].startswith("<p>hey you")
    assert "content" not in photo
    assert photo["attachments"] == [{"type": "photo", "id": "555001"}]
    assert giphy["attachments"] == [{"type": "gif", "id": "l0HlBO7eyXzSZkJri"}]
    assert "sender" not in with_tip
    assert (locked["sender"], locked["origin"], locked["price"]) == ("creator", "broadcast", 25)
    assert [one["type"] for one in locked["attachments"]] == ["video", "photo", "photo"]
    assert unlocked["refersTo"] == {"type": "message", "eventId": locked["eventId"]}
    assert unlocked["metadata"] == {"contentType": "ppv"}


def test_stripe_counts_a_charge_once_and_takes_back_a_part_of_it() -> None:
    """5,000 yen, delivered under two ids of Stripe's, less 2,000."""
    found = converted("stripe", "stripe_charge", "stripe_charge_again", "stripe_refund")
    assert told(found) == Told(0, {"JPY": "3000"}, 0)
    first, again, refund = (one.events[0] for one in found)
    assert first == again
    assert refund["refersTo"] == {"type": "purchase", "eventId": "ch_1"}
    assert refund["timestamp"] == "2026-11-21T18:40:00.000Z"


def test_kofi_and_streamlabs_read_amounts_that_are_texts() -> None:
    (kofi,) = converted("kofi", "kofi")
    assert told([kofi]) == Told(0, {"EUR": "3"}, 0)
    assert kofi.events[0]["eventId"] == "0a1f-ac0c"
    assert kofi.events[0]["fanId"] == "jo@example.com"
    found = converted("streamlabs", "streamlabs_donation")
    assert told(found) == Told(1, {"USD": "13.37"}, 0)
    tip, words = found[0].events
    assert (tip["eventId"], tip["fanId"]) == ("96164121", "Kim")
    assert words["content"] == "hi!! <3 PogChamp"
    assert told(converted("streamlabs", "streamlabs_donation", options={"names": "off"})) == Told(
        0, {}, 1
    )


def test_patreon_takes_a_refunded_charge_back() -> None:
    """Of one that was never seen nothing is taken: the refund names it."""
    (found,) = converted("patreon", "patreon_member", currency="EUR")
    (refund,) = found.events
    assert (refund["type"], refund["amount"], refund["currency"]) == ("refund", 1, "EUR")
    assert refund["refersTo"]["type"] == "subscription"
    assert refund["timestamp"] == "2026-11-08T08:24:05.000Z"


def test_telegram_joins_parts_and_keeps_photos() -> None:
    found = converted("telegram", "telegram_result")
    assert told(found) == Told(2, {}, 1)
    text, photo = found[0].events
    assert text["content"] == "see https://example.com ❤"
    assert text["timestamp"] == "2026-11-20T12:00:00.000Z"
    assert photo["attachments"] == [{"type": "photo"}]
    assert {event["fanId"] for event in found[0].events} == {"6412345678"}
    assert all("sender" not in event for event in found[0].events)


def test_instagram_repairs_texts_and_knows_an_edit() -> None:
    found = converted("instagram", "instagram_message_1")
    assert told(found) == Told(2, {}, 1)
    share, edited = found[0].events
    assert share["content"] == "https://example.com/p/1"
    assert edited["content"] == "Last year 😭"
    assert edited["timestamp"] == "2026-11-20T11:59:50.123Z"


def test_instagrams_webhook_keeps_its_long_id() -> None:
    ((message,), _) = (converted("instagram", "instagram_webhook")[0].events, None)
    assert (message["fanId"], message["content"]) == ("1784140512345678", "hii")
    assert 128 < len(message["eventId"]) <= 255


MAPPING = {
    "rules": [
        {
            "when": {"/event/type": "ChatMessage"},
            "fields": {
                "type": {"value": "message"},
                "fanId": "/data/message/userId",
                "eventId": "/data/message/msgId",
                "timestamp": "/timeStamp",
                "content": "/data/message/message",
            },
        },
        {
            "when": {"/action": "payment.succeeded"},
            "fields": {
                "type": {"value": "purchase"},
                "fanId": "/data/user/id",
                "eventId": "/data/id",
                "timestamp": "/data/created_at",
                "amount": "/data/final_amount",
                "currency": "/data/currency",
            },
        },
        {
            "when": {"/kind": "youtube#liveChatMessage"},
            "fields": {
                "type": {"value": "tip"},
                "fanId": "/snippet/authorChannelId",
                "eventId": "/id",
                "timestamp": "/snippet/publishedAt",
                "amount": {"at": "/snippet/superChatDetails/amountMicros", "digits": 6},
                "currency": "/snippet/superChatDetails/currency",
            },
        },
        {
            "fields": {
                "type": {"value": "tip"},
                "fanId": "/user_id",
                "eventId": "/message_id",
                "amount": {"at": "/bits", "digits": 2},
            },
        },
    ]
}


def test_a_mapping_reads_what_has_no_module() -> None:
    """A chat message, 2.00 USD, 5 IDR; and a cheer that is nobody's."""
    found = converted(
        "generic",
        "streamerbot_chat",
        "whop_payment",
        "youtube_superchat",
        "twitch_cheer",
        mapping=generic.check(MAPPING),
    )
    assert told(found) == Told(1, {"USD": "2", "IDR": "5"}, 1)
    times = [event["timestamp"] for one in found for event in one.events]
    assert times == [
        "2026-11-21T02:32:04.458Z",
        "2026-11-20T21:24:44.000Z",
        "2026-11-21T14:00:30.645Z",
    ]
    assert found[3].skipped[0].reason == "has nothing where the mapping looks for fanId"
