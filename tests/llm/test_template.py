"""The provider that makes all four results without a model, from the fan's memory, and says so."""

from typing import Any

import msgspec
import pytest

from llm.checks import check
from llm.material import Material
from llm.outcomes import Answered, outcome
from llm.prompts import compose
from llm.providers.template import LABEL, MODEL, Template, phrases
from llm.results import CampaignReport, Plan, Reply, Verdict
from schemas.context import MemoryContext
from schemas.intents import INTENT_TYPES, IntentType
from tests.llm.material import CREATOR, FAN, Said, context, material

GREETINGS = {
    "en": "I had such a wonderful day with my friends, thank you for asking!",
    "es": "Hoy pasé un día maravilloso con mis amigos, gracias por preguntar.",
    "fr": "J'ai passé une merveilleuse journée avec mes amis, merci de demander.",
    "de": "Ich hatte einen wunderbaren Tag mit meinen Freunden, danke der Nachfrage.",
    "pt": "Tive um dia maravilhoso com os meus amigos, obrigado por perguntar.",
    "it": "Ho passato una giornata meravigliosa con i miei amici, grazie.",
}


async def made(asked: Material) -> Any:
    completion = await Template().complete(compose(asked), deadline_seconds=1)
    assert completion.model == MODEL
    assert completion.usage.estimated
    found = outcome(asked.type, completion)
    assert isinstance(found, Answered)
    assert found.result.made_by == "template"
    return found.result


async def replied(*said: Said, **fields: Any) -> Reply:
    found = await made(material(*said, **fields))
    assert isinstance(found, Reply)
    assert LABEL in found.reason
    return found


@pytest.mark.parametrize("kind", INTENT_TYPES)
async def test_the_same_material_gives_the_same_result_of_its_type(kind: IntentType) -> None:
    asked = material(("fan", "hello"), type=kind, data={"content": "hi"})
    assert await made(asked) == await made(asked)
    assert LABEL in (await made(asked)).model_dump_json()


@pytest.mark.parametrize("language", [*GREETINGS])
async def test_a_reply_is_in_the_fans_language_and_has_no_flag(language: str) -> None:
    asked = material(("fan", GREETINGS[language]))
    found = await made(asked)
    assert (found.action, found.language, len(found.messages)) == ("send", language, 1)
    assert check(found, asked, compose(asked)) == ()


def test_every_phrase_is_recognised_as_its_language_and_goes_nowhere_else() -> None:
    asked = {language: material(("fan", text)) for language, text in GREETINGS.items()}
    for language, known in phrases().items():
        for mood in ("positive", "negative", "neutral", "opening"):
            for text in known[mood]:
                said = Reply(
                    action="send",
                    messages=(f"{text} {known['topics']['music']}",),
                    language=language,
                    claims=(),
                    reason="x",
                )
                assert check(said, asked[language], compose(asked[language])) == ()


@pytest.mark.parametrize(
    "text",
    [
        "I don't want to live anymore", "I want a refund, now", "this is a scam, I will complain",
        "I am cancelling my subscription, goodbye", "the video does not load, error again",
    ],
)  # fmt: skip
async def test_what_a_template_has_no_answer_to_goes_to_a_person(text: str) -> None:
    found = await replied(("fan", text))
    assert (found.action, found.messages) == ("handoff", ())


async def test_a_fan_of_a_language_that_it_does_not_speak_goes_to_a_person() -> None:
    found = await replied(("fan", "Привет, как у тебя дела сегодня? Я очень рад тебя видеть."))
    assert (found.action, found.language) == ("handoff", "ru")


async def test_moods_are_answered_by_moods() -> None:
    said = (
        ("positive", "I love you, you are amazing!"),
        ("negative", "I hate this, I feel awful."),
    )
    for mood, text in said:
        found = await replied(("fan", text))
        assert found.messages[0].startswith(tuple(phrases()["en"][mood])), mood


async def test_a_fan_who_was_answered_gets_an_opening_instead() -> None:
    for said in ((("fan", "hello there"), ("creator", "hello")), (("creator", "hello"),)):
        found = await replied(*said, data={"language": "en"})
        assert found.messages[0] in phrases()["en"]["opening"]


async def test_what_was_sent_lately_is_not_said_again() -> None:
    sent: list[str] = []
    for _ in range(6):
        found = await replied(("fan", GREETINGS["en"]), sent=tuple(sent))
        assert found.messages[0] not in sent
        sent.append(found.messages[0])


def tasteful(told: MemoryContext) -> MemoryContext:
    """One who likes music and hearts."""
    person = msgspec.structs.replace(
        told.personality_profile, emoji_frequency=0.5, preferred_emojis=("💜",)
    )
    wants = msgspec.structs.replace(
        told.preferences, topic_interests={"music": 0.9, "x": 0.1}, content_preferences={"video": 1}
    )
    return msgspec.structs.replace(told, personality_profile=person, preferences=wants)


async def test_tastes_of_the_fan_are_in_the_reply_and_in_the_plan() -> None:
    told = tasteful(context(("fan", GREETINGS["en"])))
    found = await made(Material("message_generation", CREATOR, fan_id=FAN, context=told))
    assert found.messages[0].endswith("💜")
    plan = await made(Material("content_planning", CREATOR, fan_id=FAN, context=told))
    assert isinstance(plan, Plan)
    assert [(item.topic, item.format) for item in plan.items] == [
        ("music", "video"), ("x", "video"),
    ]  # fmt: skip


async def test_a_plan_for_a_segment_is_by_its_topics_and_times() -> None:
    segment = {"topics": ["travel", "food", 3], "content": ["story"], "times": ["noon", "night"]}
    asked = Material("content_planning", CREATOR, data={"segment": segment})
    plan = await made(asked)
    assert [(one.topic, one.format, one.when) for one in plan.items] == [
        ("travel", "story", "noon"), ("food", "story", "night"),
    ]  # fmt: skip
    empty = await made(Material("content_planning", CREATOR, data={"segment": "everybody"}))
    assert len(empty.items) == 1


@pytest.mark.parametrize(
    ("draft", "verdict", "codes"),
    [
        ("How was your holiday?", "approve", {"other"}),
        ("Write me on telegram", "reject", {"platform_rule"}),
        ("I just posted a new video of my trip to Rome!", "revise", {"repeated_offer"}),
        ("Ich habe heute ein neues Video für dich gemacht, mein Lieber.", "revise", {"language"}),
    ],
)
async def test_a_verdict_names_what_rules_can_find(
    draft: str, verdict: str, codes: set[str]
) -> None:
    asked = material(
        ("creator", "I just posted a new video of my trip to Rome"),
        ("fan", GREETINGS["en"]),
        type="content_validation",
        data={"content": draft},
    )
    found = await made(asked)
    assert isinstance(found, Verdict)
    assert found.verdict == verdict
    assert {reason.code for reason in found.reasons} == codes
    assert found.cited == (("m-1",) if "repeated_offer" in codes else ())


async def test_a_report_has_the_counts_it_was_given() -> None:
    data = {"members": 9, "sent": 5, "failed": 1, "skipped": True}
    found = await made(Material("campaign_execution", CREATOR, data=data))
    assert isinstance(found, CampaignReport)
    assert (found.members, found.sent, found.failed, found.skipped) == (9, 5, 1, 0)
    assert found.observations == ("3 are left.",)
    assert found.next_steps
    done = await made(Material("campaign_execution", CREATOR))
    assert (done.members, done.observations, done.next_steps) == (0, (), ())


async def test_it_holds_nothing_to_close() -> None:
    await Template().close()
