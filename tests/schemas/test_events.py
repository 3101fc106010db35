"""What counts as an InteractionEvent: one table of refusals, and what is accepted beside it."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.details import Attachment, Details, Kind, Reference, StatedFact, Subscription
from schemas.errors import InvalidInput
from schemas.events import (
    AHEAD_MS_MAX,
    CONTENT_LENGTH_MAX,
    KINDS,
    TIME_MIN_MS,
    Interaction,
    Wire,
    parse_interaction,
)
from schemas.metadata import DEPTH_MAX as METADATA_DEPTH_MAX
from schemas.money import MINOR_MAX
from schemas.relationship import ID_LENGTH_MAX
from schemas.times import render_time
from tests.schemas.refused import (
    NOON,
    REFUSED,
    SENTINEL,
    event,
    nested,
    purchase,
    raw,
    with_amount,
    with_raw,
)

NAMES = (
    *("fanId", "creatorId", "type", "timestamp", "content", "amount", "metadata"),
    *(
        "metadata.contentType",
        "metadata.event",
        "metadata.fact",
        "metadata.fact.kind",
        "metadata.fact.value",
        "metadata.fact.wrong",
        "eventId",
        "sender",
        "author",
        "schemaVersion",
    ),
    *("origin", "attachments", "attachments.id", "attachments.type", "attachments.price", "format"),
    *("price", "refersTo", "refersTo.eventId", "refersTo.type", "currency", "sequence", "replaces"),
    *("reason", "$"),
)


FIELDS = [field.encode_name for field in msgspec.structs.fields(Wire)]


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


NOTE = {"type": "note", "sender": "creator", "content": "Likes boats"}

ACCEPTED: dict[str, tuple[bytes, Callable[[Interaction], bool]]] = {
    "a note, which is not read": (
        raw(**NOTE, author="chatter"),
        lambda e: (
            (e.kind, e.content, e.words, e.author) == ("note", "Likes boats", None, "chatter")
        ),
    ),
    "a note of 10,000 characters": (
        raw(**NOTE | {"content": "x" * CONTENT_LENGTH_MAX}),
        lambda e: len(e.content or "") == CONTENT_LENGTH_MAX,
    ),
    "an edit of a note": (
        raw(**NOTE, replaces="n-1"),
        lambda e: e.details is not None and e.details.replaces == "n-1",
    ),
    "a delete of a note": (
        raw(type="delete", refersTo={"eventId": "n", "type": "note"}),
        lambda e: e.details is not None and e.details.refers_to == Reference("n", "note"),
    ),
    "a note that states a fact": (
        raw(**NOTE, metadata={"fact": {"kind": "pet", "value": " Rex "}}),
        lambda e: e.details is not None and e.details.fact == StatedFact("pet", "Rex"),
    ),
    "a note that takes facts back": (
        raw(**NOTE, metadata={"fact": {"kind": "pet", "value": None}}),
        lambda e: e.details is not None and e.details.fact == StatedFact("pet"),
    ),
    "a message that states nothing by its metadata": (
        raw(metadata={"fact": {"kind": "shoe"}}),
        lambda e: e.details is None,
    ),
    "what a message says is read": (raw(), lambda e: e.words == "Hello"),
    "the documented message": (raw(), lambda e: (e.kind, e.content) == ("message", "Hello")),
    "a fan is meant without a sender": (raw(), lambda e: e.sender == "fan" and e.author is None),
    "a creator's message": (raw(sender="creator", author="ai"), lambda e: e.author == "ai"),
    "an id of the producer": (raw(eventId="e-1"), lambda e: e.event_id == "e-1"),
    "no id": (raw(), lambda e: e.event_id is None),
    "ids of 255 characters": (
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
    "the largest amount": (purchase(amount=MINOR_MAX // 100), lambda e: e.amount == MINOR_MAX),
    "zeros after the cents": (with_amount("10.5000"), lambda e: e.amount == 1050),
    "an amount with an exponent": (with_amount("1.5e3"), lambda e: e.amount == 150_000),
    "nothing, however it is written": (with_amount("-0.00e99"), lambda e: e.amount == 0),
    "yen have no cents": (
        purchase(amount=5000, currency="JPY"),
        lambda e: e.amount == 5000 and e.details == Details(currency="JPY"),
    ),
    "dinars have thousandths": (
        with_amount("1.234", currency="kwd"),
        lambda e: e.amount == 1234 and e.details == Details(currency="KWD"),
    ),
    "a refund": (
        purchase(type="refund"),
        lambda e: (e.kind, e.amount, e.details) == ("refund", 2000, None),
    ),
    "a chargeback": (
        purchase(type="refund", reason="chargeback"),
        lambda e: e.details == Details(reason="chargeback"),
    ),
    "a purchase and what it was for": (
        purchase(refersTo={"eventId": "m-1", "type": "message"}),
        lambda e: e.details == Details(refers_to=Reference("m-1", "message")),
    ),
    "a renewal": (
        purchase(
            type="subscription", metadata={"event": "renewed", "until": "2024-12-12T00:00:00Z"}
        ),
        lambda e: (
            e.details == Details(subscription=Subscription("renewed", until=1_733_961_600_000))
        ),
    ),
    "a trial, until whenever": (
        purchase(type="subscription", amount=0, metadata={"event": "started", "trial": True}),
        lambda e: e.details == Details(subscription=Subscription("started", trial=True)),
    ),
    "a picture without a word": (
        raw(content=..., attachments=[{"type": "photo", "id": 10408879870963123, "url": "x"}]),
        lambda e: (
            (e.content, e.details)
            == (None, Details(attachments=(Attachment("photo", "10408879870963123"),)))
        ),
    ),
    "forty attachments": (
        raw(attachments=[{"type": "video", "id": str(n), "price": 1.5} for n in range(40)]),
        lambda e: (
            e.details is not None and e.details.attachments[39] == Attachment("video", "39", 150)
        ),
    ),
    "a GIF attached": (raw(content="", attachments=[{"type": "gif"}]), lambda e: e.gif),
    "a blank text with a picture": (
        raw(content=" \u2800", attachments=[{"type": "photo"}]),
        lambda e: e.content is None,
    ),
    "a mass message": (
        raw(sender="creator", origin="broadcast", price=25),
        lambda e: e.details == Details(origin="broadcast", price=2500),
    ),
    "a place among messages of one time": (
        raw(sequence=-3),
        lambda e: e.details == Details(sequence=-3),
    ),
    "details that say nothing": (
        raw(origin="direct", attachments=[], price=0, format="text"),
        lambda e: e.details is None,
    ),
    "nulls for all that is optional": (
        raw(
            **dict.fromkeys(
                [
                    *("sender", "author", "origin", "attachments", "format", "price", "refersTo"),
                    *("currency", "sequence", "replaces", "reason", "metadata", "schemaVersion"),
                ]
            )
        ),
        lambda e: (e.sender, e.details) == ("fan", None),
    ),
    "HTML as the text that it shows": (
        raw(content='<p>You &amp; me,<br />\n<a href="/x">I&#039;m</a>!</p>', format="html"),
        lambda e: e.content == "You & me,\nI'm!",
    ),
    "text that looks like HTML": (raw(content="I <3 <b>you"), lambda e: e.content == "I <3 <b>you"),
    "an eventId of nothing much": (raw(eventId="0"), lambda e: e.event_id == "0"),
    "ids in NFC": (raw(fanId="jose\u0301"), lambda e: e.fan_id == "jos\xe9"),
    "ids that are pictures": (
        raw(fanId="\u2764\ufe0f\u200d\U0001f525", creatorId="1\ufe0f\u20e3"),
        lambda e: e.fan_id == "\u2764\ufe0f\u200d\U0001f525",
    ),
    "a line ended by U+0085": (raw(content="caf\xe9\x85au lait"), lambda e: True),
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
    "a leap second": (
        raw(timestamp="2016-12-31T23:59:60.5Z"),
        lambda e: render_time(e.time) == "2017-01-01T00:00:00.500Z",
    ),
    "a leap second beside what only looks like one": (
        raw(metadata={"timestamp": "2016-12-31T23:59:60Z"}, timestamp="2016-12-31T15:59:60-08:00"),
        lambda e: (
            render_time(e.time) == "2017-01-01T00:00:00.000Z" and b":60Z" in (e.metadata or b"")
        ),
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
    about: dict[str, Any] = {"refersTo": {"eventId": "m"}} if kind == "delete" else {}
    about |= {"sender": "creator"} if kind == "note" else {}
    assert parsed(raw(type=kind, amount=1, metadata={"event": "started"}, **about)).kind == kind


def test_what_was_unsent_is_not_taken_once_more() -> None:
    event = parsed(raw(type="delete", content="my secret", refersTo={"eventId": "m"}))
    assert event.content is None
    assert event.details == Details(refers_to=Reference("m"))


@pytest.mark.parametrize("kind", ["purchase", "tip", "subscription"])
def test_a_refund_names_what_was_paid(kind: Kind) -> None:
    about = {"type": kind, "eventId": "p"}
    event = parsed(purchase(type="refund", refersTo=about, reason="chargeback"))
    assert event.details == Details(refers_to=Reference("p", kind), reason="chargeback")


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


@given(st.dictionaries(st.sampled_from([*FIELDS, "x"]), anything))
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


@given(st.sampled_from([*FIELDS, SENTINEL]))
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
