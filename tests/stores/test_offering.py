"""What a draft offers, as the event of its sending says it."""

import json
from typing import Any

import pytest

from stores.workflows.offering import Said, offers_of
from stores.workflows.sealed import Body

CATALOGUE = [
    {"id": "beach", "title": "Beach set", "price": 15, "currency": "eur"},
    {"id": "shower", "title": "Shower clip", "price": 20.5, "currency": "EUR"},
    {"id": "yen", "title": "Kimono", "price": 900, "currency": "JPY"},
]


def said(*claims: tuple[str, list[str]], catalogue: Any = CATALOGUE, **body: Any) -> Said:
    listed = [{"kind": kind, "text": "x", "evidence": evidence} for kind, evidence in claims]
    whole = {"messages": ("My beach set",), "content": "", "provider": "openai"} | body
    return offers_of(
        Body(result={"claims": listed}, **whole), json.dumps({"offers": catalogue}).encode()
    )


def test_claims_that_cite_the_catalogue_are_pitches_and_promises() -> None:
    found = said(("offer", ["beach", "m-1"]), ("price", ["shower"]), ("promise", ["yen"]))
    assert found.metadata == {
        "offers": [{"id": "beach", "price": 15}, {"id": "shower", "price": 20.5}],
        "promises": ["yen"],
    }
    assert found.fields == {"currency": "EUR"}


def test_prices_in_two_currencies_are_left_out() -> None:
    found = said(("offer", ["beach", "yen"]))
    assert found == Said({}, {"offers": [{"id": "beach"}, {"id": "yen"}]})


def test_facts_and_what_is_not_in_the_catalogue_say_nothing() -> None:
    assert said(("fact", ["beach"]), ("offer", ["m-1"])) == Said({}, {})
    assert said() == Said({}, {})


def test_of_what_a_person_wrote_anew_only_what_is_still_said_counts() -> None:
    found = said(("offer", ["beach", "shower"]), provider="person")
    assert found.metadata == {"offers": [{"id": "beach", "price": 15}]}


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "beach", "price": "15", "currency": ["EUR"]},
        {"id": "beach", "price": True, "currency": {}},
        {"id": "beach", "price": -3, "currency": "XXXX"},
        {"id": "beach", "price": 3, "currency": "XXXX"},
    ],
)
def test_an_entry_of_any_form_is_named_without_a_price(entry: dict[str, Any]) -> None:
    assert said(("offer", ["beach"]), catalogue=[entry, 7, "x", {"id": 5}]) == Said(
        {}, {"offers": [{"id": "beach"}]}
    )


@pytest.mark.parametrize("catalogue", [None, "beach", {"id": "beach"}, [None]])
def test_without_a_catalogue_nothing_is_named(catalogue: Any) -> None:
    assert said(("offer", ["beach"]), catalogue=catalogue) == Said({}, {})
