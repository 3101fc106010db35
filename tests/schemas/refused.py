"""InteractionEvents: builders, and everything that must be refused, with its field."""

import json
from typing import Any

from schemas.events import (
    AHEAD_MS_MAX,
    CONTENT_LENGTH_MAX,
    TIME_MIN_MS,
    VALUE_BYTES_MAX,
)
from schemas.metadata import BYTES_MAX as METADATA_BYTES_MAX
from schemas.metadata import DEPTH_MAX as METADATA_DEPTH_MAX
from schemas.money import MINOR_MAX
from schemas.relationship import ID_LENGTH_MAX
from schemas.times import render_time

NOON = 1_731_412_800_000
"""2024-11-12T12:00:00Z, the Kafka record's own time in these tests."""
SENTINEL = "sentinel-5b1e"


def event(**fields: Any) -> dict[str, Any]:
    """A good message; a field set to `...` is left out."""
    good = {
        "fanId": "fan_123",
        "creatorId": "creator_456",
        "type": "message",
        "content": "Hello",
        "timestamp": "2024-11-12T11:59:00Z",
    } | fields
    return {name: value for name, value in good.items() if value is not ...}


def raw(**fields: Any) -> bytes:
    return json.dumps(event(**fields)).encode()


def with_raw(field: str, text: str) -> bytes:
    """A message whose `field` is written as `text`, which need not be JSON."""
    return raw(**{field: SENTINEL}).replace(f'"{SENTINEL}"'.encode(), text.encode())


def nested(levels: int) -> dict[str, Any]:
    """An object of so many levels."""
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def purchase(**fields: Any) -> bytes:
    return raw(**({"type": "purchase", "content": ..., "amount": 20} | fields))


def with_amount(text: str, **fields: Any) -> bytes:
    """A purchase whose amount is written as `text`."""
    return purchase(amount=SENTINEL, **fields).replace(f'"{SENTINEL}"'.encode(), text.encode())


