"""OnlyFans and Fansly: what the samples do not show."""

from typing import Any

import pytest

from integrations import fansly, onlyfans
from integrations.converted import Context, Event

CONTEXT = Context(received=1_795_300_000_000)


def one(module: Any, event: str, payload: dict[str, Any], **more: Any) -> Event:
    context = Context(received=CONTEXT.received, **more)
    found = module.events({"event": event, "payload": payload}, context)
    assert not found.skipped
    (made,) = found.events
    return dict(made)


def reasons(module: Any, event: str, payload: Any = None) -> list[tuple[str, bool]]:
    return list(map(tuple, module.events({"event": event, "payload": payload}, CONTEXT).skipped))


AT = {"createdAt": "2026-11-20T10:00:00+00:00"}


def test_a_renewal_is_a_subscriptions_and_costs_what_it_tells() -> None:
    renewed = one(
        onlyfans,
        "subscriptions.renewed",
        {"id": "9", "user": {"id": 5}, "replacePairs": {"{PRICE}": "$9.99"}} | AT,
    )
    assert (renewed["type"], str(renewed["amount"])) == ("subscription", "9.99")
    assert renewed["metadata"] == {"event": "renewed"}
    told_nothing = one(onlyfans, "subscriptions.new", {"id": "8", "user": {"id": 5}} | AT)
    assert (told_nothing["amount"], told_nothing["metadata"]) == (0, {"event": "started"})
    over = one(onlyfans, "subscriptions.expired", {"id": "7", "user": {"id": 5}} | AT)
    assert over["metadata"] == {"event": "expired"}


def test_likes_have_two_sides() -> None:
    liked = {"id": 77, "user": {"id": 5}} | AT
    assert "sender" not in one(onlyfans, "messages.liked", liked)
    assert one(onlyfans, "messages.liked", liked | {"isLikedByMe": True})["sender"] == "creator"


def test_a_deletion_is_one_where_the_fan_is_named() -> None:
    deleted = one(onlyfans, "messages.deleted", {"id": 77, "user": {"id": 5}})
    assert deleted["refersTo"] == {"type": "message", "eventId": "77"}
    assert (deleted["type"], deleted["eventId"], deleted["fanId"]) == ("delete", "deleted-77", "5")


@pytest.mark.parametrize("module", [onlyfans, fansly])
def test_a_deletion_that_names_nobody_is_of_whoever_has_the_message(module: Any) -> None:
    found = module.events({"event": "messages.deleted", "payload": {"id": 77}}, CONTEXT)
    (event,) = found.unaddressed
    assert event == {
        "type": "delete",
        "timestamp": "2026-11-21T22:26:40.000Z",
        "eventId": "deleted-77",
        "refersTo": {"type": "message", "eventId": "77"},
    }
    assert (found.events, found.skipped) == ((), ())


@pytest.mark.parametrize("name", ["users.typing", "accounts.connected", "users.online"])
def test_what_says_nothing_of_a_fan_is_expected(name: str) -> None:
    assert reasons(onlyfans, name) == [("says nothing of what a fan did", True)]


def test_what_nobody_knows_is_kept() -> None:
    assert reasons(onlyfans, "messages.sung", {}) == [("is an event that is not known", False)]
    assert reasons(fansly, "fansly.dances.new", {}) == [("is an event that is not known", False)]


def test_forty_attachments_stay_and_ids_of_64_bits_too() -> None:
    media = [{"id": 2**63 + number, "type": "photo"} for number in range(60)]
    found = one(
        onlyfans, "messages.received", {"id": 1, "fromUser": {"id": 5}, "media": media} | AT
    )
    assert len(found["attachments"]) == 40
    assert found["attachments"][-1]["id"] == str(2**63 + 39)


def test_html_is_left_to_the_contract() -> None:
    bomb = "<div>" * 10_000 + "<script>alert(1)</script>"
    found = one(onlyfans, "messages.received", {"id": 1, "fromUser": {"id": 5}, "text": bomb} | AT)
    assert (found["content"], found["format"]) == (bomb, "html")


# Fansly.

MESSAGE = {"id": "70", "senderId": "5", "content": "hey", "createdAt": 1_795_176_000}


def test_fansly_counts_thousandths_and_reads_both_times() -> None:
    tip = {"id": "71", "senderId": "5", "amount": 15_000, "createdAt": 1_795_176_000_500}
    found = one(fansly, "fansly.tips.received", tip)
    assert (found["amount"], found["currency"]) == (15, "USD")
    assert found["timestamp"] == "2026-11-20T12:00:00.500Z"
    assert one(fansly, "fansly.messages.received", MESSAGE)["timestamp"] == (
        "2026-11-20T12:00:00.000Z"
    )


def test_a_tip_that_came_with_a_message_counts_by_one_of_its_webhooks() -> None:
    tipped = {"event": "fansly.messages.received", "payload": MESSAGE | {"totalTipAmount": 5_250}}
    assert [event["type"] for event in fansly.events(tipped, CONTEXT).events] == ["message"]
    by_message = Context(options={"tips": "messages"})
    message, tip = fansly.events(tipped, by_message).events
    assert (message["eventId"], tip["eventId"]) == ("70", "70"), "identity is by type"
    assert str(tip["amount"]) == "5.25"
    alone = {"event": "fansly.tips.received", "payload": {"id": "1", "senderId": "5"}}
    assert fansly.events(alone, by_message).skipped[0].expected


def test_the_creators_account_tells_the_sides_apart() -> None:
    me = frozenset(("900",))
    sent = MESSAGE | {"senderId": "900", "recipientId": "5"}
    found = one(fansly, "fansly.messages.sent", sent, me=me)
    assert (found["sender"], found["fanId"]) == ("creator", "5")
    like = {"messageId": "70", "accountId": "900", "recipientId": "5", "createdAt": 1_795_176_000}
    found = one(fansly, "fansly.messages.liked", like, me=me)
    assert (found["sender"], found["fanId"]) == ("creator", "5")


def test_each_renewal_is_an_event_of_its_own_and_its_repeats_are_not() -> None:
    first = {"id": "1", "subscriberId": "5", "price": 9_990, "renewedAt": 1_795_176_000_000}
    second = first | {"renewedAt": 1_797_768_000_000}
    ids = [
        one(fansly, "fansly.subscriptions.renewed", renewal)["eventId"]
        for renewal in (first, first, second)
    ]
    assert ids[0] == ids[1] != ids[2]
