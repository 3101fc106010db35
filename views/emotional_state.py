"""EmotionalState: how this fan feels, from what the fan wrote.

A fan message is here one in the fan's own words: pictures alone, mass messages and what a platform
wrote say nothing about a mood.

- `currentSentiment`: s = sum(w_k * score_k) / sum(w_k) over fan messages, k = 0 for the newest by
  event time, w_k = 2^(-k/3) (half-life of 3 messages: the mood of the last few, whatever their
  age), score = P(positive) - P(negative) in [-1, 1]. `positive` if s > 0.15, `negative` if
  s < -0.15, else and without fan messages `neutral`. 0.15 keeps one mildly coloured message from
  flipping the label.
- `sentimentHistory`: label and time of the last 20 fan messages by event time, oldest first; of
  equal times, the one later in the log is newer.
- `dominantEmotions`: up to 3 emotions with the largest decayed weight (half-life 7 days: moods
  pass within a week), each at least 15 % of the total; equal weights in alphabetical order.
- `engagementLevel`: of the engagement score now, see `views.engagement`.
- `lastPositiveInteraction`, `lastNegativeInteraction`: time of the newest fan message so
  labelled; a tip or a purchase is positive.
- `signals`: of each kind the newest fan message, by event time, that the analyser says it of, with
  its evidence (of equal times the explicit one), and how many there were. Nothing decays: what was
  done about it, only people know.

The 20 newest scores are kept one by one; what falls off the end joins a tail that keeps
T = score + r * T with r = 2^(-1/3), so s is exactly the sum over *all* fan messages when they
arrive in order. A message that arrives later than 20 newer ones is left out of s and of the
history, since its place in the tail is no longer known; its weight would have been below 0.3 %.

Order: everything else is exact in any order, the emotions to rounding.
"""

from bisect import bisect_right
from collections.abc import Mapping
from math import exp2
from operator import mul
from typing import TYPE_CHECKING, Final, cast, get_args

import msgspec

from schemas.context import EmotionalState, SentimentAt, SignalAt
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.text_features import NO_TEXT, Emotion, Evidence, Sentiment, SignalKind
from schemas.times import DAY_MS, render_time
from views import engagement
from views.acts import is_direct, is_fans
from views.decay import ROUNDING, grid, largest, reaches, shrink, shrink_all

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "emotionalState"
VERSION: Final = 3

HISTORY_MAX: Final = 20
RATIO: Final = 2.0 ** (-1 / 3)
"""Weight of a message relative to the next newer one."""
POSITIVE: Final = 0.15
NEGATIVE: Final = -0.15
HALF_LIFE_MS: Final = 7 * DAY_MS
DOMINANT_MAX: Final = 3
DOMINANT_SHARE_MIN: Final = 0.15

_EMOTIONS: Final = frozenset(get_args(Emotion))
SIGNALS: Final[tuple[SignalKind, ...]] = get_args(SignalKind)
_EVIDENCE: Final[frozenset[str]] = frozenset(get_args(Evidence))
_WEIGHTS: Final = tuple(RATIO**k for k in range(HISTORY_MAX + 1))
_OLDEST_FIRST: Final = tuple(_WEIGHTS[:count][::-1] for count in range(HISTORY_MAX + 1))
"""By how many scores there are: their weights in the order in which they are kept."""
_TOTAL: Final = tuple(map(sum, _OLDEST_FIRST))
_MARK: Final[dict[Sentiment, str]] = {"positive": "+", "neutral": "0", "negative": "-"}
_LABEL: Final[dict[str, Sentiment]] = {mark: label for label, mark in _MARK.items()}


class Signal(msgspec.Struct, frozen=True, gc=False):
    """What some messages said of one kind."""

    time: int
    """Event time, ms, of the newest."""
    evidence: Evidence
    """Its own."""
    count: int


class State(msgspec.Struct, omit_defaults=True, gc=False):
    times: list[int] = msgspec.field(default_factory=list)
    """Event times, ms, of the last 20 fan messages, oldest first."""
    scores: list[float] = msgspec.field(default_factory=list)
    """Their scores, in the same order."""
    labels: str = ""
    """Their labels in the same order: `+`, `0` or `-` each."""
    tail_score: float = 0.0
    """Weighted sum of the older scores, relative to the newest of them."""
    tail_weight: float = 0.0
    last_positive: int = 0
    """Event time, ms; 0: none yet."""
    last_negative: int = 0
    as_of: int = 0
    """Grid point, ms, at which `emotions` are kept (`views.decay`)."""
    emotions: dict[str, float] = msgspec.field(default_factory=dict)
    """Decayed weight per emotion."""
    signals: dict[SignalKind, Signal] = msgspec.field(default_factory=dict)


