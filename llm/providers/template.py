"""Answers without a model: the same for the same material, made by rules from the fan's memory.

It reads what a model would be given and nothing else, quotes nothing that a fan wrote, offers
nothing and promises nothing. Results say so (`madeBy: template`), and so does their `reason` or
`summary`. It costs nothing and knows six languages; a fan of another one goes to a person, as do
distress, refunds, complaints and goodbyes.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from llm.ledger import Finding, LedgerCode, findings, ledger_of, price_of, titled
from llm.likeness import is_like
from llm.offplatform import ways_off
from llm.prompts import Prompt, material_in
from llm.providers import Completion, ProviderName
from llm.results import (
    AnyResult,
    CampaignReport,
    Plan,
    PlanItem,
    Reason,
    ReasonCode,
    Reply,
    Verdict,
)
from llm.speech import language_of
from schemas.intents import IntentType
from schemas.text_features import UNKNOWN_LANGUAGE
from schemas.usage import estimate

MODEL: Final = "template-1"
LABEL: Final = "Made by a template, no model was asked."
DEFAULT_LANGUAGE: Final = "en"
TO_PERSON: Final = ("distress", "refund", "complaint", "leaving", "technical_trouble", "meeting_up")
"""Topics of the fan's newest message that a template has no answer to."""
LIKES_EMOJI: Final = 0.3
"""`likesEmojis` of the preferences begins here."""
PLAN_ITEMS_MAX: Final = 5

IDS_MAX: Final = 5
"""Messages that a reason cites, the newest."""
OFFER_REASONS: Final[Mapping[LedgerCode, tuple[ReasonCode, str]]] = {
    "bought": ("repeated_offer", "It offers what the fan has bought."),
    "pitched": ("repeated_offer", "It offers what was offered before."),
    "promised": ("contradicted_promise", "What it offers was promised and not delivered."),
    "price_changed": ("price_changed", "It was offered at another price before."),
}

Fields = Mapping[str, Any]


class Template:
    """The provider that needs no key and no network."""

    name: ProviderName = "template"
    model = MODEL
    seconds_max = 5.0

    async def complete(
        self, prompt: Prompt, *, deadline_seconds: float | None = None
    ) -> Completion:
        del deadline_seconds  # it waits for nothing
        await asyncio.sleep(0)
        text = MAKERS[prompt.type](material_in(prompt)).model_dump_json()
        return Completion(text, MODEL, estimate(prompt.characters, len(text)), "stop", None)

    async def close(self) -> None:
        """It holds nothing."""


def reply(found: Fields) -> Reply:
    """What to say to the fan, or that a person has to."""
    newest = _newest_of_fan(found)
    topics = newest.get("topics", ()) if newest else ()
    language = found["language"]
    if language == UNKNOWN_LANGUAGE:
        language = DEFAULT_LANGUAGE
    for topic in TO_PERSON:
        if topic in topics:
            return _no_reply("handoff", language, f"The fan's last message is about {topic}.")
    if language not in phrases():
        return _no_reply("handoff", language, "The template does not speak this language.")
    answering = newest is not None and found["messages"][-1]["from"] == "fan"
    mood = newest["mood"] if newest is not None and answering else "opening"
    text = _worded(found, language, mood)
    return Reply(
        made_by="template",
        action="send",
        messages=(text,),
        language=language,
        claims=(),
        reason=LABEL,
    )


def verdict(found: Fields) -> Verdict:
    """What can be judged of a draft without a model."""
    draft = str(found["data"].get("content", ""))
    reasons: list[Reason] = []

    def add(code: Any, text: str, ids: tuple[str, ...] = ()) -> None:
        reasons.append(Reason(code=code, text=f"{text} {LABEL}", message_ids=ids))

    for way in dict.fromkeys(ways_off(draft)):
        add("platform_rule", f"It has a {way} off the platform.")
    for message in _messages_of(found, "creator"):
        if is_like(draft, (message["text"],)):
            add("repeated_offer", "It is like a message sent before.", (message["id"],))
            break
    for finding in _of_offers(found, draft):
        code, text = OFFER_REASONS[finding.code]
        shown = [one["id"] for one in found.get("messages", ()) if _names(one, finding.offer)]
        add(code, text, tuple(shown[-IDS_MAX:]) or (finding.offer,))
    spoken = language_of(draft)
    if UNKNOWN_LANGUAGE not in (spoken, found["language"]) and spoken != found["language"]:
        add("language", "The fan writes in another language.")
    rejected = any(reason.code == "platform_rule" for reason in reasons)
    judged: Any = "reject" if rejected else "revise" if reasons else "approve"
    if not reasons:
        add("other", "Nothing was found by rules.")
    return Verdict(made_by="template", verdict=judged, reasons=tuple(reasons))


