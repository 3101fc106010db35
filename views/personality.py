"""PersonalityProfile: how this fan writes, from fan messages alone.

A fan message is here one in the fan's own words: pictures alone, mass messages and what a platform
wrote say nothing about how the fan writes.

- `tone`: the largest decayed weight (half-life 30 days: style changes slowly) of casual,
  friendly, formal, flirty, of equals the first in this order, the one that presumes least;
  `casual` until 3 messages.
- `emojiFrequency`: share of messages with at least one emoji, both counts decayed (30 days).
- `messageLengthPreference`: decayed mean length (30 days) in characters: `short` < 40 (one
  line on a phone), `medium` < 160 (one SMS), else `long`; `medium` before the first message.
- `punctuationStyle`: `minimal` if under 30 % of messages carry end punctuation; `formal` if over
  70 % start with a capital and end with punctuation; else, and before the first message,
  `casual`. A message whose first letter has no case needs the end punctuation alone. Plain
  counts: they have no half-life.
- `preferredEmojis`: up to 5 by decayed count (30 days) of uses. At most 32 candidates are kept by
  space-saving (Metwally, Agrawal, El Abbadi 2005): a new emoji takes the place and the count of
  the smallest, so an emoji used in more than 1/32 of all uses is never lost. Longer sequences
  than 16 code points are no standard emoji (the longest have 10) and are not counted.
- `responseSpeed`: from the histogram of `views.responses`, nearest-rank quantiles: median < 1 min
  `instant`, < 15 min `quick`, < 2 h `moderate`, else `slow`; `variable` when the quartiles (the
  geometric middles of their bins) differ by more than a factor 12; `moderate` below 5 responses.
- `confidenceScore`: 1 - e^(-n / 20), n = fan messages: 0.63 after 20.
- `lastCalibrated`: newest fan message; `createdAt` until one. `interactionCount`: every direct
  event.

Order: exact or to rounding in any order as long as no more than 32 emojis compete; `responseSpeed`
follows log order.
"""

from math import exp2, expm1, sqrt
from typing import TYPE_CHECKING, Final

import msgspec

from schemas.context import Length, PersonalityProfile, Punctuation, ResponseSpeed
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.text_features import NO_TEXT, Tone
from schemas.times import DAY_MS, HOUR_MS, MINUTE_MS, render_time
from views import responses
from views.acts import is_direct
from views.decay import evict_smallest, grid, largest, reaches, shrink, shrink_all

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "personalityProfile"
VERSION: Final = 2

HALF_LIFE_MS: Final = 30 * DAY_MS
TONE_MESSAGES_MIN: Final = 3
SHORT: Final = 40
MEDIUM: Final = 160
PUNCTUATED_PERCENT_MIN: Final = 30
FORMAL_PERCENT_MIN: Final = 70
EMOJIS_SHOWN_MAX: Final = 5
EMOJIS_KEPT_MAX: Final = 32
EMOJI_LENGTH_MAX: Final = 16
RESPONSES_MIN: Final = 5
INSTANT_MS: Final = MINUTE_MS
QUICK_MS: Final = 15 * MINUTE_MS
MODERATE_MS: Final = 2 * HOUR_MS
QUARTILE_RATIO_MAX: Final = 12.0
CONFIDENCE_SCALE: Final = 20.0

_TONES: Final[tuple[Tone, ...]] = ("casual", "friendly", "formal", "flirty")
_LAST_BIN_MS: Final = responses.GAP_MS_MAX
_FIRST_BIN_MS: Final = responses.EDGES_MS[0] / 2
"""The first bin's lower end for ratios: no answer takes 0 ms."""
_MIDDLES: Final = tuple(
    sqrt(low * high)
    for low, high in zip(
        (_FIRST_BIN_MS, *responses.EDGES_MS), (*responses.EDGES_MS, _LAST_BIN_MS), strict=True
    )
)


class State(msgspec.Struct, omit_defaults=True, gc=False):
    messages: int = 0
    """Fan messages."""
    last_message: int = 0
    """Event time, ms, of the newest fan message; 0: none yet."""
    punctuated: int = 0
    """Fan messages with end punctuation."""
    formal: int = 0
    """Of these, the ones that start with a capital or a letter without case."""
    as_of: int = 0
    """Grid point, ms, at which the decayed values are kept (`views.decay`)."""
    weight: float = 0.0
    """Decayed number of fan messages."""
    length: float = 0.0
    """Decayed sum of their lengths in code points."""
    with_emoji: float = 0.0
    """Decayed number of fan messages with an emoji."""
    tones: dict[str, float] = msgspec.field(default_factory=dict)
    """Decayed weight per tone."""
    emojis: dict[str, float] = msgspec.field(default_factory=dict)
    """Decayed number of uses per emoji, at most 32."""


