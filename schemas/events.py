"""InteractionEvent: the public input, and the one place that decides what is accepted.

HTTP and Kafka share `parse_interaction`, so both refuse the same things with the same words. The
parser is msgspec's (0.9 us for this shape): it already refuses NaN, infinities, lone surrogates and
malformed UTF-8. What it lets pass is looked for here: NUL, duplicate keys, depth, bounds. Amounts
are taken as they were written: a float would have rounded them already.
"""

import re
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from schemas.characters import has_visible, is_misread
from schemas.details import (
    NO_DETAILS,
    NULL,
    Details,
    Origin,
    Reference,
    RefundReason,
    WireAttachment,
    WireReference,
    attachments_of,
    price_of,
    subscription_of,
)
from schemas.details import Kind as Kind
from schemas.errors import InvalidInput
from schemas.facts import FACT, stated_in
from schemas.html import HTML_LENGTH_MAX, html_to_text
from schemas.metadata import content_type_of, encode_metadata, keys_in, time_in
from schemas.money import DEFAULT_CURRENCY, currency_code, minor_units
from schemas.offers import mentions_in, mentions_offers
from schemas.refusals import explain, refuse_duplicate_keys
from schemas.relationship import check_event_id, check_id
from schemas.times import MINUTE_MS, from_datetime

Sender = Literal["fan", "creator"]
Author = Literal["creator", "chatter", "ai"]
Format = Literal["text", "html"]

KINDS: Final = get_args(Kind)
PAID: Final = frozenset(("purchase", "tip", "refund", "subscription"))
"""The types that need an amount."""
REFERRING: Final = frozenset(("purchase", "tip", "like", "view", "refund", "delete"))
"""The types that may say what they were for, or what they take back."""
REFUNDABLE: Final = frozenset(("purchase", "tip", "subscription"))
EDITABLE: Final = frozenset(("message", "note"))
"""The types that may be an edit of an event of their own type."""

CONTENT_LENGTH_MAX: Final = 10_000
SEQUENCE_MAX: Final = 2**62
TIME_MIN_MS: Final = 631_152_000_000
"""1990-01-01T00:00:00Z: older times are a client's mistake (zero, seconds for milliseconds)."""
AHEAD_MS_MAX: Final = 5 * MINUTE_MS
"""How far an event's time may lie after its Kafka record's own time: clocks differ."""
VALUE_BYTES_MAX: Final = 262_144
"""Largest accepted value: 10,000 characters as JSON escapes, 32 KiB metadata, and room."""


class Interaction(msgspec.Struct, frozen=True, gc=False):
    """An accepted InteractionEvent in normal form."""

    creator_id: str
    fan_id: str
    kind: Kind
    time: int
    """Event time, ms since the epoch, UTC."""
    event_id: str | None = None
    """The producer's own id; without one the source position becomes the id."""
    sender: Sender = "fan"
    author: Author | None = None
    content: str | None = None
    """Text, whatever format it came in; None when there is nothing to be seen in it."""
    amount: int | None = None
    """Minor units of the currency in `details`, or of US dollars."""
    content_type: str | None = None
    gif: bool = False
    metadata: bytes | None = None
    """JSON object, as received."""
    details: Details | None = None

    @property
    def words(self) -> str | None:
        """What the analyser reads: nothing of a note, which is about the fan and not between the
        two."""
        return None if self.kind == "note" else self.content


class Wire(msgspec.Struct, rename="camel", gc=False):
    """The JSON shape. Unknown fields are ignored, so that producers can be newer; null is absent
    for every optional one."""

    fan_id: str
    creator_id: str
    type: Kind
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    content: str | None = None
    amount: msgspec.Raw = NULL
    metadata: dict[str, Any] | None = None
    event_id: str | None = None
    sender: Sender | None = "fan"
    author: Author | None = None
    schema_version: int | str | None = None
    origin: Origin | None = "direct"
    attachments: list[WireAttachment] | None = None
    format: Format | None = "text"
    price: msgspec.Raw = NULL
    refers_to: WireReference | None = None
    currency: str | None = None
    sequence: Annotated[int, msgspec.Meta(ge=-SEQUENCE_MAX, le=SEQUENCE_MAX)] | None = None
    replaces: str | None = None
    reason: RefundReason | None = None