def _of_offers(found: Fields, draft: str) -> list[Finding]:
    """Against the ledger: what `data.offerIds` names, and titles in the draft."""
    listed = found["data"].get("offers")
    catalogue = {
        one["id"]: one
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping)
        and isinstance(one.get("id"), str)
        and isinstance(one.get("title"), str)
    }
    named = found["data"].get("offerIds")
    meant = [one for one in (named if isinstance(named, list) else ()) if isinstance(one, str)]
    meant = [one for one in meant if one in catalogue]
    meant += titled(draft, {name: one["title"] for name, one in catalogue.items()})
    prices = {name: price_of(one) for name, one in catalogue.items()}
    return [*findings(meant, ledger_of(found.get("fan", {}).get("offers", ())), prices)]


def _names(message: Mapping[str, Any], offer: str) -> bool:
    return offer in message.get("offers", ())


def plan(found: Fields) -> Plan:
    """The strongest interests, at the time when most is written."""
    fan = found.get("fan", {})
    segment = found["data"].get("segment", {})
    segment = segment if isinstance(segment, Mapping) else {}
    interests = (
        _texts(segment.get("topics")) or _texts(fan.get("interests")) or ["behind the scenes"]
    )
    forms = _texts(segment.get("content")) or _texts(fan.get("content")) or ["photo set"]
    times = _texts(segment.get("times")) or ["evening"]
    items = tuple(
        PlanItem(
            topic=topic,
            format=forms[number % len(forms)],
            when=times[number % len(times)],
            why="One of the strongest interests in the memory.",
            evidence=(),
        )
        for number, topic in enumerate(interests[:PLAN_ITEMS_MAX])
    )
    return Plan(made_by="template", summary=f"By the strongest interests. {LABEL}", items=items)


def report(found: Fields) -> CampaignReport:
    """The counts as they are."""
    data = found["data"]
    members, sent, failed, skipped = (
        _count(data.get(name)) for name in ("members", "sent", "failed", "skipped")
    )
    left = max(members - sent - failed - skipped, 0)
    return CampaignReport(
        made_by="template",
        summary=f"{sent} of {members} messages were sent. {LABEL}",
        members=members,
        sent=sent,
        failed=failed,
        skipped=skipped,
        observations=(f"{left} are left.",) if left else (),
        next_steps=("Look at the failed ones.",) if failed else (),
    )


MAKERS: Final[Mapping[IntentType, Callable[[Fields], AnyResult]]] = {
    "message_generation": reply,
    "content_validation": verdict,
    "content_planning": plan,
    "campaign_execution": report,
}


def _no_reply(action: Any, language: str, why: str) -> Reply:
    return Reply(
        made_by="template",
        action=action,
        messages=(),
        language=language,
        claims=(),
        reason=f"{why} {LABEL}",
    )


def _worded(found: Fields, language: str, mood: str) -> str:
    """Phrases that were not sent lately, of those that suit."""
    known = phrases()[language]
    fan = found.get("fan", {})
    topics = known["topics"]
    asked = [topics[one] for one in fan.get("interests", ()) if one in topics]
    first = known.get(mood, known["neutral"])
    second = [""] if mood in ("opening", "negative") else [*asked[:1], *known["ask"]]
    every = [f"{one} {other}".strip() for one in first for other in second]
    text = _unlike(every, found.get("sent", ()), _number(found))
    emojis = fan.get("emojis") or []
    if mood != "negative" and emojis and fan.get("emoji", 0.0) >= LIKES_EMOJI:
        text = f"{text} {emojis[0]}"
    return text


def _unlike(every: Sequence[str], sent: Sequence[str], number: int) -> str:
    """The first, beginning at a number of this material's, that is not like one sent lately; if
    all are, one that was not sent in these words."""
    turned = [every[(number + at) % len(every)] for at in range(len(every))]
    fresh = [one for one in turned if not is_like(one, sent)]
    other = [one for one in turned if one not in sent]
    return (*fresh, *other, turned[0])[0]


def _number(found: Fields) -> int:
    """Of the conversation as it stands: another message, another choice."""
    ids = "\0".join(message["id"] for message in found.get("messages", ()))
    return int.from_bytes(hashlib.sha256(ids.encode()).digest()[:4], "big")


def _newest_of_fan(found: Fields) -> dict[str, Any] | None:
    return next(reversed(_messages_of(found, "fan")), None)


def _messages_of(found: Fields, sender: str) -> list[dict[str, Any]]:
    return [one for one in found.get("messages", ()) if one["from"] == sender]


def _texts(value: object) -> list[str]:
    return (
        [one[:100] for one in value if isinstance(one, str) and one]
        if isinstance(value, list)
        else []
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


@cache
def phrases() -> dict[str, Any]:
    """What can be said, by language and mood."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "phrases.json").read_text("utf-8"))
    return found