def fold(state: State, entry: JournalEntry, position: int) -> None:
    if entry.kind != "message" or entry.sender != "fan" or entry.content is None:
        return
    if entry.details is not None and not is_direct(entry):
        return
    text = entry.text or NO_TEXT
    time = entry.time
    state.messages += 1
    if time > state.last_message:
        state.last_message = time
    if text.punctuated:
        state.punctuated += 1
        if text.capitalised or not text.cased:
            state.formal += 1
    as_of = state.as_of
    if time - as_of >= HALF_LIFE_MS:
        _move(state, time)
        as_of = state.as_of
    scale = exp2((time - as_of) / HALF_LIFE_MS)
    state.weight += scale
    state.length += text.length * scale
    if text.tone:
        tones = state.tones
        for tone, weight in text.tone.items():
            if tone in _TONES and 0.0 < weight <= 1.0:
                tones[tone] = tones.get(tone, 0.0) + weight * scale
    if text.emojis:
        state.with_emoji += scale
        _count_emojis(state.emojis, text.emojis, scale)


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
    """Every event moves `interactionCount`."""
    return True


def _move(state: State, time: int) -> None:
    later = grid(time, HALF_LIFE_MS)
    factor = shrink(state.as_of, later, HALF_LIFE_MS)
    state.as_of = later
    state.weight *= factor
    state.length *= factor
    state.with_emoji *= factor
    shrink_all(state.tones, factor)
    shrink_all(state.emojis, factor)


def _count_emojis(counts: dict[str, float], used: tuple[str, ...], scale: float) -> None:
    for emoji in used:
        if emoji in counts:
            counts[emoji] += scale
        elif len(emoji) <= EMOJI_LENGTH_MAX:
            floor = 0.0
            if len(counts) >= EMOJIS_KEPT_MAX:
                floor = min(counts.values())
                evict_smallest(counts)
            counts[emoji] = floor + scale


def tone(state: State) -> Tone:
    if state.messages < TONE_MESSAGES_MIN:
        return "casual"
    return max(_TONES, key=lambda name: state.tones.get(name, 0.0))


def emoji_frequency(state: State) -> float:
    """Share in [0, 1]; 0 before the first fan message. Silence does not change it."""
    return min(1.0, state.with_emoji / state.weight) if state.messages else 0.0


def message_length(state: State) -> Length:
    if not state.messages:
        return "medium"
    mean = state.length / state.weight
    if not reaches(mean, SHORT):
        return "short"
    return "long" if reaches(mean, MEDIUM) else "medium"


def punctuation(state: State) -> Punctuation:
    count = state.messages
    if not count:
        return "casual"
    if 100 * state.punctuated < PUNCTUATED_PERCENT_MIN * count:
        return "minimal"
    return "formal" if 100 * state.formal > FORMAL_PERCENT_MIN * count else "casual"


def response_speed(state: responses.State) -> ResponseSpeed:
    if state.count < RESPONSES_MIN:
        return "moderate"
    first, median, third = responses.quartile_bins(state)
    if _MIDDLES[third] > QUARTILE_RATIO_MAX * _MIDDLES[first]:
        return "variable"
    middle = _MIDDLES[median]  # thresholds are edges of bins, so any inner point decides
    if middle < INSTANT_MS:
        return "instant"
    if middle < QUICK_MS:
        return "quick"
    return "moderate" if middle < MODERATE_MS else "slow"


def confidence(state: State) -> float:
    """How much the profile rests on, in [0, 1]."""
    # Not `-expm1(…)`: that is -0.0 without messages.
    return 0.0 - expm1(-state.messages / CONFIDENCE_SCALE)


def render(fan: "Fan", who: Relationship, now: int) -> PersonalityProfile:
    state = fan.state.personality
    engagement = fan.state.engagement
    return PersonalityProfile(
        fan_id=who[1],
        tone=tone(state),
        emoji_frequency=emoji_frequency(state),
        message_length_preference=message_length(state),
        punctuation_style=punctuation(state),
        preferred_emojis=tuple(largest(state.emojis, EMOJIS_SHOWN_MAX)),
        response_speed=response_speed(fan.state.responses),
        confidence_score=confidence(state),
        last_calibrated=render_time(
            state.last_message or engagement.created_at or fan.state.known_since
        ),
        interaction_count=engagement.interactions,
    )