def fold(state: State, entry: JournalEntry, position: int) -> None:
    kind = entry.kind
    time = entry.time
    if kind != "message":
        if (kind == "purchase" or kind == "tip") and time > state.last_positive:
            state.last_positive = time
        return
    # Said twice, because a call costs as much as the rest for most events (`bench fold`).
    if entry.sender != "fan" or (entry.details is not None and not is_direct(entry)):
        return
    if entry.content is None:
        return
    text = entry.text or NO_TEXT
    label = text.sentiment
    if label == "positive":
        if time > state.last_positive:
            state.last_positive = time
    elif label == "negative" and time > state.last_negative:
        state.last_negative = time
    score = text.score
    # NaN fails every comparison; kept, it would make the stored state unreadable.
    _remember(state, time, score if -1.0 <= score <= 1.0 else 0.0, _MARK[label])
    if text.emotions:
        _feel(state, time, text.emotions)
    if text.signals:
        _signal(state, time, text.signals)


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
    """All of the fan's: a like or a view can lift `engagementLevel`."""
    return is_fans(kind, sender) and (kind != "message" or sender == "fan")


def _remember(state: State, time: int, score: float, mark: str) -> None:
    times = state.times
    if not times or time >= times[-1]:
        times.append(time)
        state.scores.append(score)
        state.labels += mark
    else:
        place = bisect_right(times, time)
        if place == 0 and len(times) == HISTORY_MAX:
            return
        times.insert(place, time)
        state.scores.insert(place, score)
        state.labels = state.labels[:place] + mark + state.labels[place:]
    if len(times) > HISTORY_MAX:
        del times[0]
        state.labels = state.labels[1:]
        state.tail_score = state.scores.pop(0) + RATIO * state.tail_score
        state.tail_weight = 1.0 + RATIO * state.tail_weight


def _feel(state: State, time: int, found: dict[str, float]) -> None:
    emotions = state.emotions
    if time - state.as_of >= HALF_LIFE_MS:
        later = grid(time, HALF_LIFE_MS)
        shrink_all(emotions, shrink(state.as_of, later, HALF_LIFE_MS))
        state.as_of = later
    scale = exp2((time - state.as_of) / HALF_LIFE_MS)
    for emotion, weight in found.items():
        if emotion in _EMOTIONS and 0.0 < weight <= 1.0:
            emotions[emotion] = emotions.get(emotion, 0.0) + weight * scale


def _signal(state: State, time: int, found: dict[str, str]) -> None:
    known = state.signals
    for kind in SIGNALS:
        evidence = found.get(kind)
        if evidence not in _EVIDENCE:
            continue
        said = Signal(time, cast(Evidence, evidence), 1)
        before = known.get(kind)
        if before is not None:
            newest = max(before, said, key=lambda one: (one.time, one.evidence == "explicit"))
            said = msgspec.structs.replace(newest, count=before.count + 1)
        known[kind] = said


def raised(
    before: Mapping[SignalKind, Signal], after: Mapping[SignalKind, Signal]
) -> dict[SignalKind, Signal]:
    """What is new of signals: said by one more message, or by a newer one."""
    return {
        kind: now
        for kind, now in after.items()
        if (was := before.get(kind)) is None or now.count > was.count or now.time > was.time
    }


def render_signals(signals: Mapping[SignalKind, Signal]) -> dict[SignalKind, SignalAt]:
    """In the order of their kinds, whichever came first."""
    return {
        kind: SignalAt(said.evidence, render_time(said.time), said.count)
        for kind in SIGNALS
        if (said := signals.get(kind)) is not None
    }


def signal_count(state: State, kind: str) -> int | None:
    """How many messages said it; None: none, or it is no kind of signal."""
    said = state.signals.get(cast(SignalKind, kind))
    return None if said is None else said.count


def mean_score(state: State) -> float:
    """s of the formula, in [-1, 1]; 0 without fan messages."""
    count = len(state.scores)
    if not count:
        return 0.0
    # Each state that is written has its sentiment reckoned: without a loop it takes a third.
    rest = _WEIGHTS[count]
    score = sum(map(mul, state.scores, _OLDEST_FIRST[count]), rest * state.tail_score)
    return score / (rest * state.tail_weight + _TOTAL[count])


def sentiment(state: State) -> Sentiment:
    score = mean_score(state)
    if score > POSITIVE + ROUNDING:
        return "positive"
    return "negative" if score < NEGATIVE - ROUNDING else "neutral"


def dominant_emotions(state: State) -> tuple[str, ...]:
    """Strongest first. Shares do not change with silence, so no `now` is needed."""
    emotions = state.emotions
    least = DOMINANT_SHARE_MIN * sum(emotions.values())
    return tuple(
        emotion
        for emotion in largest(emotions, DOMINANT_MAX)
        if emotions[emotion] > 0 and reaches(emotions[emotion], least)
    )


def render(fan: "Fan", who: Relationship, now: int) -> EmotionalState:
    state = fan.state.emotional_state
    return EmotionalState(
        current_sentiment=sentiment(state),
        # Mapped: half of a context's times are here, and a loop takes a quarter more.
        sentiment_history=tuple(
            map(SentimentAt, map(_LABEL.__getitem__, state.labels), map(render_time, state.times))
        ),
        dominant_emotions=dominant_emotions(state),
        engagement_level=engagement.level(engagement.score(fan.state.engagement, now)),
        last_positive_interaction=render_time(state.last_positive) if state.last_positive else None,
        last_negative_interaction=render_time(state.last_negative) if state.last_negative else None,
        signals=render_signals(state.signals) or None,
    )
