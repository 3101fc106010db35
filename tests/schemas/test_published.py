"""What is published of the contract's types says what is parsed and encoded."""

from typing import Any

import msgspec
import pytest

from schemas.answers import Data, ErrorBody, Outcome, Written
from schemas.bulk import FANS_MAX, BulkRequest, parse_bulk
from schemas.context import EngagementScore
from schemas.errors import InvalidInput
from schemas.events import Wire, parse_interaction
from schemas.published_event import Batch, InteractionEvent

MESSAGE: dict[str, Any] = {
    "fanId": "f",
    "creatorId": "c",
    "type": "message",
    "timestamp": "2026-01-01T00:00:00Z",
    "content": "hi",
}
NOW = 1_800_000_000_000


def test_the_published_event_has_the_fields_of_the_parsed_one() -> None:
    names = [field.encode_name for field in msgspec.structs.fields(InteractionEvent)]
    assert names == [field.encode_name for field in msgspec.structs.fields(Wire)]


@pytest.mark.parametrize(
    "change",
    [
        {"fanId": ""},
        {"creatorId": "c" * 256},
        {"type": "wink"},
        {"timestamp": "yesterday"},
        {"eventId": ""},
        {"type": "tip", "amount": -1},
        {"type": "tip", "amount": "5"},
        {"attachments": [{"type": "photo"}] * 41},
        {"refersTo": {"type": "message"}},
    ],
    ids=str,
)
def test_what_the_published_schema_refuses_is_refused(change: dict[str, Any]) -> None:
    event = msgspec.json.encode(MESSAGE | change)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(event, type=InteractionEvent)
    with pytest.raises(InvalidInput):
        parse_interaction(event, NOW)


def test_what_is_taken_fits_the_published_schema() -> None:
    tip = MESSAGE | {"type": "tip", "amount": 5.25, "currency": "EUR", "eventId": "e"}
    events = msgspec.json.encode([MESSAGE, tip])
    assert len(msgspec.json.decode(events, type=Batch)) == 2
    for event in (MESSAGE, tip):
        parse_interaction(msgspec.json.encode(event), NOW)


def test_an_answer_reads_as_it_was_written() -> None:
    score = EngagementScore("f", "c", 0.5, "2026-01-01T00:00:00.000Z", "journal-0:1")
    answer = Data(correlation_id="id", data=score, timestamp="2026-01-01T00:00:00.000Z")
    encoded = msgspec.json.encode(answer)
    assert b'"degraded"' not in encoded
    assert msgspec.json.decode(encoded, type=Data[EngagementScore]) == answer
    for body, kind in (
        (b'{"correlationId":"i","success":true,"timestamp":"t","position":"p-0:1"}', Written),
        (b'{"correlationId":"i","error":"e","details":"d","type":"TIMEOUT"}', ErrorBody),
        (b'{"error":"e","field":null}', Outcome),
    ):
        assert msgspec.json.encode(msgspec.json.decode(body, type=kind)) == body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"fanIds": [], "creatorId": "c"}', "fanIds"),
        (b'{"fanIds": ["f"], "creatorId": "null"}', "creatorId"),
        (b'{"fanIds": ["f", " "], "creatorId": "c"}', "fanIds"),
        (b'{"fanIds": ["\xff"], "creatorId": "c"}', "$"),
        (b'{"fanIds": ["f"]}', "creatorId"),
        (b"[" * 100_000, "$"),
    ],
)
def test_a_bulk_request_is_refused_by_its_field(body: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_bulk(body)
    assert refused.value.field == field


def test_a_bulk_request_holds_up_to_a_hundred() -> None:
    asked = BulkRequest([f"f{number}" for number in range(FANS_MAX)], "c")
    assert parse_bulk(msgspec.json.encode(asked)) == asked
