"""Segments: conditions are read strictly, and refused by their name."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pytest import mark, raises

from schemas.errors import InvalidInput
from schemas.segments import FIELDS, PATTERNS, Segment, parse_segment

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_every_condition_is_read_from_text() -> None:
    given_all = {
        "sentiment": "negative",
        "level": "high",
        "minScore": "0.25",
        "maxScore": "1",
        "topic": "travel",
        "pattern": "buys:photo",
        "minRevenue": "-3.5",
        "maxRevenue": "100",
        "activeSince": "2026-01-02T05:04:05+02:00",
        "silentSince": "2026-01-02T03:04:06Z",
        "signal": "distress",
        "signalSince": "2026-01-02T03:04:07Z",
        "waiting": "true",
    }
    assert tuple(given_all) == FIELDS
    found = parse_segment(given_all)
    assert found == Segment(
        "negative",
        "high",
        0.25,
        1.0,
        "travel",
        "buys:photo",
        -3.5,
        100.0,
        MOMENT,
        MOMENT.replace(second=6),
        "distress",
        MOMENT.replace(second=7),
        True,
    )
    assert (found.min_revenue_cents, found.max_revenue_cents) == (-350, 10_000)
    assert found.active_since_ms == 1_767_323_045_000


def test_no_condition_means_every_fan_and_what_is_none_is_not_looked_at() -> None:
    assert parse_segment({"fanId": "somebody"}) == Segment()
    assert msgspec.json.encode(Segment()) == b"{}"


@mark.parametrize(
    ("field", "text", "fix"),
    [
        ("sentiment", "happy", "positive"),
        ("sentiment", "", "positive"),
        ("level", "HIGH", "high, medium, low"),
        ("minScore", "1.01", "from 0 to 1"),
        ("minScore", "-0.1", "from 0 to 1"),
        ("maxScore", "nan", "decimal"),
        ("maxScore", "inf", "decimal"),
        ("maxScore", "1e-1", "decimal"),
        ("maxScore", "0,5", "decimal"),
        ("maxScore", "٠", "decimal"),
        ("topic", "", "1 to 64"),
        ("topic", "x" * 65, "1 to 64"),
        ("topic", "a\x00b", "control"),
        ("pattern", "whale", "repeat_buyer"),
        ("pattern", "buys:", "1 to 64"),
        ("minRevenue", "9.999", "2 digits"),
        ("maxRevenue", "99999999999", "from -10000000000"),
        ("activeSince", "2026-01-02", "RFC 3339"),
        ("activeSince", "2026-01-02T03:04:05", "zone"),
        ("silentSince", "0001-01-01T00:00:00+14:00", "RFC 3339"),
        ("signal", "despair", "one of distress, refund, leaving"),
        ("signalSince", "2026-01-02T03:04:05Z", "needs a signal"),
    ],
)
def test_a_bad_condition_is_named_with_what_would_be_right(field: str, text: str, fix: str) -> None:
    with raises(InvalidInput) as refused:
        parse_segment({field: text})
    assert refused.value.field == field
    assert fix in refused.value.reason
    assert len(text) < 5 or text not in str(refused.value)


@mark.parametrize(
    ("field", "conditions"),
    [
        ("minScore", {"minScore": "0.5", "maxScore": "0.4"}),
        ("minRevenue", {"minRevenue": "2", "maxRevenue": "1.99"}),
        ("activeSince", dict.fromkeys(("activeSince", "silentSince"), "2026-01-02T03:04:05Z")),
    ],
)
def test_conditions_that_nobody_can_meet_are_refused(
    field: str, conditions: dict[str, str]
) -> None:
    with raises(InvalidInput) as refused:
        parse_segment(conditions)
    assert refused.value.field == field


moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
conditions = st.fixed_dictionaries(
    {},
    optional={
        "sentiment": st.sampled_from(("positive", "neutral", "negative")),
        "level": st.sampled_from(("high", "medium", "low")),
        "min_score": st.floats(0, 0.5),
        "max_score": st.floats(0.5, 1),
        "topic": st.text(st.characters(codec="utf-8", min_codepoint=160), min_size=1, max_size=64),
        "pattern": st.sampled_from((*PATTERNS, "buys:video")),
        "min_revenue": st.integers(-(10**6), 0).map(lambda cents: cents / 100),
        "max_revenue": st.integers(0, 10**6).map(lambda cents: cents / 100),
        "active_since": moments,
    },
)


@given(conditions)
def test_a_segment_is_the_same_after_json(conditions: dict[str, Any]) -> None:
    segment = Segment(**conditions)
    assert msgspec.json.decode(msgspec.json.encode(segment), type=Segment) == segment


def test_a_condition_that_nobody_knows_is_refused_in_json() -> None:
    with raises(msgspec.ValidationError, match="minScor"):
        msgspec.json.decode(b'{"minScor": 0.5}', type=Segment)
    with raises(InvalidInput, match="maxRevenue"):
        msgspec.json.decode(b'{"maxRevenue": 0.001}', type=Segment)