REFUSED: dict[str, tuple[bytes, str]] = {
    # The record as a whole.
    "nothing": (b"", "$"),
    "white space": (b" \n", "$"),
    "not JSON": (b"hello", "$"),
    "JSON cut off": (raw()[:-7], "$"),
    "two documents": (raw() + raw(), "$"),
    "a list": (b"[]", "$"),
    "null": (b"null", "$"),
    "a number": (b"17", "$"),
    "an empty object": (b"{}", "fanId"),
    "a text that is not UTF-8": (raw(content="\t").replace(b"\\t", b"\xff\xfe"), "$"),
    "an id of UTF-8 surrogates": (raw(fanId="\t").replace(b"\\t", b"\xed\xa0\x80"), "$"),
    "UTF-16": (raw().decode().encode("utf-16"), "$"),
    "a byte order mark": (b"\xef\xbb\xbf" + raw(), "$"),
    "too many bytes": (raw(content="x" * VALUE_BYTES_MAX), "$"),
    "brackets 100,000 deep": (b"[" * 100_000, "$"),
    "objects 30,000 deep": (b'{"a":' * 30_000, "$"),
    # Names of the two sides.
    "no fanId": (raw(fanId=...), "fanId"),
    "no creatorId": (raw(creatorId=...), "creatorId"),
    "fanId null": (raw(fanId=None), "fanId"),
    "fanId a number": (raw(fanId=7), "fanId"),
    "creatorId a list": (raw(creatorId=["a"]), "creatorId"),
    "fanId empty": (raw(fanId=""), "fanId"),
    "creatorId blank": (raw(creatorId=" \u2003"), "creatorId"),
    "fanId too long": (raw(fanId="x" * (ID_LENGTH_MAX + 1)), "fanId"),
    "fanId with a space before it": (raw(fanId=" fan"), "fanId"),
    "fanId with a wide space after it": (raw(fanId="fan\u3000"), "fanId"),
    "fanId turned round": (raw(fanId="\u202enaf"), "fanId"),
    "fanId with a space of no width": (raw(fanId="fan\u200b"), "fanId"),
    "fanId with a joint that joins nothing": (raw(fanId="fan\u200dfan"), "fanId"),
    "fanId with a line break": (raw(fanId="a\nb"), "fanId"),
    "creatorId with NUL": (raw(creatorId="a\0b"), "creatorId"),
    "fanId with a C1 control": (raw(fanId="a\x85b"), "fanId"),
    "fanId with a lone surrogate": (with_raw("fanId", '"\\ud800"'), "fanId"),
    "fanId twice": (raw()[:-1] + b',"fanId":"other"}', "fanId"),
    # Type, sender, author, eventId.
    "no type": (raw(type=...), "type"),
    "an unknown type": (raw(type="poke"), "type"),
    "type in capitals": (raw(type="MESSAGE"), "type"),
    "type a number": (raw(type=1), "type"),
    "an unknown sender": (raw(sender="bot"), "sender"),
    "an unknown author": (raw(author="ghost"), "author"),
    "eventId empty": (raw(eventId=""), "eventId"),
    "eventId a number": (raw(eventId=1), "eventId"),
    "eventId too long": (raw(eventId="x" * (ID_LENGTH_MAX + 1)), "eventId"),
    "eventId with NUL": (raw(eventId="\0"), "eventId"),
    "schemaVersion an object": (raw(schemaVersion={}), "schemaVersion"),
    # Content.
    "a message without content": (raw(content=...), "content"),
    "a message with null": (raw(content=None), "content"),
    "a blank message": (raw(content=" \t\u00a0"), "content"),
    **{
        f"content of nothing but {ord(character):x}": (raw(content=character), "content")
        for character in "\u2800\u3164\u200b\u00ad\ufe0f\u2060\u115f"
    },
    "content that was read as Latin-1": (
        raw(content="love you \u00f0\u009f\u0098\u00a0"),
        "content",
    ),
    "content a number": (raw(content=5), "content"),
    "content too long": (raw(content="x" * (CONTENT_LENGTH_MAX + 1)), "content"),
    "content with NUL": (raw(content="a\0b"), "content"),
    "content with a lone high surrogate": (with_raw("content", '"a\\ud83d"'), "content"),
    "content with a lone low surrogate": (with_raw("content", '"\\ude00b"'), "content"),
    "content twice": (raw()[:-1] + b',"content":"other"}', "content"),
    "content twice, one escaped": (raw()[:-1] + b',"c\\u006fntent":"other"}', "content"),
    # Amount.
    "a purchase without amount": (purchase(amount=...), "amount"),
    "a tip without amount": (purchase(type="tip", amount=None), "amount"),
    "amount a text": (purchase(amount="20"), "amount"),
    "amount a boolean": (purchase(amount=True), "amount"),
    "amount below zero": (purchase(amount=-0.01), "amount"),
    "amount too large": (with_amount(f"{MINOR_MAX // 100}.01"), "amount"),
    "amount too large, in yen": (purchase(amount=MINOR_MAX + 1, currency="JPY"), "amount"),
    "half a cent": (with_amount("1.005"), "amount"),
    "less than a cent": (with_amount("0.004"), "amount"),
    "a sum of floats": (purchase(amount=0.1 + 0.2), "amount"),
    "a tenth of a yen": (purchase(amount=0.1, currency="JPY"), "amount"),
    "ten thousandths of a dinar": (with_amount("1.2345", currency="KWD"), "amount"),
    "a refund without amount": (purchase(type="refund", amount=...), "amount"),
    "a subscription without amount": (
        purchase(type="subscription", amount=..., metadata={"event": "started"}),
        "amount",
    ),
    "amount an object": (with_amount('{"a":1}'), "amount"),
    "amount with a key twice": (with_amount('{"a":1,"a":2}'), "amount"),
    "an unknown currency": (purchase(currency="XBT"), "currency"),
    "a currency without digits": (purchase(currency="XAU"), "currency"),
    "a currency sign": (purchase(currency="$"), "currency"),
    # What few events have.
    "a subscription that says nothing": (purchase(type="subscription"), "metadata.event"),
    "a subscription that ended otherwise": (
        purchase(type="subscription", metadata={"event": "died"}),
        "metadata.event",
    ),
    "a reason of a tip": (purchase(type="tip", reason="refund"), "reason"),
    "an unknown reason": (purchase(type="refund", reason="regret"), "reason"),
    "an unknown origin": (raw(origin="mass"), "origin"),
    "an unknown format": (raw(format="markdown"), "format"),
    "HTML that shows nothing": (
        raw(content="<p><br></p><script>x</script>", format="html"),
        "content",
    ),
    "HTML too long": (raw(content="<p>" * 13_334, format="html"), "content"),
    "HTML of too long a text": (raw(content="x" * 10_001, format="html"), "content"),
    "41 attachments": (raw(attachments=[{"type": "photo"}] * 41), "attachments"),
    "an attachment of nothing": (raw(attachments=[{}]), "attachments.type"),
    "an unknown attachment": (raw(attachments=[{"type": "hologram"}]), "attachments"),
    "an attachment with a key twice": (
        with_raw("attachments", '[{"type":"photo","type":"video"}]'),
        "attachments",
    ),
    "an attachment with a long id": (
        raw(attachments=[{"type": "photo", "id": "x" * 256}]),
        "attachments.id",
    ),
    "an attachment of half a cent": (
        raw(attachments=[{"type": "photo", "price": 0.005}]),
        "attachments.price",
    ),
    "attachments of a tip": (purchase(attachments=[{"type": "photo"}]), "attachments"),
    "no text and no attachment": (raw(content=..., attachments=[]), "content"),
    "price a text": (raw(price="25"), "price"),
    "price of a purchase": (purchase(price=25), "price"),
    "refersTo a text": (purchase(refersTo="m-1"), "refersTo"),
    "refersTo nothing": (purchase(refersTo={}), "refersTo.eventId"),
    "refersTo an unknown type": (
        purchase(refersTo={"eventId": "m", "type": "poke"}),
        "refersTo.type",
    ),
    "refersTo a blank id": (purchase(refersTo={"eventId": " "}), "refersTo.eventId"),
    "refersTo of a message": (raw(refersTo={"eventId": "m-1"}), "refersTo"),
    "refersTo twice": (
        raw(type="like")[:-1] + b',"refersTo":{"eventId":"a"},"refersTo":null}',
        "refersTo",
    ),
    "sequence a fraction": (raw(sequence=1.5), "sequence"),
    "sequence beyond 64 bits": (with_raw("sequence", "9" * 20), "sequence"),
    "an edit of a purchase": (purchase(replaces="p-1"), "replaces"),
    "an edit of a blank id": (raw(replaces=" "), "replaces"),
    "an edit of itself": (raw(replaces="m-1", eventId="m-1"), "replaces"),
    "an edit without a text": (raw(replaces="m-1", content=" "), "content"),
    "a refund of a like": (
        purchase(type="refund", refersTo={"eventId": "p-1", "type": "like"}),
        "refersTo.type",
    ),
    "a note of the fan": (raw(type="note", sender="fan"), "sender"),
    "a note of nobody": (raw(type="note"), "sender"),
    "a note without a text": (raw(type="note", sender="creator", content=...), "content"),
    "a note of nothing that can be seen": (
        raw(type="note", sender="creator", content="\u200b "),
        "content",
    ),
    "a note too long": (raw(type="note", sender="creator", content="x" * 10_001), "content"),
    "a note with a picture": (
        raw(type="note", sender="creator", attachments=[{"type": "photo"}]),
        "attachments",
    ),
    "a note for money": (raw(type="note", sender="creator", price=5), "price"),
    "a note about an event": (
        raw(type="note", sender="creator", refersTo={"eventId": "m"}),
        "refersTo",
    ),
    "a like of a note": (
        raw(type="like", refersTo={"eventId": "n", "type": "note"}),
        "refersTo.type",
    ),
    **{
        f"a fact that is {what}": (
            raw(type="note", sender="creator", metadata={"fact": fact}),
            "metadata.fact" + field,
        )
        for what, fact, field in (
            ("a text", "Rex", ""),
            ("of an unknown kind", {"kind": "shoe", "value": "43"}, ".kind"),
            ("of no kind", {"value": "43"}, ".kind"),
            ("of many kinds", {"kind": ["pet"], "value": "Rex"}, ".kind"),
            ("blank", {"kind": "pet", "value": " "}, ".value"),
            ("a number", {"kind": "pet", "value": 4}, ".value"),
            ("too long", {"kind": "pet", "value": "x" * 65}, ".value"),
            ("turned round", {"kind": "pet", "value": "\u202exeR"}, ".value"),
            ("of two lines", {"kind": "pet", "value": "a\nb"}, ".value"),
            ("no day", {"kind": "birthday", "value": "5 May"}, ".value"),
            ("a day of no month", {"kind": "birthday", "value": "13-01"}, ".value"),
            ("wrong without a value", {"kind": "pet", "wrong": True}, ".value"),
            ("wrong in words", {"kind": "pet", "value": "Rex", "wrong": "yes"}, ".wrong"),
        )
    },
    "a delete of nothing": (raw(type="delete"), "refersTo"),
    "a delete of a delete": (
        raw(type="delete", refersTo={"eventId": "d", "type": "delete"}),
        "refersTo.type",
    ),
    "a like of a delete": (
        raw(type="like", refersTo={"eventId": "d", "type": "delete"}),
        "refersTo.type",
    ),
    "amount NaN": (purchase(amount=float("nan")), "amount"),
    "amount infinite": (purchase(amount=float("inf")), "amount"),
    "amount minus infinite": (purchase(amount=float("-inf")), "amount"),
    "amount beyond floats": (purchase(amount=0.5).replace(b"0.5", b"1e999"), "amount"),
    "amount of 400 digits": (purchase(amount=0.5).replace(b"0.5", b"9" * 400), "amount"),
    # Metadata.
    "metadata a list": (raw(metadata=[]), "metadata"),
    "metadata a text": (raw(metadata="{}"), "metadata"),
    "metadata too deep": (raw(metadata=nested(METADATA_DEPTH_MAX + 1)), "metadata"),
    "metadata too large": (raw(metadata={"a": "x" * METADATA_BYTES_MAX}), "metadata"),
    "metadata with NUL": (raw(metadata={"a": ["b\0"]}), "metadata"),
    "metadata with NUL in a key": (raw(metadata={"a\0": 1}), "metadata"),
    "metadata with NaN": (raw(metadata={"a": [float("nan")]}), "metadata"),
    "metadata with 1e999": (with_raw("metadata", '{"a":1e999}'), "metadata"),
    "metadata with a lone surrogate": (with_raw("metadata", '{"a":"\\udc00"}'), "metadata"),
    "metadata with a key twice": (with_raw("metadata", '{"a":1,"a":2}'), "metadata"),
    "metadata with a key twice, deep": (with_raw("metadata", '{"b":[{"a":1,"a":2}]}'), "metadata"),
    "metadata with 5,000 digits": (with_raw("metadata", '{"a":' + "9" * 5000 + "}"), "metadata"),
    "metadata 900 deep": (with_raw("metadata", '{"a":' * 900 + "1" + "}" * 900), "$"),
    # Unknown fields are skipped by the fast parser, and looked at by the exact check.
    "an unknown field that is not UTF-8": (raw(zz="\t").replace(b"\\t", b"\xff"), "$"),
    "an unknown name that is not UTF-8": (raw(zz=1).replace(b"zz", b"\xff"), "$"),
    "an unknown field 900 deep": (with_raw("zz", "[" * 900 + "]" * 900), "$"),
    "contentType a number": (raw(metadata={"contentType": 1}), "metadata.contentType"),
    "contentType blank": (raw(metadata={"contentType": " "}), "metadata.contentType"),
    "contentType too long": (raw(metadata={"contentType": "x" * 65}), "metadata.contentType"),
    "contentType in two lines": (raw(metadata={"contentType": "a\nb"}), "metadata.contentType"),
    # Timestamp.
    "no timestamp": (raw(timestamp=...), "timestamp"),
    "timestamp null": (raw(timestamp=None), "timestamp"),
    "timestamp a number": (raw(timestamp=NOON), "timestamp"),
    "timestamp a word": (raw(timestamp="yesterday"), "timestamp"),
    "timestamp without a zone": (raw(timestamp="2024-11-12T11:59:00"), "timestamp"),
    "timestamp without a time": (raw(timestamp="2024-11-12"), "timestamp"),
    "the 61st second": (raw(timestamp="2016-12-31T23:59:61Z"), "timestamp"),
    "a leap second without a zone": (raw(timestamp="2016-12-31T23:59:60"), "timestamp"),
    "a leap second of metadata": (
        raw(timestamp="noon", metadata={"timestamp": "2016-12-31T23:59:60Z"}),
        "timestamp",
    ),
    "a leap second, and an amount of no number": (
        raw(timestamp="2016-12-31T23:59:60Z", schemaVersion={}),
        "timestamp",
    ),
    "30 February": (raw(timestamp="2024-02-30T00:00:00Z"), "timestamp"),
    "the year 0": (raw(timestamp="0000-01-01T00:00:00Z"), "timestamp"),
    "the year 10000": (raw(timestamp="10000-01-01T00:00:00Z"), "timestamp"),
    "1970": (raw(timestamp="1970-01-01T00:00:00Z"), "timestamp"),
    "before 1990": (raw(timestamp=render_time(TIME_MIN_MS - 1)), "timestamp"),
    "year 1, eastwards": (raw(timestamp="0001-01-01T00:00:00+14:00"), "timestamp"),
    "too far ahead": (raw(timestamp=render_time(NOON + AHEAD_MS_MAX + 1)), "timestamp"),
    "far in the future": (raw(timestamp="2999-01-01T00:00:00Z"), "timestamp"),
    "year 9999, westwards": (
        raw(timestamp="9999-12-31T23:59:59-14:00"),
        "timestamp",
    ),
}

REFUSED |= {
    f"{field} {word}": (raw(**{field: word}), field)
    for field in ("fanId", "creatorId")
    for word in (
        *("undefined", "null", "None", "NaN", "[object Object]", "true", "False", "0", "-1"),
        *("anonymous", "UNKNOWN"),
    )
}
