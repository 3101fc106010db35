"""What was offered before, against what a draft offers now."""

import json
from typing import Any

import msgspec
import pytest

from llm.checks import check
from llm.material import Material
from llm.prompts import compose, material_in
from llm.providers.template import Template, verdict
from llm.results import Claim, Reply, Verdict, parse
from schemas.context import OfferState, OfferStatus
from tests.llm.material import Said, context, message

CATALOGUE = [
    {"id": "beach", "title": "Beach set", "price": 15, "currency": "USD"},
    {"id": "shower", "title": "Shower clip", "price": 20},
]
SAID: tuple[Said, ...] = (("fan", "I really enjoyed our long talk about music yesterday evening."),)


def line(id: str = "beach", status: OfferStatus = "pitched", **more: Any) -> OfferState:
    fields: dict[str, Any] = {"pitches": 1, "price": 15.0, "currency": "USD"} | more
    return OfferState(id, status, **fields)


def asked(*lines: OfferState, type: Any = "content_validation", **data: Any) -> Material:
    """With the third message of the creator's having named the beach set."""
    named = message(3, "creator", "Look what I made for you", offers=[{"id": "beach"}])
    known = context(*SAID)
    known = msgspec.structs.replace(
        known, offers=lines or msgspec.UNSET, recent_messages=(*known.recent_messages, named)
    )
    return Material(type, "creator-17", {"offers": CATALOGUE} | data, "fan-4711", known)


def flags_of(draft: str, *lines: OfferState, **data: Any) -> set[str]:
    material = asked(*lines, content=draft, **data)
    approved = Verdict(verdict="approve", reasons=())
    return {flag.code for flag in check(approved, material, compose(material))}


def judged(draft: str, *lines: OfferState, **data: Any) -> Verdict:
    return verdict(material_in(compose(asked(*lines, content=draft, **data))))


DRAFT = "I have a new beach  SET for you, tell me if you want it!"


@pytest.mark.parametrize(
    ("known", "flag", "reason"),
    [
        (line(), "pitched", "repeated_offer"),
        (line(status="declined"), "pitched", "repeated_offer"),
        (line(status="bought", paid=15.0), "bought", "repeated_offer"),
        (line(status="promised", pitches=0), "promised", "contradicted_promise"),
    ],
)
def test_what_was_offered_bought_or_promised_before_is_found_and_cited(
    known: OfferState, flag: str, reason: str
) -> None:
    assert flags_of(DRAFT, known) == {flag}
    found = judged(DRAFT, known)
    assert found.verdict == "revise"
    assert [(one.code, one.message_ids) for one in found.reasons] == [(reason, ("m-3",))]


@pytest.mark.parametrize("before", [9.99, 25.0])
def test_another_price_than_before_is_found(before: float) -> None:
    known = line(status="promised", pitches=0, price=before)
    assert flags_of(DRAFT, known) == {"promised", "price_changed"}
    assert "price_changed" in {one.code for one in judged(DRAFT, known).reasons}
    other = line(status="promised", pitches=0, price=before, currency="EUR")
    assert flags_of(DRAFT, other) == {"promised"}, "nobody compares euros with dollars"


def test_an_offer_of_no_message_that_is_shown_is_cited_by_its_own_name() -> None:
    (reason,) = judged("My shower clip is waiting", line("shower", price=20.0)).reasons
    assert reason.message_ids == ("shower",)
    material = asked(line("shower", price=20.0), content="My shower clip is waiting")
    found = verdict(material_in(compose(material)))
    assert {flag.code for flag in check(found, material, compose(material))} == {"pitched"}


def test_an_offer_is_meant_by_its_id_without_a_title_in_the_text() -> None:
    draft = "Want to see what I made?"
    assert flags_of(draft, line()) == set()
    assert flags_of(draft, line(), offerIds=["beach", "unknown", 7]) == {"pitched"}
    assert judged(draft, line(), offerIds=["beach"]).reasons[0].code == "repeated_offer"


def test_what_was_never_offered_is_fine() -> None:
    assert flags_of(DRAFT) == flags_of(DRAFT, line("shower")) == set()
    assert judged(DRAFT, line("shower")).verdict == "approve"


@pytest.mark.parametrize("kind", ["offer", "price", "promise"])
def test_a_reply_that_offers_it_again_is_flagged_by_its_claim(kind: Any) -> None:
    material = asked(line(status="bought"), type="message_generation")
    claim = Claim(kind=kind, text="it", evidence=("beach",))
    reply = Reply(
        action="send", messages=("It is yours!",), language="en", claims=(claim,), reason="why"
    )
    found = check(reply, material, compose(material))
    assert ("bought", "claims.0.evidence") in found
    fact = reply.model_copy(update={"claims": (claim.model_copy(update={"kind": "fact"}),)})
    assert "bought" not in {flag.code for flag in check(fact, material, compose(material))}


@pytest.mark.parametrize(
    "data",
    [
        {"offers": "beach"},
        {"offers": [7, {"id": ["x"]}, {"id": "beach", "title": None, "price": "15"}]},
        {"offers": [{"id": "beach", "title": "Beach set", "price": True, "currency": 5}]},
        {"offerIds": {"beach": 1}},
    ],
)
async def test_a_catalogue_of_any_form_breaks_no_template(data: dict[str, Any]) -> None:
    prompt = compose(asked(line(), content=DRAFT, **data))
    answer = await Template().complete(prompt)
    assert isinstance(parse("content_validation", answer.text), Verdict)


def test_the_prompt_holds_the_ledger_and_what_messages_offered() -> None:
    told = material_in(compose(asked(line(), content=DRAFT)))
    (known,) = told["fan"]["offers"]
    assert (known["id"], known["status"], known["price"]) == ("beach", "pitched", 15.0)
    assert [one.get("offers") for one in told["messages"]] == [None, ["beach"]]
    assert "</material>" not in json.dumps(told)
