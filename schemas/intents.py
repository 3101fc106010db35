"""ProductionWorkflowIntent: what the LLM agent is asked to do, and what of it is accepted.

HTTP and Kafka share `parse_intent`, as events share theirs: both refuse the same with the same
words. An intent without an id of its own is known by the position of its record.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from schemas.campaigns import DATA_BYTES_MAX as CAMPAIGN_BYTES_MAX
from schemas.campaigns import order_of
from schemas.characters import has_control, has_visible
from schemas.errors import InvalidInput
from schemas.metadata import BYTES_MAX, encode_metadata
from schemas.refusals import explain, refuse_duplicate_keys
from schemas.relationship import Relationship, check_event_id, check_id
from schemas.times import DAY_MS, from_datetime

IntentType = Literal[
    "content_planning", "message_generation", "content_validation", "campaign_execution"
]
Priority = Literal["low", "medium", "high", "critical"]
ForcedProvider = Literal["azure", "openai"]

INTENT_TYPES: Final[tuple[IntentType, ...]] = get_args(IntentType)
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)
"""From the least urgent on."""

VALUE_BYTES_MAX: Final = 262_144
"""As of an event: 32 KiB `data`, of which each character may be an escape, and room."""
SENDING: Final = frozenset(("message_generation", "campaign_execution"))
"""Types of which messages may be sent."""
PLATFORMS_MAX: Final = 10
CONTENT_LENGTH_MAX: Final = 4_000
"""Of the draft that `content_validation` judges, characters."""
WAIT_MS_MAX: Final = 30 * DAY_MS
"""How far `notBefore` and `deadline` may lie ahead."""


class Trace(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Where this work belongs among its caller's. Ids only, of at most 128 characters."""

    trace_id: str
    user_id: str
    span_id: str | None = None
    workflow_id: str | None = None


class Intent(msgspec.Struct, frozen=True, gc=False):
    """An accepted ProductionWorkflowIntent in normal form."""

    type: IntentType
    user_id: str
    creator_id: str
    data: bytes
    """JSON object, as received."""
    priority: Priority = "medium"
    intent_id: str | None = None
    """The sender's own; without one the record's position becomes it."""
    recipient_id: str | None = None
    """The fan that it is about."""
    send: bool = False
    """Whether an approved draft is sent: `sendToOnlyFans`."""
    platforms: tuple[str, ...] = ()
    content_type: str | None = None
    multi_platform: bool = False
    force_provider: ForcedProvider | None = None
    trace: Trace | None = None
    deadline: int | None = None
    """After it nothing is done any more, ms since the epoch."""
    not_before: int | None = None
    """Before it nothing is sent, ms since the epoch."""

    @property
    def platform(self) -> str:
        """Whose rules a send obeys: those of the first platform named, else of OnlyFans."""
        return self.platforms[0] if self.platforms else "onlyfans"


class IntentWire(msgspec.Struct, rename="camel", gc=False):
    """The JSON shape. Unknown fields are ignored; null is absent for every optional one."""

    type: IntentType
    user_id: str
    creator_id: str
    data: dict[str, Any]
    platforms: list[str] | None = None
    content_type: str | None = None
    send_to_only_fans: bool | None = msgspec.field(default=None, name="sendToOnlyFans")
    recipient_id: str | None = None
    requires_multi_platform: bool | None = None
    force_provider: ForcedProvider | None = None
    priority: Priority | None = None
    trace_context: Trace | None = None
    intent_id: str | None = None
    deadline: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    not_before: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


_decode = msgspec.json.Decoder(IntentWire).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_FIELDS: Final = frozenset(field.encode_name for field in msgspec.structs.fields(IntentWire))
_platform = re.compile("[a-z][a-z0-9_-]{0,31}").fullmatch
_trace_id = re.compile("[!-~]{1,128}").fullmatch
_ENUMS: Final = {
    "priority": "must be one of " + ", ".join(PRIORITIES),
    "forceProvider": "must be one of " + ", ".join(get_args(ForcedProvider)),
}
_TIMES: Final = frozenset(("deadline", "notBefore"))


def parse_intent(value: bytes, arrived: int) -> Intent:
    """Validate one ProductionWorkflowIntent.

    `arrived` is when it came, ms. Raises `InvalidInput` with the public name of the field and a
    reason that repeats no value; never anything else.
    """
    try:
        return _parse(value, arrived)
    except UnicodeDecodeError:
        raise InvalidInput("$", "must be valid UTF-8") from None
    except RecursionError:
        raise InvalidInput("$", "is nested too deeply") from None


class _Addressed(msgspec.Struct, rename="camel", gc=False):
    creator_id: str
    recipient_id: str


_decode_addressed: Final = msgspec.json.Decoder(_Addressed).decode


def recipient_in(value: bytes | None) -> Relationship | None:
    """Whom an intent is about, whatever else is wrong with it; None where it names nobody."""
    try:
        named = _decode_addressed(value or b"")
        return check_id("creatorId", named.creator_id), check_id("recipientId", named.recipient_id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidInput):
        return None


def encode_intent(intent: Intent) -> bytes:
    """An accepted intent as the store keeps it, sealed."""
    return _encode_intent(intent)


def decode_intent(value: bytes) -> Intent:
    """What `encode_intent` wrote."""
    return _decode_intent(value)


_encode_intent = msgspec.msgpack.Encoder().encode
_decode_intent = msgspec.msgpack.Decoder(Intent).decode


