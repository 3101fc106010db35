"""What counts as an InteractionEvent: one table of refusals, and what is accepted beside it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.events import (
    AHEAD_MS_MAX,
    CONTENT_LENGTH_MAX,
    ID_LENGTH_MAX,
    KINDS,
    METADATA_BYTES_MAX,
    METADATA_DEPTH_MAX,
    TIME_MIN_MS,
    VALUE_BYTES_MAX,
    Interaction,
    parse_interaction,
)
from schemas.times import render_time

NOON = 1_731_412_800_000
"""2024-11-12T12:00:00Z, the Kafka record's own time in these tests."""
NAMES = (
    *("fanId", "creatorId", "type", "timestamp", "content", "amount", "metadata"),
    *("metadata.contentType", "eventId", "sender", "author", "schemaVersion", "$"),
)
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
    "sender null": (raw(sender=None), "sender"),
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
    "amount too large": (purchase(amount=1_000_000.01), "amount"),
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


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_with_its_field(case: str) -> None:
    value, field = REFUSED[case]
    with pytest.raises(InvalidInput) as refusal:
        parse_interaction(value, NOON)
    assert refusal.value.field == field
    assert refusal.value.reason
    assert len(refusal.value.reason) < 200


def parsed(value: bytes) -> Interaction:
    return parse_interaction(value, NOON)


ACCEPTED: dict[str, tuple[bytes, Callable[[Interaction], bool]]] = {
    "the documented message": (raw(), lambda e: (e.kind, e.content) == ("message", "Hello")),
    "a fan is meant without a sender": (raw(), lambda e: e.sender == "fan" and e.author is None),
    "a creator's message": (raw(sender="creator", author="ai"), lambda e: e.author == "ai"),
    "an id of the producer": (raw(eventId="e-1"), lambda e: e.event_id == "e-1"),
    "no id": (raw(), lambda e: e.event_id is None),
    "ids of 128 characters": (
        raw(fanId="😀" * ID_LENGTH_MAX, eventId="x" * ID_LENGTH_MAX),
        lambda e: len(e.fan_id) == ID_LENGTH_MAX,
    ),
    "ids of any script": (raw(fanId="ファン 7", creatorId="ж"), lambda e: e.creator_id == "ж"),
    "10,000 characters, all escaped": (
        raw(content="😀" * CONTENT_LENGTH_MAX),
        lambda e: e.content == "😀" * CONTENT_LENGTH_MAX,
    ),
    "a purchase in cents": (purchase(amount=19.99), lambda e: e.amount == 1999),
    "an amount that floats can't hold": (purchase(amount=0.29), lambda e: e.amount == 29),
    "an amount of nothing": (purchase(amount=0), lambda e: e.amount == 0),
    "the largest amount": (purchase(amount=1e6), lambda e: e.amount == 100_000_000),
    "more decimals than cents": (purchase(amount=10.004), lambda e: e.amount == 1000),
    "a like with nothing else": (raw(type="like", content=...), lambda e: e.content is None),
    "a view of a video": (
        raw(type="view", content=..., metadata={"contentType": "video"}),
        lambda e: e.content_type == "video",
    ),
    "a GIF": (raw(metadata={"gif": True}), lambda e: e.gif),
    "gif that is only truthy": (raw(metadata={"gif": 1}), lambda e: not e.gif),
    "metadata as deep as allowed": (
        raw(metadata=nested(METADATA_DEPTH_MAX)),
        lambda e: e.metadata is not None,
    ),
    "empty metadata": (raw(metadata={}), lambda e: e.metadata is None),
    "fields that nobody knows": (raw(colour="red", deep=nested(100)), lambda e: True),
    "an unknown number of 5,000 digits": (with_raw("zz", "9" * 5000), lambda e: True),
    "a text that looks like a key twice": (
        raw(content='"content": "content":'),
        lambda e: e.content == '"content": "content":',
    ),
    "a text that speaks of backslash-u": (raw(content="\\u0000"), lambda e: e.content == "\\u0000"),
    "explicit nulls": (raw(amount=None, eventId=None, author=None), lambda e: e.amount is None),
    "a zone": (
        raw(timestamp="2024-11-12T12:59:00.25+01:00"),
        lambda e: e.time == NOON - 60_000 + 250,
    ),
    "five minutes ahead": (
        raw(timestamp=render_time(NOON + AHEAD_MS_MAX)),
        lambda e: e.time == NOON + AHEAD_MS_MAX,
    ),
    "the first moment of 1990": (
        raw(timestamp=render_time(TIME_MIN_MS)),
        lambda e: e.time == TIME_MIN_MS,
    ),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_accepted_is_taken_as_meant(case: str) -> None:
    value, holds = ACCEPTED[case]
    assert holds(parsed(value))


@pytest.mark.parametrize("kind", KINDS)
def test_every_documented_type_is_accepted(kind: str) -> None:
    assert parsed(raw(type=kind, amount=1)).kind == kind


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


def parses_or_is_refused(value: bytes) -> Interaction | None:
    """Any exception but `InvalidInput` would end the worker."""
    try:
        return parse_interaction(value, NOON)
    except InvalidInput as refusal:
        assert refusal.field in NAMES
        assert refusal.reason
        return None


@given(st.binary(max_size=400))
@example(b"\xed\xa0\x80")
@example(b'{"fanId":')
def test_any_bytes_are_parsed_or_refused(value: bytes) -> None:
    parses_or_is_refused(value)


@given(st.dictionaries(st.sampled_from([*event(), "metadata", "amount", "x", "eventId"]), anything))
def test_any_fields_are_parsed_or_refused(fields: dict[str, Any]) -> None:
    accepted = parses_or_is_refused(json.dumps(event(**fields)).encode())
    if accepted is not None:
        # What is accepted must be storable: Postgres takes no NUL, UTF-8 no lone surrogate.
        for text in (accepted.fan_id, accepted.creator_id, accepted.content or ""):
            assert "\0" not in text
            text.encode()


@given(st.data())
def test_any_byte_changed_is_parsed_or_refused(data: st.DataObject) -> None:
    value = bytearray(raw(metadata={"contentType": "photo", "a": [1, {"b": None}]}, amount=1.5))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    parses_or_is_refused(bytes(value))


@given(st.sampled_from([*event(), "metadata", "eventId", "sender", "author", "amount", SENTINEL]))
def test_a_refusal_never_repeats_the_value(field: str) -> None:
    """Reasons stand in the dead letter in clear, and in replies and logs."""
    for wrong in (
        f'"{SENTINEL}"',
        f'"{SENTINEL}\\u0000"',
        f'["{SENTINEL}"]',
        f'{{"{SENTINEL}":1,"{SENTINEL}":2}}',
        f'{{"{SENTINEL}":NaN}}',
        f'{{"contentType":"{SENTINEL * 9}"}}',
        f'"{SENTINEL}\\ud800"',
        f"{SENTINEL}",
        f'"{SENTINEL * 2000}"',
    ):
        body = {name: json.dumps(value) for name, value in event().items()} | {field: wrong}
        text = ",".join(f'"{name}":{value}' for name, value in body.items())
        try:
            parse_interaction(f"{{{text}}}".encode(), NOON)
        except InvalidInput as refusal:
            assert SENTINEL not in refusal.field + refusal.reason + str(refusal)
