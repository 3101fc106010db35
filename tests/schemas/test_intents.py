"""What counts as a ProductionWorkflowIntent, and with which field the rest is refused."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.campaigns import CampaignBudget, CampaignOrder, message_data, order_of
from schemas.errors import InvalidInput
from schemas.intents import (
    VALUE_BYTES_MAX,
    Trace,
    decode_intent,
    encode_intent,
    parse_intent,
)
from schemas.metadata import BYTES_MAX
from schemas.segments import Segment
from schemas.times import DAY_MS, HOUR_MS, render_time
from tests.schemas.refused import NOON, SENTINEL


def intent(**fields: Any) -> dict[str, Any]:
    return {
        "type": "message_generation",
        "userId": "operator",
        "creatorId": "creator",
        "recipientId": "fan",
        "data": {"instruction": "say hello"},
        **fields,
    }


def encoded(**fields: Any) -> bytes:
    return json.dumps(intent(**fields)).encode()


def judged(**fields: Any) -> bytes:
    return encoded(type="content_validation", **{"data": {"content": "a draft"}, **fields})


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "$"),
    "no JSON": (b"{", "$"),
    "a list": (b"[]", "$"),
    "malformed UTF-8": (b'{"type":"\xff"}', "$"),
    "an unknown type": (encoded(type=SENTINEL), "type"),
    "an unknown priority": (encoded(priority=SENTINEL), "priority"),
    "an unknown provider": (encoded(forceProvider=SENTINEL), "forceProvider"),
    "no user": (
        json.dumps({k: v for k, v in intent().items() if k != "userId"}).encode(),
        "userId",
    ),
    "a blank user": (encoded(userId=" "), "userId"),
    "nobody as creator": (encoded(creatorId="null"), "creatorId"),
    "no recipient": (encoded(recipientId=None), "recipientId"),
    "an invisible recipient": (encoded(recipientId="fan\u200b"), "recipientId"),
    "data that is a list": (encoded(data=[]), "data"),
    "large data": (encoded(data={"x": "x" * BYTES_MAX}), "data"),
    "1 MiB of data": (encoded(data={"x": SENTINEL * (1 << 16)}), "data"),
    "1 MiB of something else": (encoded(unknown="x" * VALUE_BYTES_MAX), "$"),
    "1 MiB of no JSON": (b"{" * VALUE_BYTES_MAX + b" ", "$"),
    "deep data": (encoded(data=json.loads('{"x":' * 9 + "1" + "}" * 9)), "data"),
    "NUL in data": (encoded(data={"x": "\0"}), "data"),
    "a key twice": (encoded()[:-1] + b',"userId":"other"}', "userId"),
    "11 platforms": (encoded(platforms=[f"p{n}" for n in range(11)]), "platforms"),
    "a platform with spaces": (encoded(platforms=["Only Fans"]), "platforms"),
    "a blank content type": (encoded(contentType=" "), "contentType"),
    "a blank id": (encoded(intentId=""), "intentId"),
    "a long id": (encoded(intentId="x" * 256), "intentId"),
    "a past deadline": (encoded(deadline=render_time(NOON)), "deadline"),
    "a deadline without zone": (encoded(deadline="2030-01-01T00:00:00"), "deadline"),
    "a far deadline": (encoded(deadline=render_time(NOON + 31 * DAY_MS)), "deadline"),
    "never": (
        encoded(notBefore=render_time(NOON + 2), deadline=render_time(NOON + 2)),
        "notBefore",
    ),
    "a trace without user": (encoded(traceContext={"traceId": "t"}), "traceContext.userId"),
    "a trace with spaces": (
        encoded(traceContext={"traceId": "t t", "userId": "u"}),
        "traceContext.traceId",
    ),
    "a judgement of nothing": (judged(data={}), "data.content"),
    "a judgement of blanks": (judged(data={"content": " \u200b"}), "data.content"),
    "a judgement of a book": (judged(data={"content": "x" * 4_001}), "data.content"),
    "a judgement that is sent": (judged(sendToOnlyFans=True), "sendToOnlyFans"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_refused_with_its_field(case: str) -> None:
    value, field = REFUSED[case]
    with pytest.raises(InvalidInput) as refusal:
        parse_intent(value, NOON)
    assert refusal.value.field == field
    assert 0 < len(refusal.value.reason) < 200
    assert SENTINEL not in str(refusal.value)


CAMPAIGN = {"segment": {"level": "high"}, "instruction": "Say hello."}


def campaign(**data: Any) -> bytes:
    return encoded(type="campaign_execution", recipientId=None, data=CAMPAIGN | data)


def test_a_campaign_says_whom_it_is_for_and_waits_behind_what_fans_ask() -> None:
    found = parse_intent(campaign(), NOON)
    assert (found.priority, found.recipient_id) == ("low", None)
    order = order_of(json.loads(found.data))
    assert order == CampaignOrder(Segment(level="high"), "Say hello.")
    more = {"name": "Hello", "perMinute": 5, "budget": {"money": "1.50", "tokens": 9}}
    data = CAMPAIGN | more | {"preview": True, "offers": [], "tone": "dry"}
    order = order_of(data)
    assert order.budget == CampaignBudget(Decimal("1.50"), 9)
    assert (order.name, order.per_minute, order.preview) == ("Hello", 5, True)
    assert message_data(data) == {"instruction": "Say hello.", "offers": [], "tone": "dry"}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"segment": None}, "data.segment"),
        ({"segment": "everybody"}, "data.segment"),
        ({"segment": {"levle": "high"}}, "data.segment"),
        ({"segment": {"level": "huge"}}, "data.segment"),
        ({"segment": {"minScore": 2}}, "data.segment"),
        ({"segment": {"minScore": 0.9, "maxScore": 0.1}}, "data.segment.minScore"),
        ({"segment": {"pattern": "none"}}, "data.segment.pattern"),
        ({"instruction": None}, "data.instruction"),
        ({"instruction": " \u200b"}, "data.instruction"),
        ({"instruction": "x" * 4_001}, "data.instruction"),
        ({"name": "x\ny"}, "data.name"),
        ({"perMinute": 0}, "data.perMinute"),
        ({"perMinute": 1.5}, "data.perMinute"),
        ({"budget": {"money": -1}}, "data.budget.money"),
        ({"budget": {"money": "NaN"}}, "data.budget.money"),
        ({"budget": {"dollars": 1}}, "data.budget"),
        ({"budget": 5}, "data.budget"),
        ({"preview": "yes"}, "data.preview"),
        ({"limits": ["x" * 2_000] * 5}, "data"),
    ],
)
def test_a_campaign_that_can_not_be_is_refused_with_its_field(
    data: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_intent(campaign(**data), NOON)
    assert refusal.value.field == field


def test_a_campaign_has_no_recipient() -> None:
    with pytest.raises(InvalidInput, match="does not belong") as refusal:
        parse_intent(encoded(type="campaign_execution", data=CAMPAIGN), NOON)
    assert refusal.value.field == "recipientId"


def test_the_least_intent_has_defaults_for_the_rest() -> None:
    found = parse_intent(encoded(), NOON)
    assert (found.priority, found.send, found.platform) == ("medium", False, "onlyfans")
    assert found.intent_id is found.trace is found.deadline is found.not_before is None
    assert json.loads(found.data) == {"instruction": "say hello"}


def test_everything_that_may_be_given_is_kept() -> None:
    value = encoded(
        platforms=["fansly", "onlyfans", "fansly"],
        contentType="photo",
        sendToOnlyFans=True,
        requiresMultiPlatform=True,
        forceProvider="azure",
        priority="critical",
        traceContext={"traceId": "t", "spanId": "s", "workflowId": "w", "userId": "u"},
        intentId="mine",
        deadline=render_time(NOON + HOUR_MS),
        notBefore=render_time(NOON + 1),
        later="unknown fields are for later releases",
    )
    found = parse_intent(value, NOON)
    assert found.platforms == ("fansly", "onlyfans")
    assert found.platform == "fansly"
    assert (found.content_type, found.send, found.multi_platform) == ("photo", True, True)
    assert (found.force_provider, found.priority) == ("azure", "critical")
    assert found.trace == Trace("t", "u", "s", "w")
    assert (found.intent_id, found.deadline) == ("mine", NOON + HOUR_MS)
    assert found.not_before == NOON + 1
    assert decode_intent(encode_intent(found)) == found


def test_null_is_absent() -> None:
    optional = ("platforms", "contentType", "sendToOnlyFans", "forceProvider", "priority")
    more = ("traceContext", "intentId", "deadline", "notBefore", "requiresMultiPlatform")
    value = encoded(**dict.fromkeys((*optional, *more)))
    assert parse_intent(value, NOON) == parse_intent(encoded(), NOON)


def test_a_plan_needs_no_fan() -> None:
    found = parse_intent(encoded(type="content_planning", recipientId=None), NOON)
    assert found.recipient_id is None


def test_a_recipient_is_known_in_its_normal_form() -> None:
    assert parse_intent(encoded(recipientId="Zoe\u0308"), NOON).recipient_id == "Zo\xeb"


def test_nesting_beyond_the_parser_is_refused() -> None:
    with pytest.raises(InvalidInput):
        parse_intent(b'{"data":' * 60_000, NOON)


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_nothing_but_a_refusal_is_raised(value: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_intent(value, NOON)
