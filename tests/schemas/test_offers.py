"""What metadata says of offers, and what it does not."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pytest import mark

from schemas.details import NO_DETAILS, Mention
from schemas.events import parse_interaction
from schemas.journal import entry_of
from schemas.offers import MENTIONS_MAX, NAMES, mentions_in
from schemas.rendered import render_interaction


def parsed(metadata: Any, kind: str = "message", **more: Any) -> tuple[Mention, ...]:
    event = {
        "fanId": "fan",
        "creatorId": "creator",
        "type": kind,
        "content": "text",
        "timestamp": "2024-11-12T12:00:00Z",
        "metadata": metadata,
    }
    if kind == "message":
        event["sender"] = "creator"
    found = parse_interaction(json.dumps(event | more).encode(), 2**42)
    again = render_interaction(("creator", "fan"), entry_of(found, "id", None))
    told, retold = (one.details or NO_DETAILS for one in (found, parse_interaction(again, 2**42)))
    assert told.offers == retold.offers
    return told.offers


def test_a_creator_pitches_promises_and_delivers() -> None:
    metadata = {
        "offers": ["beach", {"id": "shower", "price": 14.99}],
        "promises": ["beach"],
        "delivers": [{"id": "shower", "price": 3}],
    }
    assert parsed(metadata) == (
        Mention("pitched", "beach"),
        Mention("pitched", "shower", 1499),
        Mention("promised", "beach"),
        Mention("delivered", "shower"),
    )
    assert parsed(metadata, currency="JPY")[1] == Mention("pitched", "shower"), "no such yen"


def test_a_fan_buys_and_declines() -> None:
    bought = parsed({"offers": ["beach"], "declines": ["x"]}, "purchase", amount=5)
    assert bought == (Mention("bought", "beach"),)
    assert parsed({"declines": ["beach"], "offers": ["x"]}, sender="fan") == (
        Mention("declined", "beach"),
    )
    assert parsed({"offers": ["beach"]}, "tip", amount=5) == ()


@mark.parametrize(
    "offers",
    ["beach", {"id": "beach"}, None, 7, [7, None, "", " ", "a" * 65, "a\u0001", ["b"], {"id": 7}]],
)
def test_what_names_no_offer_is_kept_and_says_nothing(offers: Any) -> None:
    assert parsed({"offers": offers}) == ()


@mark.parametrize("price", [0, -5, "5", True, 1e300, 0.001, None, [], 10**13])
def test_a_price_that_is_none_is_left_out(price: Any) -> None:
    assert parsed({"offers": [{"id": "beach", "price": price}]}) == (Mention("pitched", "beach"),)


def test_of_many_the_first_count_each_once() -> None:
    names = ["a", "a", *(str(number) for number in range(20))]
    found = parsed({"offers": names})
    assert [one.id for one in found] == ["a", *(str(n) for n in range(MENTIONS_MAX - 2))]


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=70)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(("offers", "promises", "declines")), json_values),
    st.sampled_from([*NAMES]),
)
def test_whatever_stands_there_is_understood_or_left(
    metadata: dict[str, Any], where: tuple[Any, str]
) -> None:
    for one in mentions_in(metadata, *where, "KWD"):
        assert 0 < len(one.id) <= 64
        assert one.price is None or 0 < one.price <= 10**12
