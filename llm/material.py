"""What a workflow knows before a model is asked: all that may come into a prompt, and no more.

`data` is the intent's own object, as accepted. These of its names mean something to us, per type;
the rest is passed on as it is, cut to length:

- all: `offers`, a list of `{id, title, price, currency}`: what the creator sells, by which prices
  and offers of a draft are judged; `limits`, a list of texts: what the creator never does.
  `offerIds`: those of the offers that the draft, or the message to be written, is about.
- `message_generation`: `instruction`, what the message is for; `language`.
- `content_validation`: `content`, the draft.
- `content_planning`: `segment`, preferences and topics of the fans it is for.
- `campaign_execution`: `members`, `sent`, `failed`, `skipped`, `cost`: how it went, as counted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from schemas.context import ConversationMessage, MemoryContext, OfferState
from schemas.intents import IntentType
from schemas.text_features import UNKNOWN_LANGUAGE

SENT_MAX: Final = 20
"""Sent texts that a draft is compared with."""
OFFERS_MAX: Final = 100
LANGUAGE_MESSAGES: Final = 5
"""A fan's newest messages that decide on the language of a reply."""


class Offer(NamedTuple):
    """One entry of the creator's catalogue."""

    id: str
    title: str
    price: Decimal | None
    currency: str | None


class Spend(NamedTuple):
    """What the fan paid, in about US dollars."""

    last_day: Decimal
    usual_day: Decimal
    """Mean of the 30 days before it."""


@dataclass(frozen=True, slots=True)
class Material:
    """Of one workflow at one moment. `problems` are those of a first answer that was invalid."""

    type: IntentType
    creator_id: str
    data: Mapping[str, Any] = field(default_factory=dict)
    fan_id: str | None = None
    context: MemoryContext | None = None
    sent: tuple[str, ...] = ()
    """The newest texts sent to this fan, oldest first."""
    messages: tuple[ConversationMessage, ...] = ()
    """Recent ones, oldest first; without any, those of the context."""
    memory_version: str | None = None
    spend: Spend | None = None
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.messages and self.context is not None:
            object.__setattr__(self, "messages", self.context.recent_messages)
        if self.memory_version is None and self.context is not None:
            version = self.context.version
            object.__setattr__(self, "memory_version", version if version else None)

    @property
    def offers(self) -> tuple[Offer, ...]:
        """The catalogue of `data`; what has no id or title is left out."""
        return tuple(_offers(self.data.get("offers")))[:OFFERS_MAX]

    @property
    def fan_messages(self) -> tuple[ConversationMessage, ...]:
        return tuple(one for one in self.messages if one.sender == "fan")

    @property
    def language(self) -> str:
        """What the fan writes in: the commonest of the newest messages, the newest first of
        equals; `data.language` if the fan has not written; `und`."""
        found: dict[str, int] = {}
        for message in reversed(self.fan_messages[-LANGUAGE_MESSAGES:]):
            language = message.metadata.get("language")
            if isinstance(language, str) and language != UNKNOWN_LANGUAGE:
                found[language] = found.get(language, 0) + 1
        if found:
            return max(found, key=lambda one: found[one])
        asked = self.data.get("language")
        return asked if isinstance(asked, str) and asked else UNKNOWN_LANGUAGE

    @property
    def offered(self) -> tuple[OfferState, ...]:
        """What was offered to the fan, the newest first."""
        return (self.context.offers or ()) if self.context is not None else ()

    @property
    def offers_meant(self) -> tuple[str, ...]:
        """Of the catalogue, by `data.offerIds`."""
        listed = self.data.get("offerIds")
        known = {one.id for one in self.offers}
        found = listed if isinstance(listed, list) else ()
        return tuple(one for one in found if isinstance(one, str) and one in known)

    def known_ids(self) -> frozenset[str]:
        """What may be cited: messages, offers and catalogue entries of this material."""
        known = {one.id for one in self.messages} | {one.id for one in self.offers}
        return frozenset(known | {one.id for one in self.offered})


def _offers(found: object) -> Iterator[Offer]:
    for one in found if isinstance(found, list) else ():
        if not isinstance(one, dict):
            continue
        name, title = one.get("id"), one.get("title")
        if isinstance(name, str) and isinstance(title, str) and name and title:
            currency = one.get("currency")
            yield Offer(
                name,
                title,
                _price(one.get("price")),
                currency if isinstance(currency, str) else None,
            )


def _price(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    return Decimal(str(value))
