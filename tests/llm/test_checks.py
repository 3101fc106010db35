"""Every check with what it finds and what it must leave alone."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from llm.checks import Flag, check
from llm.likeness import is_like
from llm.material import Material, Spend
from llm.offplatform import ways_off
from llm.prompts import compose
from llm.results import CampaignReport, Claim, Plan, PlanItem, Reason, Reply, Verdict
from llm.speech import squeezed
from schemas.context import Length
from tests.llm.material import context, material

ENGLISH = "I really enjoyed our long talk about music and travelling yesterday evening."
GERMAN = "Ich habe gestern Abend unser langes Gespräch über Musik und Reisen sehr genossen."
OFFERS = [{"id": "o-1", "title": "Video", "price": 12.5, "currency": "USD"}]


def reply(*messages: str, claims: tuple[Claim, ...] = (), language: str = "en") -> Reply:
    return Reply(action="send", messages=messages, language=language, claims=claims, reason="why")


def codes(result: Any, asked: Material) -> set[str]:
    return {flag.code for flag in check(result, asked, compose(asked))}


def of_text(text: str, **more: Any) -> set[str]:
    return codes(reply(text, **more), material(("fan", ENGLISH), data={"offers": OFFERS}))


def test_a_plain_reply_has_no_flag() -> None:
    assert of_text("That was lovely, I still think about it! How is your day?") == set()


def test_another_language_than_the_fans_or_than_it_says_is_flagged() -> None:
    asked = material(("fan", ENGLISH))
    assert Flag("language", "messages") in check(
        reply(GERMAN, language="de"), asked, compose(asked)
    )
    german = material(("fan", GERMAN))
    assert check(reply(GERMAN), german, compose(german)) == (Flag("language", "language"),)
    assert codes(reply(GERMAN, language="de"), german) == set()
    assert codes(reply("❤️", language="de"), german) == set()


@pytest.mark.parametrize(("wanted", "most"), [("short", 200), ("medium", 500), ("long", 1_000)])
def test_much_longer_than_the_fan_likes_is_flagged(wanted: Length, most: int) -> None:
    told = context(("fan", ENGLISH))
    person = msgspec.structs.replace(told.personality_profile, message_length_preference=wanted)
    asked = Material(
        "message_generation",
        "c",
        fan_id="f",
        context=msgspec.structs.replace(told, personality_profile=person),
    )
    text = (ENGLISH * 20)[:most]
    assert "length" not in codes(reply(text), asked)
    assert "length" in codes(reply(text + "!"), asked)


@pytest.mark.parametrize(
    ("text", "sent", "like"),
    [
        ("Hey you, how have you been lately?", "Hey you, how have you been lately??", True),
        ("Hey you, how have things gone at work since Monday morning?",
         "Hey you, how have dinosaurs lived in Patagonia?", True),
        ("I loved the photo of your dog!", "What are you listening to these days?", False),
        ("Thank you!", "Thank you!", False),
        ("", "Thank you!", False),
        ("今日はどうだった？楽しかった？", "今日はどうだった？楽しかった？！", True),
    ],
)  # fmt: skip
def test_a_text_like_one_sent_lately_is_flagged(text: str, sent: str, like: bool) -> None:
    assert is_like(text, (sent,)) is like


def test_two_messages_of_one_reply_that_are_alike_are_flagged() -> None:
    asked = material(("fan", ENGLISH), sent=("Nothing like it at all, really.",))
    again = reply("It was so nice to meet your family.", "It was so nice to meet your family!")
    assert check(again, asked, compose(asked)) == (Flag("likeness", "messages.1"),)


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("look at https://example.org/x", "link"),
        ("h t t p s : / / example", "link"),
        ("hxxps://example", "link"),
        ("www.example.org", "link"),
        ("my site is luna.fans", "link"),
        ("find me on luna dot com", "link"),
        ("luna [dot] net", "link"),
        ("luna(.)org", "link"),
        ("ｌｕｎａ．ｃｏｍ", "link"),
        ("lu\u200bna.com", "link"),
        ("go to 10.0.0.1", "link"),
        ("búscame en luna punto com", "link"),
        ("write to luna@example", "contact"),
        ("luna (at) example", "contact"),
        ("I am @luna_official there", "contact"),
        ("call +49 170 1234567", "contact"),
        ("my telegram is luna", "contact"),
        ("T e l e g r a m", "contact"),
        ("t.e.l.e.g.r.a.m me", "contact"),
        ("tеlеgrаm", "contact"),
        ("add me on snap", "contact"),
        ("what's my number? guess", "contact"),
        ("te paso mi número", "contact"),
        ("пиши мне в телеграм", "contact"),
        ("加我微信吧", "contact"),
        ("تواصل معي على واتساب", "contact"),
        ("use PayPal please", "payment"),
        ("p-a-y-p-a-l", "payment"),
        ("send it to $lunacash", "payment"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "payment"),
        ("DE89 3704 0044 0532 0130 00", "payment"),
        ("4111 1111 1111 1111", "payment"),
        ("per Überweisung bitte", "payment"),
        ("meu pix é esse", "payment"),
        ("переведи на карту", "payment"),
    ],
)
def test_ways_off_the_platform_are_found_also_when_written_around(text: str, way: str) -> None:
    assert way in set(ways_off(text))
    assert way in of_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "I had 3.5 hours of sleep... and 2 coffees. It was worth it!",
        "See you at 10.30, love. Me too!",
        "At this point de facto everything is fine.",
        "Happy 2026! You are 1 in 1,000,000.",
        "C'est un bon point de départ.",
        "The email of my heart: you",
        "I'd signal you if I could, what a nice link between us.",
    ],
)
def test_everyday_words_and_numbers_are_no_ways_off(text: str) -> None:
    assert set(ways_off(text)) == set()


def claim(kind: Any, *evidence: str) -> tuple[Claim, ...]:
    return (Claim(kind=kind, text="x", evidence=evidence),)


@pytest.mark.parametrize(
    "text",
    [
        "It is $12.50 for you", "only 12,50 €", "12.50 dollars", "USD 12.50", "12.5 bucks",
        "cuesta 12,50 dólares", "kostet 12,50 Euro", "всего 12,50 рублей", "12.50元",
    ],
)  # fmt: skip
def test_a_price_needs_evidence_of_that_amount(text: str) -> None:
    assert "price" in of_text(text)
    assert "price" in of_text(text, claims=claim("price"))
    assert "price" in of_text(text, claims=claim("fact", "o-1"))
    assert "price" not in of_text(text, claims=claim("price", "o-1"))
    assert "price" not in of_text(text, claims=claim("offer", "o-1"))
    other = text.replace("12", "11")
    assert "price" in of_text(other, claims=claim("price", "o-1"))


def test_a_price_may_rest_on_a_message_of_the_creators() -> None:
    asked = material(("creator", "The set is $1,200.50 for you"), ("fan", ENGLISH))
    assert codes(reply("It stays $1200.5!", claims=claim("price", "m-1")), asked) == set()
    assert codes(reply("It stays $1200.5!", claims=claim("price", "m-2")), asked) == {"price"}
    priced = material(("fan", ENGLISH))
    told = msgspec.structs.replace(priced.messages[0], id="m-9", metadata={"price": 7})
    asked = Material("message_generation", "c", messages=(*priced.messages, told))
    assert codes(reply("It was $7", claims=claim("price", "m-9")), asked) == set()


@pytest.mark.parametrize(
    "text", ["It is free of charge", "50 % off", "es gratis", "kostenlos", "免费"]
)
def test_giving_away_needs_an_offer(text: str) -> None:
    assert "price" in of_text(text)
    assert "price" not in of_text(text, claims=claim("offer", "o-1"))


@pytest.mark.parametrize(
    "text",
    [
        "I promise it will be fun", "I'll send you a new video tonight", "You will get a refund",
        "Te prometo algo", "Je te promets un cadeau", "Ich verspreche dir etwas",
        "Eu prometo", "Ti prometto una cosa", "обещаю", "我保证",
    ],
)  # fmt: skip
def test_a_promise_needs_something_to_rest_on(text: str) -> None:
    assert "promise" in of_text(text)
    assert "promise" in of_text(text, claims=claim("promise"))
    assert "promise" not in of_text(text, claims=claim("promise", "o-1"))


def test_evidence_that_is_not_in_the_material_is_flagged_in_every_result() -> None:
    asked = material(("fan", ENGLISH))
    assert codes(reply("Lovely!", claims=claim("fact", "m-404")), asked) == {"evidence"}
    assert codes(reply("Lovely!", claims=claim("fact", "m-1")), asked) == set()
    reason = Reason(code="tone", text="stiff", message_ids=("m-404",))
    judged = material(("fan", ENGLISH), type="content_validation", data={"content": ENGLISH})
    assert codes(Verdict(verdict="revise", reasons=(reason,)), judged) == {"evidence"}
    item = PlanItem(topic="a", format="b", when="c", why="d", evidence=("m-404",))
    planned = material(("fan", ENGLISH), type="content_planning")
    assert codes(Plan(summary="x", items=(item,)), planned) == {"evidence"}


def test_a_draft_is_looked_at_whatever_the_verdict_says() -> None:
    draft = "Write me on telegram, I promise you a set for $5"
    asked = material(("fan", GERMAN), type="content_validation", data={"content": draft})
    found = check(Verdict(verdict="approve", reasons=()), asked, compose(asked))
    assert {(flag.code, flag.where) for flag in found} == {
        (code, "data.content") for code in ("contact", "promise", "price", "language")
    }
    unknown = material(("fan", GERMAN), type="content_validation")
    assert codes(Verdict(verdict="approve", reasons=()), unknown) == set()


def test_a_report_has_the_counts_of_the_store() -> None:
    asked = material(
        ("fan", ENGLISH), type="campaign_execution", data={"members": 3, "sent": 2, "failed": 1}
    )
    right: dict[str, Any] = {"members": 3, "sent": 2, "failed": 1, "skipped": 0}
    rest: dict[str, Any] = {"summary": "x", "observations": ("o",), "next_steps": ("n",)}
    assert codes(CampaignReport(**right, **rest), asked) == set()
    wrong = CampaignReport(**(right | {"sent": 3}), **rest)
    assert check(wrong, asked, compose(asked)) == (Flag("counts", "sent"),)


def test_distress_hands_the_fan_to_a_person() -> None:
    asked = material(("fan", "I want to kill myself"), ("creator", "hey"), ("fan", "hi"))
    (flag,) = check(reply("How are you today?"), asked, compose(asked))
    assert flag == Flag("distress", "fan")
    assert flag.hands_off
    assert not Flag("link", "messages.0").hands_off
    nothing = Reply(action="nothing", messages=(), language="en", claims=(), reason="x")
    assert codes(nothing, asked) == {"distress"}


@pytest.mark.parametrize(
    ("day", "usual", "spike"),
    [("100", "25", True), ("99.99", "0", False), ("100", "25.01", False), ("1000", "300", False)],
)
def test_spending_far_above_the_usual_hands_the_fan_to_a_person(
    day: str, usual: str, spike: bool
) -> None:
    asked = material(("fan", ENGLISH), spend=Spend(Decimal(day), Decimal(usual)))
    assert ("spend_spike" in codes(reply("How are you today?"), asked)) is spike


def test_flags_say_where_and_repeat_no_text() -> None:
    asked = material(("fan", ENGLISH))
    found = check(reply("Fine.", "my telegram is SENTINEL"), asked, compose(asked))
    assert found == (Flag("contact", "messages.1"),)


def test_letters_are_compared_without_their_disguise() -> None:
    assert squeezed("T-é L\u200be ｇ_R аm!") == "telegram"
