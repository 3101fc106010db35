"""What the analyser found in one text. It travels, sealed, in the journal record.

Written once by ingest and read by every fold and every replay, so a change here is a new
journal format (`schemas.journal.FORMAT`), never an edit in place. A field with a default at the end
is none: entries of former releases lack it, and former releases pass over it.
"""

from typing import Final, Literal

import msgspec

Sentiment = Literal["positive", "neutral", "negative"]
Emotion = Literal["joy", "love", "sadness", "anger", "fear", "surprise", "disgust"]
Tone = Literal["formal", "casual", "friendly", "flirty"]
SignalKind = Literal["distress", "refund", "leaving"]
"""What a person may want to be called for: despair, self-harm or violence; money back; an end of
the subscription."""
Evidence = Literal["explicit", "implied"]
"""What a signal rests on: words that say it outright; or words that often mean it, in a text whose
mood does not speak against it."""
FactKind = Literal["birthday", "name", "place", "job", "pet", "limit"]
"""What somebody says of themselves; `limit`: what they do not want."""
FACT_VALUE_LENGTH_MAX: Final = 64

UNKNOWN_LANGUAGE = "und"
"""BCP 47 code for a language that could not be determined."""


class Fact(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact as it was said: a few words of the text itself."""

    kind: str
    """A `FactKind`, or what a later release knows."""
    value: str
    """At most `FACT_VALUE_LENGTH_MAX` characters; a birthday as `MM-DD`."""


class TextFeatures(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything that the views need to know of a text without reading it again.

    The defaults are what an empty text yields: neutral, 0.0, `und`.
    """

    sentiment: Sentiment = "neutral"
    """The label; `neutral` also when the model is unsure."""
    score: float = 0.0
    """P(positive) - P(negative), in [-1, 1], rounded to 4 decimals."""
    confidence: float = 0.0
    """Probability of the most likely sentiment class, in [0, 1]; 0.0 without features."""
    emotions: dict[str, float] = msgspec.field(default_factory=dict)
    """Emotion -> weight in (0, 1], strongest first; empty when nothing emotional was said."""
    topics: tuple[str, ...] = ()
    """Topic ids of the taxonomy, each once, sorted; at most 16."""
    tone: dict[str, float] = msgspec.field(default_factory=dict)
    """Tone -> weight in (0, 1]; empty when the text carries no mark of any tone."""
    language: str = UNKNOWN_LANGUAGE
    """ISO 639-1 code, or `und`."""
    emojis: tuple[str, ...] = ()
    """Emoji in order, repeats kept, at most 32; a ZWJ sequence or skin tone is one emoji."""
    length: int = 0
    """Unicode code points."""
    words: int = 0
    capitalised: bool = False
    """The first letter is upper case."""
    punctuated: bool = False
    """Ends with end punctuation (of any script), trailing emoji and closing marks aside."""
    cased: bool = False
    """The first letter belongs to a script that has case."""
    gif: bool = False
    """Carries a link to, or a mark of, a GIF."""
    link: bool = False
    """Carries a web link."""
    signals: dict[str, str] = msgspec.field(default_factory=dict)
    """`SignalKind` -> `Evidence`, the strongest; empty when nothing of the kind was said. No
    diagnosis: `docs/analysis.md`. Entries of releases before 2026-11-29 have none."""
    facts: tuple[Fact, ...] = ()
    """What the writer says of themselves in plain phrases, at most 8. Words of the text: they stay
    sealed with it."""


NO_TEXT: Final = TextFeatures()
"""Of an interaction without a text."""
