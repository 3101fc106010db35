"""Telegram, Instagram, WhatsApp, and mappings: what the samples do not show."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from integrations import generic, instagram, telegram, whatsapp
from integrations.converted import Context, Event
from integrations.texts import repaired
from schemas.errors import InvalidInput

ME = Context(me=frozenset(("Luna",)))


def shown(events: tuple[Event, ...]) -> list[tuple[str, str | None, str | None]]:
    """(time, sender, text) of each."""
    return [(one["timestamp"][:19], one.get("sender"), one.get("content")) for one in events]


# Telegram.


def chat(*messages: dict[str, Any], kind: str = "personal_chat") -> dict[str, Any]:
    dated = [
        {"id": number, "type": "message", "date_unixtime": str(1_795_176_000 + number)} | one
        for number, one in enumerate(messages)
    ]
    return {"name": "Jo", "type": kind, "id": 64, "messages": dated}


def test_a_chat_has_two_sides_without_being_told_which() -> None:
    found = telegram.events(
        chat({"from_id": "user64", "text": "hi"}, {"from_id": "user1", "text": "hello"})
    )
    assert shown(found.events) == [
        ("2026-11-20T12:00:00", None, "hi"),
        ("2026-11-20T12:00:01", "creator", "hello"),
    ]


def test_a_whole_export_is_its_personal_chats() -> None:
    personal = chat({"from_id": "user64", "text": "hi"})
    group = chat({"from_id": "user64", "text": "all"}, kind="private_group")
    found = telegram.events({"chats": {"list": [personal, group]}})
    assert (len(found.events), [one.expected for one in found.skipped]) == (1, [True])


def test_reactions_are_likes_of_either_side() -> None:
    reacted = {
        "from_id": "user1",
        "text": "hello",
        "reactions": [
            {"emoji": "❤", "recent": [{"from_id": "user64"}, {"from_id": "user1"}]},
            {"emoji": "🔥", "recent": [{"from_id": "user64"}]},
        ],
    }
    message, by_fan, by_creator = telegram.events(chat(reacted)).events
    assert (message["type"], by_fan["type"], by_creator["type"]) == ("message", "like", "like")
    assert ("sender" in by_fan, by_creator["sender"]) == (False, "creator")
    assert by_fan["refersTo"] == {"type": "message", "eventId": "0"}


@pytest.mark.parametrize(
    ("media", "kind"),
    [({"photo": "a.jpg"}, "photo"), ({"media_type": "voice_message", "file": "a"}, "voice"),
     ({"media_type": "sticker"}, "sticker"), ({"file": "a.pdf"}, "file"),
     ({"media_type": "animation"}, "gif")],
)  # fmt: skip
def test_media_alone_is_a_message(media: dict[str, Any], kind: str) -> None:
    (found,) = telegram.events(chat({"from_id": "user64", "text": ""} | media)).events
    assert found["attachments"] == [{"type": kind}]


def test_a_time_without_zone_is_that_of_the_zone_named() -> None:
    old = {"id": 1, "type": "message", "date": "2026-07-20T12:00:00", "text": "hi"}
    payload = {"type": "personal_chat", "id": 64, "messages": [old]}
    (found,) = telegram.events(payload, Context(zone=ZoneInfo("Europe/Berlin"))).events
    assert found["timestamp"] == "2026-07-20T10:00:00.000Z"


# Instagram.


def spoiled(text: str) -> str:
    return text.encode().decode("latin-1")


def said(name: str, second: int, **more: Any) -> dict[str, Any]:
    return {"sender_name": spoiled(name), "timestamp_ms": 1_795_176_000_000 + second * 1000} | more


def test_sides_are_told_by_the_creators_name_and_the_fan_by_the_folder() -> None:
    payload = {
        "participants": [{"name": spoiled("José")}, {"name": "Luna"}],
        "thread_path": "inbox/jose_177",
        "messages": [said("Luna", 5, content="hello"), said("José", 0, content=spoiled("olé 😘"))],
    }
    found = instagram.events(payload, ME)
    assert shown(found.events) == [
        ("2026-11-20T12:00:00", None, "olé 😘"),
        ("2026-11-20T12:00:05", "creator", "hello"),
    ]
    assert {event["fanId"] for event in found.events} == {"jose_177"}
    (skipped, *_) = instagram.events(payload).skipped
    assert "--me" in skipped.reason


def test_the_same_export_again_has_the_same_ids() -> None:
    payload = {"messages": [said("Jo", 1, content="hi"), said("Jo", 1, content="hi")]}
    first = [event["eventId"] for event in instagram.events(payload).events]
    newer = {"messages": [said("Jo", 9, content="new"), *payload["messages"]]}
    assert [event["eventId"] for event in instagram.events(newer).events][:2] == first
    assert len(set(first)) == 2


def test_an_edit_of_something_else_is_a_message() -> None:
    payload = {
        "messages": [
            said("Jo", 2000, content="see you (edited)"),
            said("Jo", 1, content="see yuo"),
        ]
    }
    found = instagram.events(payload).events
    assert [event["content"] for event in found] == ["see yuo", "see you"]


def test_unsent_and_notices_are_left_out_and_reactions_are_likes() -> None:
    payload = {
        "participants": [{"name": "Jo"}, {"name": "Luna"}],
        "messages": [
            said("Jo", 3, is_unsent=True),
            said("Jo", 2, content="Liked a message"),
            said("Luna", 1, photos=[{"uri": "a"}], reactions=[{"actor": "Jo", "reaction": "x"}]),
        ],
    }
    found = instagram.events(payload, ME)
    assert [one.expected for one in found.skipped] == [True, True]
    photo, like = found.events
    assert (photo["attachments"], like["type"]) == ([{"type": "photo"}], "like")
    assert "sender" not in like


def test_webhooks_tell_echoes_edits_deletions_and_likes() -> None:
    def delivery(**more: Any) -> dict[str, Any]:
        told = {"sender": {"id": "1"}, "recipient": {"id": "2"}, "timestamp": 1_795_176_000_123}
        return {"object": "instagram", "entry": [{"messaging": [told | more]}]}

    def one(**more: Any) -> Event:
        (made,) = instagram.events(delivery(**more)).events
        return dict(made)

    echo = one(message={"mid": "m", "text": "hi", "is_echo": True})
    assert (echo["sender"], echo["fanId"]) == ("creator", "2")
    edit = one(message_edit={"mid": "m", "text": "hey", "num_edit": 1})
    assert (edit["replaces"], edit["content"]) == ("m", "hey")
    gone = one(message={"mid": "m", "is_deleted": True})
    assert (gone["type"], gone["refersTo"]["eventId"]) == ("delete", "m")
    like = one(reaction={"mid": "m", "action": "react"})
    assert (like["type"], like["refersTo"]["eventId"]) == ("like", "m")
    (skipped,) = instagram.events(delivery(read={"mid": "m"})).skipped
    assert skipped.expected


@pytest.mark.parametrize("text", ["love you 😠", "olé", "naïve — “yes”", "ß", "plain", "日本"])
def test_repairing_a_spoiled_text_gives_it_and_a_whole_one_stays(text: str) -> None:
    assert repaired(text.encode().decode("latin-1")) == text
    assert repaired(text) == text


# WhatsApp.

IOS = """\
[20/11/2026, 10:14:33] Jo: \u200eMessages and calls are end-to-end encrypted.
[20/11/2026, 10:14:34] Jo: hi!
how are you?
[20/11/2026, 10:15:00] Luna: \u200eimage omitted
[20/11/2026, 10:15:01] Jo: wow <This message was edited>
[20/11/2026, 10:15:02] Jo: This message was deleted.
"""
ANDROID = """\
11/20/26, 9:05\u202fPM - Messages are end-to-end encrypted.
11/20/26, 9:05\u202fPM - Jo: hi
11/20/26, 9:06\u202fPM - Jo: hi
11/20/26, 9:06\u202fPM - Jo: hi
11/21/26, 12:00\u202fAM - Luna: IMG-20261120-WA0001.jpg (file attached)
look
"""


def test_a_chat_of_an_iphone() -> None:
    found = whatsapp.events(IOS, Context(me=ME.me, zone=ZoneInfo("Europe/Berlin")))
    assert shown(found.events) == [
        ("2026-11-20T09:14:34", None, "hi!\nhow are you?"),
        ("2026-11-20T09:15:00", "creator", None),
        ("2026-11-20T09:15:01", None, "wow"),
    ]
    assert found.events[1]["attachments"] == [{"type": "photo"}]
    assert [one.reason for one in found.skipped] == ["is a notice of the app's", "was unsent"]


def test_a_chat_of_an_android_phone() -> None:
    found = whatsapp.events(ANDROID, ME)
    assert shown(found.events) == [
        ("2026-11-20T21:05:00", None, "hi"),
        ("2026-11-20T21:06:00", None, "hi"),
        ("2026-11-20T21:06:00", None, "hi"),
        ("2026-11-21T00:00:00", "creator", "look"),
    ]
    assert len({event["eventId"] for event in found.events}) == 4
    longer = ANDROID + "11/22/26, 1:00\u202fPM - Jo: more\n"
    again = whatsapp.events(longer, ME).events
    assert again[:4] == found.events, "a later export adds only what is new"


def test_dates_that_can_be_read_in_two_ways_are_not_guessed() -> None:
    text = "01/02/2026, 10:00 - Jo: a\n02/03/2026, 10:00 - Luna: b\n"
    assert {one.reason for one in whatsapp.events(text, ME).skipped} == {whatsapp.NO_ORDER}
    said = Context(me=ME.me, options={"dates": "mdy"})
    assert [event["timestamp"][:10] for event in whatsapp.events(text, said).events] == [
        "2026-01-02",
        "2026-02-03",
    ]
    forward = "30/01/2026, 10:00 - Jo: a\n01/02/2026, 10:00 - Luna: b\n"
    assert whatsapp.events(forward, ME).events[1]["timestamp"][:10] == "2026-02-01"
    by_order = "09/10/2026, 10:00 - Jo: a\n10/09/2026, 10:00 - Luna: b\n"
    assert whatsapp.events(by_order, ME).events[1]["timestamp"][:10] == "2026-10-09"


def test_a_group_and_unknown_sides_are_left_out_with_the_reason() -> None:
    group = "20/11/2026, 10:00 - Jo: a\n20/11/2026, 10:01 - Ada: b\n20/11/2026, 10:02 - Luna: c\n"
    assert {one.reason for one in whatsapp.events(group, ME).skipped} == {
        "is no conversation with one fan"
    }
    assert "--me" in whatsapp.events(ANDROID).skipped[0].reason
    assert whatsapp.events("no chat at all", ME).skipped


# Mappings.


def rule(**changes: Any) -> dict[str, Any]:
    fields = {"fanId": "/f", "type": {"value": "like"}, "eventId": "/e"}
    return {"fields": fields} | changes


@pytest.mark.parametrize(
    ("mapping", "field"),
    [
        ([], "rules"),
        ({"rules": []}, "rules"),
        ({"rules": [{"feilds": {}}]}, "rules[0]"),
        ({"rules": [rule(fields={"fanId": "/f"})]}, "rules[0].fields"),
        ({"rules": [rule(fields=rule()["fields"] | {"fanld": "/f"})]}, "rules[0].fields"),
        ({"rules": [rule(fields=rule()["fields"] | {"content": "f"})]}, "rules[0].fields.content"),
        ({"rules": [rule(), rule(when={"x": 1})]}, "rules[1].when"),
        ({"rules": [rule(fields=rule()["fields"] | {"amount": {"at": "/a", "digits": 99}})]},
         "rules[0].fields.amount"),
    ],
)  # fmt: skip
def test_a_mapping_that_is_wrong_is_said_by_its_part(mapping: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        generic.check(mapping)
    assert refused.value.field == field


def test_a_field_that_is_not_there_is_said_by_its_name() -> None:
    mapping = generic.check({"rules": [rule(when={"/kind": "a"}), rule(when={"/kind": "b"})]})
    for payload, reason in (
        ({"kind": "a", "e": "1"}, "has nothing where the mapping looks for fanId"),
        ({"kind": "b", "f": "1"}, "has nothing where the mapping looks for eventId"),
        ({"kind": "c"}, "fits no rule of the mapping"),
    ):
        (skipped,) = generic.events(payload, Context(mapping=mapping)).skipped
        assert skipped == (reason, False)


def test_pointers_lists_words_and_units() -> None:
    mapping = generic.check(
        {
            "rules": [
                {
                    "each": "/a~1b/0/list",
                    "fields": {
                        "fanId": "/who/id",
                        "type": {"at": "/kind", "map": {"gift": "tip"}},
                        "eventId": "/n",
                        "amount": {"at": "/cents", "digits": 2},
                        "timestamp": "/at",
                    },
                }
            ]
        }
    )
    gift = {"who": {"id": 7}, "kind": "gift", "n": 1, "cents": 1999, "at": 1_795_176_000}
    payload = {"a/b": [{"list": [gift, gift | {"kind": "wink"}, gift | {"n": "2"}]}]}
    found = generic.events(payload, Context(mapping=mapping))
    assert [(one["fanId"], one["eventId"], str(one["amount"])) for one in found.events] == [
        ("7", "1", "19.99"),
        ("7", "2", "19.99"),
    ]
    assert len(found.skipped) == 1