_decode = msgspec.json.Decoder(Wire).decode
_key_marks = re.compile(rb'"\s*:').findall
_leap_seconds = re.compile(
    rb'"timestamp"\s*:\s*"[0-9-]{10}[Tt ][0-9]{2}:[0-9]{2}:(60)[^"]*"'
).finditer
LEAP_SECONDS_MAX: Final = 8
"""Fields that are tried: each costs as much as parsing the event."""
_FIELDS = frozenset(field.encode_name for field in msgspec.structs.fields(Wire))


def parse_interaction(
    value: bytes, record_time: int, currency: str = DEFAULT_CURRENCY
) -> Interaction:
    """Validate one InteractionEvent.

    `record_time` is the Kafka record's time (or the request's arrival), ms; `currency` that of
    amounts that name none. Raises `InvalidInput` with the public name of the field and a reason
    that repeats no value; never anything else, because that would end the worker.
    """
    if len(value) > VALUE_BYTES_MAX:
        raise InvalidInput("$", f"must be at most {VALUE_BYTES_MAX} bytes")
    try:
        return _parse(value, record_time, currency)
    except UnicodeDecodeError:
        raise InvalidInput("$", "must be valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("$", "is nested too deeply") from None


def _parse(value: bytes, record_time: int, default_currency: str) -> Interaction:
    later = 0
    try:
        wire = _decode(value)
    except msgspec.DecodeError as error:
        leap = _of_a_leap_second(value)
        if leap is None:
            raise explain(error, value, _FIELDS, KINDS) from None
        wire, later = leap, 1000
    if len(_key_marks(value)) != _keys_expected(wire):
        refuse_duplicate_keys(value, _FIELDS)
    fan_id = check_id("fanId", wire.fan_id)
    creator_id = check_id("creatorId", wire.creator_id)
    if wire.event_id is not None:
        check_event_id("eventId", wire.event_id)
    time = from_datetime(wire.timestamp) + later
    if time < TIME_MIN_MS:
        raise InvalidInput("timestamp", "must not be before 1990")
    if time > record_time + AHEAD_MS_MAX:
        raise InvalidInput("timestamp", "must not be more than 5 minutes in the future")
    metadata, content_type, gif, offering, stating = None, None, False, False, False
    if wire.metadata:
        metadata = encode_metadata(wire.metadata)
        content_type = content_type_of(wire.metadata)
        gif = wire.metadata.get("gif") is True
        offering = mentions_offers(wire.metadata)
        stating = wire.type == "note" and FACT in wire.metadata
    if wire.type == "delete" and wire.refers_to is None:
        raise InvalidInput("refersTo", "is required for a delete")
    if wire.type == "note" and wire.sender != "creator":
        raise InvalidInput("sender", "must be creator in a note: the fan does not write any")
    currency = default_currency
    if wire.currency is not None:
        currency = currency_code("currency", wire.currency)
    amount = _amount(wire, currency)
    details = None
    if (
        _has_details(wire)
        or offering
        or stating
        or (currency != DEFAULT_CURRENCY and amount is not None)
    ):
        details, has_gif = _details(wire, currency)
        gif = gif or has_gif
    return Interaction(
        creator_id,
        fan_id,
        wire.type,
        time,
        wire.event_id,
        wire.sender or "fan",
        wire.author,
        _content(wire),
        amount,
        content_type,
        gif,
        metadata,
        details,
    )


def _of_a_leap_second(value: bytes) -> Wire | None:
    """The event as of the second before, if its time ends in `:60`, which RFC 3339 has and no
    calendar of ours: it is the first second of the next minute."""
    for found in islice(_leap_seconds(value), LEAP_SECONDS_MAX):
        try:
            return _decode(value[: found.start(1)] + b"59" + value[found.end(1) :])
        except msgspec.DecodeError:
            continue  # metadata may have a key of this name
    return None


def _content(wire: Wire) -> str | None:
    content = wire.content
    if wire.type == "delete":
        return None  # what was unsent is not to be kept once more
    if content is not None:
        content = _text(content, wire.format)
        if wire.type not in EDITABLE or has_visible(content) is not None:
            return content
    if wire.type == "note":
        state = "is required" if wire.content is None else "must not be blank"
        raise InvalidInput("content", f"{state} in a note")
    if wire.type == "message" and not wire.attachments:
        state = "is required" if wire.content is None else "must not be blank"
        raise InvalidInput("content", f"{state} in a message without attachments")
    return None


def _text(content: str, format: Format | None) -> str:
    html = format == "html"
    length_max = HTML_LENGTH_MAX if html else CONTENT_LENGTH_MAX
    if len(content) > length_max:
        raise InvalidInput("content", f"must be at most {length_max} characters")
    if "\x00" in content:
        raise InvalidInput("content", "must not contain NUL")
    if html:
        content = html_to_text(content)
        if len(content) > CONTENT_LENGTH_MAX:
            raise InvalidInput("content", f"must be at most {CONTENT_LENGTH_MAX} characters")
    if is_misread(content):
        raise InvalidInput("content", "is UTF-8 that was read as Latin-1: decode it as UTF-8")
    return content


def _amount(wire: Wire, currency: str) -> int | None:
    token = wire.amount
    if token is NULL or bytes(token) == b"null":
        if wire.type in PAID:
            raise InvalidInput("amount", f"is required for a {wire.type}")
        return None
    return minor_units("amount", bytes(token), currency)


def _has_details(wire: Wire) -> bool:
    """A fast guess: what is given and says nothing only costs building an empty one."""
    return (
        wire.attachments is not None
        or (wire.origin is not None and wire.origin != "direct")
        or wire.price is not NULL
        or wire.refers_to is not None
        or wire.currency is not None
        or wire.sequence is not None
        or wire.replaces is not None
        or wire.reason is not None
        or wire.type == "subscription"
    )


def _details(wire: Wire, currency: str) -> tuple[Details | None, bool]:
    """What few events have, None if this one has none of it, and whether a GIF is attached."""
    message = wire.type == "message"
    if wire.attachments and not message:
        raise InvalidInput("attachments", "belong to a message")
    attachments, gif = attachments_of(wire.attachments, currency)
    price = price_of("price", wire.price, currency)
    if price is not None and not message:
        raise InvalidInput("price", "belongs to a message")
    if wire.reason is not None and wire.type != "refund":
        raise InvalidInput("reason", "belongs to a refund")
    if wire.replaces is not None:
        if wire.type not in EDITABLE:
            raise InvalidInput("replaces", "belongs to a message or a note")
        check_event_id("replaces", wire.replaces)
        if wire.replaces == wire.event_id:
            raise InvalidInput(
                "replaces", "must not be the edit's own eventId: it is another event"
            )
    subscription = None
    if wire.type == "subscription":
        subscription = subscription_of(wire.metadata, time_in(wire.metadata, "until"))
    named = wire.currency is not None or currency != DEFAULT_CURRENCY
    details = Details(
        wire.origin or "direct",
        attachments,
        currency if named else None,
        price,
        _reference(wire),
        wire.sequence,
        wire.replaces,
        wire.reason or "refund",
        subscription,
        mentions_in(wire.metadata, wire.type, wire.sender or "fan", currency),
        stated_in(wire.metadata) if wire.type == "note" else None,
    )
    return (None if details == NO_DETAILS else details), gif


def _reference(wire: Wire) -> Reference | None:
    found = wire.refers_to
    if found is None:
        return None
    if wire.type not in REFERRING:
        raise InvalidInput("refersTo", f"does not belong to a {wire.type}")
    check_event_id("refersTo.eventId", found.event_id)
    if found.type == "delete":
        raise InvalidInput("refersTo.type", "must not be a delete: it can't be taken back")
    if found.type == "note" and wire.type != "delete":
        raise InvalidInput("refersTo.type", "must not be a note: the fan sees none")
    if wire.type == "refund" and found.type is not None and found.type not in REFUNDABLE:
        raise InvalidInput("refersTo.type", "must be purchase, tip or subscription in a refund")
    return Reference(found.event_id, found.type)


def _keys_expected(wire: Wire) -> int:
    """Keys that an event with these fields has when none is given twice.

    A fast guess: more marks in the text (an unknown field, a quote and a colon inside a text, an
    explicit null or default) only cost the slow, exact check.
    """
    count = 4
    count += wire.content is not None
    count += wire.amount is not NULL
    count += wire.event_id is not None
    count += wire.author is not None
    count += wire.schema_version is not None
    count += wire.sender != "fan"
    if wire.metadata is not None:
        count += 1 + keys_in(wire.metadata)
    if _has_details(wire):
        count += _detail_keys(wire)
    return count


def _detail_keys(wire: Wire) -> int:
    count = int(wire.origin != "direct")
    count += wire.price is not NULL
    count += wire.currency is not None
    count += wire.sequence is not None
    count += wire.replaces is not None
    count += wire.reason is not None
    if wire.refers_to is not None:
        count += 2 + (wire.refers_to.type is not None)
    if wire.attachments is not None:
        count += 1 + sum(
            1 + (one.id is not None) + (one.price is not NULL) for one in wire.attachments
        )
    return count
