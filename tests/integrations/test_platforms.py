"""What all platforms promise: the same names, and nothing that they are sent makes them raise."""

import ast
import inspect
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations import generic
from integrations.converted import Context, Unfit, encode
from integrations.platforms import PLATFORMS

NAMES = st.sampled_from(
    ["event", "payload", "type", "data", "object", "id", "user", "message", "messages", "text",
     "media", "attachments", "createdAt", "created", "amount", "currency", "customer", "email",
     "fromUser", "senderId", "attributes", "relationships", "last_charge_status", "timestamp_ms",
     "sender_name", "content", "from_id", "date_unixtime", "entry", "messaging", "timestamp",
     "last_charge_date", "price", "replacePairs", "{AMOUNT}", "reactions", "recent", "chats",
     "list"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["messages.received", "messages.sent", "tips.received", "messages.ppv.unlocked", "message",
     "subscriptions.renewed", "fansly.messages.received", "fansly.tips.received", "donation",
     "charge.succeeded", "charge.refunded", "Donation", "Subscription", "member", "Paid",
     "Refunded", "instagram", "personal_chat", "usd", "jpy", "$25", "\ud800",
     "2026-11-20T10:00:00Z",
     "user5", "transactions.new", "messages.deleted", "charge.dispute.funds_withdrawn"]
)  # fmt: skip
NUMBERS = st.integers() | st.floats() | st.decimals()
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=9) | WORDS
PAYLOADS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
MAPPING = generic.check(
    {
        "rules": [
            {
                "each": "/messages",
                "fields": {
                    "fanId": "/id",
                    "type": "/type",
                    "eventId": "/id",
                    "timestamp": "/created",
                    "amount": {"at": "/amount", "digits": 3},
                    "attachments": "/attachments",
                    "content": "/text",
                },
            }
        ]
    }
)
CONTEXT = Context(received=1_795_176_000_000, mapping=MAPPING)


@pytest.mark.parametrize("name", PLATFORMS)
@given(payload=PAYLOADS)
def test_whatever_is_sent_becomes_events_or_a_reason(name: str, payload: Any) -> None:
    for options in ({}, {"money": "transactions", "tips": "messages"}):
        found = PLATFORMS[name].events(payload, replace(CONTEXT, options=options))
        assert found.events or found.skipped or found.unaddressed
        for event in found.events:
            assert event["fanId"].strip()
            assert event["eventId"]
            assert json.loads(encode("creator", event))["creatorId"] == "creator"
        for event in found.unaddressed:
            assert "fanId" not in event
            assert event["refersTo"]["type"]
            assert event["refersTo"]["eventId"]
        for reason, _ in found.skipped:
            assert reason
            assert len(reason) < 100


@pytest.mark.parametrize("name", PLATFORMS)
@given(body=st.binary(max_size=60))
def test_whatever_is_posted_is_read_or_unfit(name: str, body: bytes) -> None:
    try:
        PLATFORMS[name].read(body)
    except Unfit as unfit:
        assert str(unfit)


@pytest.mark.parametrize("name", PLATFORMS)
def test_depth_and_long_numbers_end_nothing(name: str) -> None:
    for body in (b"[" * 100_000, b'{"type":' * 100_000, b'{"id": ' + b"9" * 5_000 + b"}"):
        try:
            payload = PLATFORMS[name].read(body)
        except Unfit:
            continue
        assert PLATFORMS[name].events(payload, CONTEXT).skipped


@pytest.mark.parametrize("name", PLATFORMS)
def test_each_says_what_it_does_with_everything(name: str) -> None:
    module = inspect.getmodule(PLATFORMS[name].events)
    assert module is not None
    text = " ".join((module.__doc__ or "").lower().split())
    assert PLATFORMS[name].NATURAL_ID
    for told in ("natural id", "amounts", "refunds", "renewals", "likes", "edits", "media"):
        assert told in text, told
    assert "signed" in text or "no webhooks" in text


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_reason_repeats_nothing_of_what_was_sent(name: str) -> None:
    """Reasons are texts of ours: no f-string, no concatenation."""
    module = inspect.getmodule(PLATFORMS[name].events)
    assert module is not None
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Unfit":
            for argument in node.args:
                assert not isinstance(argument, ast.JoinedStr | ast.BinOp), ast.unparse(node)
