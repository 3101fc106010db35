"""Checks of a result that need no model. Each finding is a flag that whoever approves sees.

A flagged draft is never approved automatically; distress and a spend spike hand the fan to a
person (`hands_off`). A flag says where and what kind, and repeats no text.

What is looked for in what would be sent, and in the draft that a verdict is about:

- `language`: another one than the fan writes in, or than the reply says it is in.
- `length`: much longer than the fan's messages (short 200, medium 500, long 1,000 characters).
- `likeness`: shares half of its character triples, or its first words, with a text sent lately.
- `link`, `contact`, `payment`: ways off the platform, also when written around (`llm.offplatform`).
- `price`, `promise`: said without a claim that cites a message or offer of the material; a price
  also if no cited entry has that amount.
- `bought`, `pitched`, `promised`, `price_changed`: offers what the fan has, was offered before, was
  promised and has not got, or was offered at another price (`llm.ledger`).
- `evidence`: a claim, reason or item that cites what is not in the material.
- `prompt`: the canary (also turned, spaced, in hex or base64), or eight words of our prompt.
- `ids`: an id of this fan or creator in a text, or anything that looks like another's.
- `counts`: a report whose counts are not those of the store.
- `distress`, `spend_spike`: of the fan's last words, and of what was paid.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from llm import ledger, likeness, offplatform, promises, secrecy
from llm.material import Material
from llm.prompts import Prompt
from llm.results import AnyResult, CampaignReport, Claim, Plan, Reply, Verdict
from llm.speech import language_of
from schemas.text_features import UNKNOWN_LANGUAGE

FlagCode = Literal[
    "language", "length", "likeness", "link", "contact", "payment", "price", "promise", "evidence",
    "prompt", "ids", "counts", "distress", "spend_spike",
    "bought", "pitched", "promised", "price_changed",
]  # fmt: skip

LENGTHS_MAX: Final = {"short": 200, "medium": 500, "long": 1_000}
DISTRESS_MESSAGES: Final = 3
"""The fan's newest messages that are asked for distress."""
SPIKE_MIN: Final = Decimal(100)
SPIKE_FACTOR: Final = 4


class Flag(NamedTuple):
    """One finding."""

    code: FlagCode
    where: str
    """Path in the result's JSON, or `fan`."""

    @property
    def hands_off(self) -> bool:
        """A person has to answer this fan."""
        return self.code in ("distress", "spend_spike")


def check(result: AnyResult, material: Material, prompt: Prompt) -> tuple[Flag, ...]:
    """Every finding, each once, in the order of the result. Pure."""
    return tuple(dict.fromkeys(_found(result, material, prompt)))


def _found(result: AnyResult, material: Material, prompt: Prompt) -> Iterator[Flag]:
    if material.type == "message_generation":
        yield from _of_fan(material)
    texts = [*_texts(result)]
    if secrecy.leaks("".join(text for _, text in texts), prompt):  # in pieces, too
        whole = next((where for where, text in texts if secrecy.leaks(text, prompt)), "$")
        yield Flag("prompt", whole)
    for where, text in texts:
        if secrecy.names_somebody(text, material):
            yield Flag("ids", where)
    for where, ids in _cited(result):
        if not material.known_ids().issuperset(ids):
            yield Flag("evidence", where)
    if isinstance(result, Reply):
        yield from _of_reply(result, material)
    if isinstance(result, Verdict):
        yield from _of_draft(material)
    if isinstance(result, CampaignReport):
        yield from _of_counts(result, material)


def _of_fan(material: Material) -> Iterator[Flag]:
    newest = material.fan_messages[-DISTRESS_MESSAGES:]
    if any("distress" in message.topics for message in newest):
        yield Flag("distress", "fan")
    spend = material.spend
    if spend and spend.last_day >= max(SPIKE_MIN, SPIKE_FACTOR * spend.usual_day):
        yield Flag("spend_spike", "fan")


