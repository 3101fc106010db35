"""Fans as the reader gives them, for prompts and checks."""

from collections.abc import Sequence
from typing import Any

from analysis import analyse
from llm.material import Material
from schemas.context import ConversationMessage, MemoryContext
from schemas.events import Sender
from schemas.intents import IntentType
from schemas.text_features import Sentiment
from views.context import minimal_context

CREATOR, FAN = "creator-17", "fan-4711"
NOW = 1_764_300_000_000

Said = tuple[Sender, str]


def message(number: int, sender: Sender, text: str, **metadata: Any) -> ConversationMessage:
    """Analysed as ingest would."""
    features = analyse([text])[0]
    return ConversationMessage(
        id=f"m-{number}",
        fan_id=FAN,
        creator_id=CREATOR,
        content=text,
        sender=sender,
        sentiment=features.sentiment,
        topics=features.topics,
        timestamp=f"2026-11-28T10:{number % 60:02d}:00.000Z",
        metadata={"language": features.language} | metadata,
    )


def context(*said: Said, mood: Sentiment | None = None) -> MemoryContext:
    """A fan who wrote this, oldest first."""
    import msgspec

    found = minimal_context(CREATOR, FAN, NOW)
    messages = tuple(message(number, *one) for number, one in enumerate(said, 1))
    return msgspec.structs.replace(
        found, recent_messages=messages, degraded=msgspec.UNSET, version="journal-0:42"
    )


def material(*said: Said, type: IntentType = "message_generation", **fields: Any) -> Material:
    """Of a fan who wrote this."""
    return Material(type, CREATOR, fan_id=FAN, context=context(*said), **fields)


def said_by_fan(texts: Sequence[str]) -> tuple[Said, ...]:
    return tuple(("fan", text) for text in texts)
