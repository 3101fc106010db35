"""Which facts of the material a prompt holds, by type, each with its bound.

Newest first is kept when there is too much: of the messages as many as fit `MESSAGES_CHARACTERS`.
Fan and creator are called so; their ids are never in a prompt, and notes of the creator's team
neither.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from llm.material import SENT_MAX, Material
from llm.prompts.cleaning import cleaned
from schemas.context import ConversationMessage, MemoryContext
from schemas.money import DEFAULT_CURRENCY
from schemas.offers import mentions_in

MESSAGE_CHARACTERS: Final = 1_000
MESSAGES_CHARACTERS: Final = 12_000
MESSAGES_MAX: Final = 50
DATA_TEXT_CHARACTERS: Final = 4_000
NAME_CHARACTERS: Final = 100
ITEMS_MAX: Final = 100
DEPTH_MAX: Final = 6
INTERESTS_MAX: Final = 8
PRIVATE: Final = frozenset(("notes", "creatorNotes", "internal", "fanId", "creatorId", "userId"))
"""Names in `data`, at any depth, that stay here."""


def fields_of(material: Material) -> dict[str, Any]:
    """The object between the marks."""
    found: dict[str, Any] = {"data": _data(material.data)}
    if material.messages:
        found["messages"] = _messages(material.messages)
    if material.sent:
        found["sent"] = [cleaned(one, MESSAGE_CHARACTERS) for one in material.sent[-SENT_MAX:]]
    if material.context is not None and not material.context.degraded:
        found["fan"] = _fan(material.context)
    found["language"] = material.language
    return found


def _messages(messages: tuple[ConversationMessage, ...]) -> list[dict[str, Any]]:
    """Oldest first."""
    found: list[dict[str, Any]] = []
    left = MESSAGES_CHARACTERS
    for message in reversed(messages[-MESSAGES_MAX:]):
        text = cleaned(message.content, MESSAGE_CHARACTERS)
        left -= len(text)
        if left < 0:
            break
        one: dict[str, Any] = {"id": cleaned(message.id, 255), "from": message.sender, "text": text}
        one |= {"at": message.timestamp, "mood": message.sentiment}
        if message.topics:
            one["topics"] = list(message.topics)
        if "price" in message.metadata:
            one["price"] = message.metadata["price"]
        named = mentions_in(message.metadata, "message", message.sender, DEFAULT_CURRENCY)
        if named:
            one["offers"] = [cleaned(offer.id, NAME_CHARACTERS) for offer in named]
        found.append(one)
    return found[::-1]


def _fan(context: MemoryContext) -> dict[str, Any]:
    person, wants = context.personality_profile, context.preferences
    mood, measured = context.emotional_state, context.engagement_metrics
    return {
        "tone": person.tone,
        "messageLength": person.message_length_preference,
        "emoji": person.emoji_frequency,
        "emojis": _names(person.preferred_emojis),
        "interests": _strongest(wants.topic_interests),
        "content": _strongest(wants.content_preferences),
        "purchases": _names(wants.purchase_patterns),
        "mood": mood.current_sentiment,
        "emotions": _names(mood.dominant_emotions),
        "engagement": mood.engagement_level,
        "totalMessages": measured.total_messages,
        "totalPurchases": measured.total_purchases,
        "since": measured.created_at,
        "offers": [
            {
                "id": cleaned(one.id, NAME_CHARACTERS),
                "status": one.status,
                "pitches": one.pitches,
                "price": one.price,
                "currency": one.currency,
                "paid": one.paid,
            }
            for one in context.offers or ()
        ],
    }


def _strongest(weights: Mapping[str, float]) -> list[str]:
    return _names(sorted(weights, key=lambda name: (-weights[name], name))[:INTERESTS_MAX])


def _names(found: Iterable[str]) -> list[str]:
    """Content types and topics may be a sender's own words."""
    return [cleaned(one, NAME_CHARACTERS) for one in _first(found)]


def _data(data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        cleaned(name, NAME_CHARACTERS): _value(value, DEPTH_MAX)
        for name, value in _first(data.items())
        if name not in PRIVATE
    }


def _value(value: object, depth: int) -> Any:
    if isinstance(value, str):
        return cleaned(value, DATA_TEXT_CHARACTERS)
    if isinstance(value, Mapping):
        if depth == 0:
            return None
        return {
            cleaned(str(name), NAME_CHARACTERS): _value(one, depth - 1)
            for name, one in _first(value.items())
            if name not in PRIVATE
        }
    if isinstance(value, list | tuple):
        return [_value(one, depth - 1) for one in _first(value)] if depth else None
    return value


def _first(items: Iterable[Any]) -> list[Any]:
    return [one for one, _ in zip(items, range(ITEMS_MAX), strict=False)]