def _of_reply(reply: Reply, material: Material) -> Iterator[Flag]:
    if not reply.messages:
        return
    spoken = language_of("\n".join(reply.messages))
    wanted = material.language
    if UNKNOWN_LANGUAGE not in (spoken, wanted) and spoken != wanted:
        yield Flag("language", "messages")
    if spoken not in (UNKNOWN_LANGUAGE, reply.language):
        yield Flag("language", "language")
    for number, claim in enumerate(reply.claims):
        if claim.kind != "fact":
            yield from _of_offers(f"claims.{number}.evidence", claim.evidence, material)
    for number, text in enumerate(reply.messages):
        yield from _of_offers(f"messages.{number}", _titled(text, material), material)
        sent = (*material.sent, *reply.messages[:number])
        yield from _of_text(f"messages.{number}", text, sent, reply.claims, material)


def _of_draft(material: Material) -> Iterator[Flag]:
    """The draft that a verdict is about, whatever the verdict is. It has no claims of its own."""
    draft = material.data.get("content")
    if isinstance(draft, str):
        yield from _of_text("data.content", draft, material.sent, (), material)
        meant = (*material.offers_meant, *_titled(draft, material))
        yield from _of_offers("data.content", meant, material)
        spoken = language_of(draft)
        if UNKNOWN_LANGUAGE not in (spoken, material.language) and spoken != material.language:
            yield Flag("language", "data.content")


def _of_text(
    where: str, text: str, sent: tuple[str, ...], claims: tuple[Claim, ...], material: Material
) -> Iterator[Flag]:
    """What may be wrong with one text for a fan."""
    if len(text) > LENGTHS_MAX[_length(material)]:
        yield Flag("length", where)
    if likeness.is_like(text, sent):
        yield Flag("likeness", where)
    for code in offplatform.ways_off(text):
        yield Flag(code, where)
    if not promises.prices_rest(text, claims, material):
        yield Flag("price", where)
    if not promises.promises_rest(text, claims):
        yield Flag("promise", where)


def _of_offers(where: str, ids: Iterable[str], material: Material) -> Iterator[Flag]:
    """What of the creator's offers may be wrong with this fan."""
    lines = [
        {"id": one.id, "status": one.status, "pitches": one.pitches}
        | {"price": one.price, "currency": one.currency}
        for one in material.offered
    ]
    prices = {one.id: ledger.Price(one.price, one.currency) for one in material.offers}
    for found in ledger.findings(ids, ledger.ledger_of(lines), prices):
        yield Flag(found.code, where)


def _titled(text: str, material: Material) -> Iterator[str]:
    return ledger.titled(text, {one.id: one.title for one in material.offers})


def _of_counts(report: CampaignReport, material: Material) -> Iterator[Flag]:
    for name in ("members", "sent", "failed", "skipped"):
        counted = material.data.get(name, 0)
        if getattr(report, name) != counted:
            yield Flag("counts", name)


def _length(material: Material) -> str:
    context = material.context
    return "medium" if context is None else context.personality_profile.message_length_preference


def _texts(result: AnyResult) -> Iterator[tuple[str, str]]:
    """Every text of the result that a model wrote, with its path."""
    if isinstance(result, Reply):
        yield from ((f"messages.{n}", text) for n, text in enumerate(result.messages))
        yield from ((f"claims.{n}.text", claim.text) for n, claim in enumerate(result.claims))
        yield "reason", result.reason
    elif isinstance(result, Verdict):
        yield from ((f"reasons.{n}.text", one.text) for n, one in enumerate(result.reasons))
    elif isinstance(result, Plan):
        yield "summary", result.summary
        for number, item in enumerate(result.items):
            for name in ("topic", "format", "when", "why"):
                yield f"items.{number}.{name}", getattr(item, name)
    else:
        yield "summary", result.summary
        yield from ((f"observations.{n}", text) for n, text in enumerate(result.observations))
        yield from ((f"nextSteps.{n}", text) for n, text in enumerate(result.next_steps))


def _cited(result: AnyResult) -> Iterator[tuple[str, tuple[str, ...]]]:
    if isinstance(result, Reply):
        yield from ((f"claims.{n}.evidence", one.evidence) for n, one in enumerate(result.claims))
    elif isinstance(result, Verdict):
        yield from (
            (f"reasons.{n}.messageIds", one.message_ids) for n, one in enumerate(result.reasons)
        )
    elif isinstance(result, Plan):
        yield from ((f"items.{n}.evidence", one.evidence) for n, one in enumerate(result.items))
