"""How a context looks in a terminal."""

import re
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas.context import MemoryContext
from schemas.text_features import UNKNOWN_LANGUAGE

SENTIMENT_STYLE = {"positive": "green", "neutral": "dim", "negative": "red"}
MESSAGES_SHOWN = 12
OFFERS_SHOWN = 6
NOTES_SHOWN = 5
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What a terminal obeys, and what breaks a line or turns the rest of it round (Unicode's
embeddings, overrides and isolates). Marks of direction (U+200E, U+200F) stay: they move no other
text."""


def show_context(context: MemoryContext) -> RenderableType:
    """Everything remembered of one fan, the newest messages last."""
    return Panel(
        Group(_facts(context), "", _messages(context)),
        title=Text(f"{context.fan_id} with {context.creator_id}"),
        border_style="cyan",
    )


def printable(text: str) -> str:
    """A text with its control characters as escapes: a terminal obeys them. Line ends stay."""
    return _CONTROL.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _facts(context: MemoryContext) -> Table:
    mood, metrics = context.emotional_state, context.engagement_metrics
    style, likes = context.personality_profile, context.preferences
    habits = likes.communication_preferences
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    answers = metrics.avg_response_time_seconds
    rows: dict[str, str | Text] = {
        "mood": Text(mood.current_sentiment, SENTIMENT_STYLE[mood.current_sentiment])
        + Text(f"  {', '.join(mood.dominant_emotions) or 'nothing emotional said'}"),
        "engagement": f"{metrics.engagement_score:.2f} ({mood.engagement_level}),"
        f" messages {metrics.total_messages}, purchases {metrics.total_purchases},"
        f" revenue {metrics.total_revenue:.2f}",
        "answers": f"{style.response_speed}"
        + (f", {answers:.0f} s on average" if answers is not None else ""),
        "writes": f"{style.tone}, {style.message_length_preference} messages,"
        f" {style.punctuation_style} punctuation, emoji in {style.emoji_frequency:.0%}"
        f" {' '.join(style.preferred_emojis)}",
        "likes": _scores(likes.content_preferences) or "nothing yet",
        "talks about": _scores(likes.topic_interests) or "nothing yet",
        "buys": ", ".join(likes.purchase_patterns) or "no pattern yet",
        "offers": _offers(context) or "none yet",
        "habits": ", ".join(
            part
            for part in (
                habits.message_frequency and f"writes {habits.message_frequency}",
                habits.preferred_response_time and f"mostly {habits.preferred_response_time}",
                habits.likes_gifs and "likes GIFs",
            )
            if part
        ),
        "last seen": _minute(context.last_interaction) + " UTC",
        "waits": _waits(context),
        "said": _known(context),
        "notes": _notes(context),
    }
    for name, value in rows.items():
        if not value:
            continue
        # Text, never markup: what a fan wrote may look like it.
        table.add_row(name, Text(value) if isinstance(value, str) else value)
    return table


def _scores(scores: Mapping[str, float]) -> str:
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {score:.2f}" for name, score in ranked[:6])


def _offers(context: MemoryContext) -> str:
    offered = context.offers or ()
    return ", ".join(f"{printable(one.id)} {one.status}" for one in offered[:OFFERS_SHOWN])


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _waits(context: MemoryContext) -> str:
    inbox = context.inbox or None
    if inbox is None or inbox.waiting_since is None:
        return ""
    return f"since {_minute(inbox.waiting_since)} UTC, {inbox.unanswered} unanswered"


def _known(context: MemoryContext) -> str:
    return ", ".join(f"{one.kind} {printable(one.value)}" for one in context.facts or ())


def _notes(context: MemoryContext) -> str:
    return "\n".join(
        f"{_minute(one.timestamp)}  {printable(one.content)}"
        for one in (context.notes or ())[:NOTES_SHOWN]
    )


def _messages(context: MemoryContext) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for message in context.recent_messages[-MESSAGES_SHOWN:]:
        said = Text(printable(message.content), SENTIMENT_STYLE[message.sentiment])
        language = str(message.metadata.get("language", UNKNOWN_LANGUAGE))
        known = [] if language == UNKNOWN_LANGUAGE else [language]
        read = printable(", ".join((*known, *message.topics)))
        if read:
            said.append(f"  {read}", "dim cyan not bold")
        table.add_row(
            _minute(message.timestamp),
            Text(message.sender, "cyan" if message.sender == "fan" else "magenta"),
            said,
        )
    return table