def _parse(value: bytes, arrived: int) -> Intent:
    if not value:
        raise InvalidInput("$", "must not be empty")
    if len(value) > VALUE_BYTES_MAX:
        raise _too_large(value)
    try:
        wire = _decode(value)
    except msgspec.DecodeError as error:
        raise _refusal(error, value) from None
    refuse_duplicate_keys(value, _FIELDS)
    data = encode_metadata(wire.data, "data")
    intent = Intent(
        type=wire.type,
        user_id=check_id("userId", wire.user_id),
        creator_id=check_id("creatorId", wire.creator_id),
        data=data,
        priority=wire.priority or ("low" if wire.type == "campaign_execution" else "medium"),
        intent_id=_intent_id(wire.intent_id),
        recipient_id=_recipient(wire),
        send=_send(wire),
        platforms=_platforms(wire.platforms),
        content_type=_content_type(wire.content_type),
        multi_platform=bool(wire.requires_multi_platform),
        force_provider=wire.force_provider,
        trace=_trace(wire.trace_context),
        deadline=_ahead("deadline", wire.deadline, arrived),
        not_before=_ahead("notBefore", wire.not_before, arrived),
    )
    _check_times(intent, arrived)
    if intent.type == "content_validation":
        _check_content(wire.data)
    if intent.type == "campaign_execution":
        if len(data) > CAMPAIGN_BYTES_MAX:
            raise InvalidInput("data", f"of a campaign must be at most {CAMPAIGN_BYTES_MAX} bytes")
        order_of(wire.data)
    return intent


def _too_large(value: bytes) -> InvalidInput:
    """Which part is: nearly always `data`, which its sender can be told."""
    try:
        parts = _decode_any(value)
        if isinstance(parts, dict) and len(_encode(parts.get("data"))) > BYTES_MAX:
            return InvalidInput("data", f"must be at most {BYTES_MAX} bytes")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError):
        pass
    return InvalidInput("$", f"must be at most {VALUE_BYTES_MAX} bytes")


def _refusal(error: msgspec.DecodeError, value: bytes) -> InvalidInput:
    refusal = explain(error, value, _FIELDS, INTENT_TYPES)
    if refusal.field in _ENUMS:
        return InvalidInput(refusal.field, _ENUMS[refusal.field])
    if refusal.field in _TIMES:
        reason = "must be an RFC 3339 time with a zone, such as 2024-11-12T10:30:00Z"
        return InvalidInput(refusal.field, reason)
    return refusal


def _intent_id(value: str | None) -> str | None:
    if value is not None:
        check_event_id("intentId", value)
    return value


def _recipient(wire: IntentWire) -> str | None:
    if wire.recipient_id is not None:
        if wire.type == "campaign_execution":
            raise InvalidInput("recipientId", "does not belong to campaign_execution")
        return check_id("recipientId", wire.recipient_id)
    if wire.type == "message_generation":
        raise InvalidInput("recipientId", "is required for message_generation")
    return None


def _send(wire: IntentWire) -> bool:
    if wire.send_to_only_fans and wire.type not in SENDING:
        raise InvalidInput("sendToOnlyFans", f"does not belong to {wire.type}")
    return bool(wire.send_to_only_fans)


def _platforms(names: list[str] | None) -> tuple[str, ...]:
    if not names:
        return ()
    if len(names) > PLATFORMS_MAX:
        raise InvalidInput("platforms", f"must name at most {PLATFORMS_MAX}")
    if any(_platform(name) is None for name in names):
        reason = "must be names of lower case letters, digits, - and _, of at most 32 characters"
        raise InvalidInput("platforms", reason)
    return tuple(dict.fromkeys(names))


def _content_type(value: str | None) -> str | None:
    if value is None:
        return None
    if not value or value.isspace() or len(value) > 64 or has_control(value):
        reason = "must be 1 to 64 characters, none a control character"
        raise InvalidInput("contentType", reason)
    return value


def _trace(trace: Trace | None) -> Trace | None:
    if trace is None:
        return None
    parts = {"traceId": trace.trace_id, "spanId": trace.span_id, "workflowId": trace.workflow_id}
    for name, part in parts.items():
        if part is not None and _trace_id(part) is None:
            reason = "must be 1 to 128 printable ASCII characters without spaces"
            raise InvalidInput(f"traceContext.{name}", reason)
    user = check_id("traceContext.userId", trace.user_id)
    return Trace(trace.trace_id, user, trace.span_id, trace.workflow_id)


def _ahead(field: str, time: datetime | None, arrived: int) -> int | None:
    if time is None:
        return None
    found = from_datetime(time)
    if found > arrived + WAIT_MS_MAX:
        raise InvalidInput(field, "must not be more than 30 days ahead")
    return found


def _check_times(intent: Intent, arrived: int) -> None:
    if intent.deadline is None:
        return
    if intent.deadline <= arrived:
        raise InvalidInput("deadline", "must not be past")
    if intent.not_before is not None and intent.not_before >= intent.deadline:
        raise InvalidInput("notBefore", "must be before the deadline")


def _check_content(data: dict[str, Any]) -> None:
    content = data.get("content")
    if not isinstance(content, str) or has_visible(content) is None:
        raise InvalidInput("data.content", "is required for content_validation: the draft's text")
    if len(content) > CONTENT_LENGTH_MAX:
        raise InvalidInput("data.content", f"must be at most {CONTENT_LENGTH_MAX} characters")
