"""As-of and explain: what was known at a moment, and which events moved a number between two.

Both go by *event time*, not by time of arrival: "as of Monday noon" means what the fan had done by
then, including what reached us later. Nothing needs to be stored for it, and the answer is the same
before and after a rebuild.

**As of** t is the fold, in log order, of the entries with event time <= t, rendered at now = t. As
of any time from the newest event on, the state is the live one, byte for byte.

**Explain** takes value(to) - value(from) apart. The events of the window (from < time <= to) are
taken one by one in the order of (event time, position). Each one's contribution is the value just
after it minus the value just before it, both at the event's own time. What time alone changed,
between events and from the last one until `to`, is `silence`. These differences telescope, so they
add up to the whole difference.

Late events leave one more line, `order`: the log was folded in order of arrival, which matters for
the mean response time, and for a topic or content type only when more than 64 compete. For every
other field, and without late events, it is 0.

A value that does not exist yet (no event, no response, a topic never mentioned) counts as 0 in
differences and is shown as null.
"""

from collections.abc import Callable, Iterable, Sequence
from math import fsum
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast, get_args

import msgspec

from schemas.context import MemoryContext, OfferStatus
from schemas.errors import InvalidInput
from schemas.events import Kind, Sender
from schemas.facts import KINDS
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY, DIGITS
from schemas.times import Time, render_time
from views import (
    emotional_state,
    engagement,
    facts,
    messages,
    notes,
    offers,
    personality,
    preferences,
    responses,
)
from views.context import render_context
from views.state import FanState, fold

History = Sequence[tuple[int, JournalEntry]]
"""One subject's (journal offset, entry) pairs, in log order."""

Value = Callable[[FanState, int], float | None]
"""(state, now)"""
T = TypeVar("T")


class Measure(NamedTuple, Generic[T]):
    """How a field comes about: what is folded of the events, and its value then."""

    fold: Callable[[T | None, JournalEntry, int], T]
    value: Callable[[T, int], float | None]


CONTRIBUTIONS_MAX: Final = 1000
"""Events named one by one; the rest of a longer window is summed up, the smallest ones first."""
ROUNDING: Final = 1e-9
"""Differences of this size, relative to the values, are the last bits of sums in another order."""


class Contribution(msgspec.Struct, frozen=True, rename="camel", gc=False):
    event_id: str
    position: int
    """Journal offset."""
    kind: Kind
    sender: Sender
    timestamp: Time
    before: float | None
    after: float | None
    contribution: float


class Others(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Events beyond the limit, the ones with the smallest contributions."""

    count: int
    contribution: float


class Explanation(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """`difference` = contributions + others + silence + order, to 1e-9."""

    field: str
    from_time: Time | None = msgspec.field(name="from")
    """None: from before the first event."""
    to_time: Time = msgspec.field(name="to")
    from_value: float | None
    to_value: float | None
    difference: float
    contributions: tuple[Contribution, ...]
    """By (event time, position)."""
    others: Others
    silence: float
    order: float


FIELDS: Final[dict[str, Value]] = {
    "engagementScore": lambda state, now: engagement.score(state.engagement, now),
    "totalMessages": lambda state, now: state.engagement.messages,
    "totalPurchases": lambda state, now: state.engagement.purchases,
    "avgResponseTimeSeconds": lambda state, now: responses.mean_seconds(state.responses),
    "emojiFrequency": lambda state, now: personality.emoji_frequency(state.personality),
    "confidenceScore": lambda state, now: personality.confidence(state.personality),
    "interactionCount": lambda state, now: state.engagement.interactions,
}
"""Numbers of the five documents; `value_of` knows the revenue and the entries of maps besides."""

REVENUE: Final = "totalRevenue"
SIGNALS: Final = "signals"
FACTS: Final = "facts"
MAPS: Final = (
    "contentPreferences",
    "topicInterests",
    "revenueByCurrency",
    "offers",
    SIGNALS,
    FACTS,
)
_STATUSES: Final = get_args(OfferStatus)
PATTERN: Final = f"^({'|'.join((*FIELDS, REVENUE))}|({'|'.join(MAPS)})\\..+)$"
"""Of a field's name."""


def value_of(field: str, currency: str = DEFAULT_CURRENCY) -> Value:
    """The function (state, now) -> value of a public numeric field.

    `contentPreferences.<type>`, `topicInterests.<topic>` and `revenueByCurrency.<code>` name one
    entry of a map, `offers.<status>` how many offers have it, `signals.<kind>` how many messages
    said it; `currency` is that of `totalRevenue`. Raises `InvalidInput` for any other field.
    """
    if field == REVENUE:
        return lambda state, now: engagement.revenue(state.engagement, currency)
    value = FIELDS.get(field)
    if value is not None:
        return value
    name, _, key = field.partition(".")
    if key and name == "contentPreferences":
        return lambda state, now: preferences.content_score(
            state.preferences, key, engagement.not_before_newest(state.engagement, now)
        )
    if key and name == "topicInterests":
        return lambda state, now: preferences.topic_score(
            state.preferences, key, engagement.not_before_newest(state.engagement, now)
        )
    if name == "revenueByCurrency" and key in DIGITS and key != currency:
        return lambda state, now: (
            engagement.revenue_by_currency(state.engagement, currency) or {}
        ).get(key)
    if name == "offers" and key in _STATUSES:
        wanted = cast(OfferStatus, key)
        return lambda state, now: offers.count(
            state.offers, wanted, engagement.not_before_newest(state.engagement, now)
        )
    if name == SIGNALS and key in emotional_state.SIGNALS:
        return lambda state, now: emotional_state.signal_count(state.emotional_state, key)
    names = ", ".join((*FIELDS, REVENUE, *(f"{name}.<key>" for name in MAPS)))
    raise InvalidInput("field", f"must be one of {names}")


def measure_of(field: str, currency: str = DEFAULT_CURRENCY) -> Measure[Any]:
    """The same with what has to be folded for it. `facts.<kind>`: how many events have told a fact
    of this kind; no state holds one."""
    name, _, kind = field.partition(".")
    if name == FACTS and kind in KINDS:
        return Measure(lambda told, entry, _: facts.count(told, entry, kind), lambda told, _: told)
    return Measure(fold, value_of(field, currency))


def state_as_of(history: Iterable[tuple[int, JournalEntry]], time: int) -> FanState | None:
    """The state from the events up to and at `time` (ms); None when there were none."""
    return _as_of(fold, history, time)


def _as_of(
    fold: Callable[[T | None, JournalEntry, int], T],
    history: Iterable[tuple[int, JournalEntry]],
    time: int,
) -> T | None:
    state = None
    for position, entry in history:
        if entry.time <= time:
            state = fold(state, entry, position)
    return state


def context_as_of(
    creator_id: str, fan_id: str, history: History, time: int, currency: str = DEFAULT_CURRENCY
) -> MemoryContext | None:
    """The whole context as of `time` (ms); None when nothing had happened by then."""
    state = state_as_of(history, time)
    if state is None:
        return None
    known = [(at, entry) for at, entry in history if entry.time <= time]
    recent, written = messages.newest_entries(known), notes.newest(known)
    told = facts.telling(known)
    return render_context(creator_id, fan_id, state, recent, time, currency, written, told)


def explain(
    history: History,
    field: str,
    from_time: int | None,
    to_time: int,
    *,
    contributions_max: int = CONTRIBUTIONS_MAX,
    currency: str = DEFAULT_CURRENCY,
) -> Explanation:
    """Which events moved `field` between two times (ms), and by how much.

    Raises `InvalidInput` for an unknown field or an empty window. Folds the history up to
    `to_time` twice.
    """
    fold, value = measure_of(field, currency)
    if from_time is not None and from_time >= to_time:
        raise InvalidInput("from", "must be before to")
    state: Any = None
    from_value = None
    if from_time is not None:
        state = _as_of(fold, history, from_time)
        from_value = _value(value, state, from_time)
    end = _as_of(fold, history, to_time)
    to_value = _value(value, end, to_time)

    contributions = []
    silences = []
    last_value = from_value
    for at, entry in _window(history, from_time, to_time):
        before = _value(value, state, entry.time)
        state = fold(state, entry, at)
        after = value(state, entry.time)
        silences.append(_difference(last_value, before))
        contributions.append(
            Contribution(
                event_id=entry.event_id,
                position=at,
                kind=entry.kind,
                sender=entry.sender,
                timestamp=render_time(entry.time),
                before=before,
                after=after,
                contribution=_difference(before, after),
            )
        )
        last_value = after
    in_time_order = _value(value, state, to_time)
    silences.append(_difference(last_value, in_time_order))
    order = _difference(in_time_order, to_value)
    if abs(order) <= ROUNDING * max(1.0, abs(to_value or 0.0)):
        silences.append(order)
        order = 0.0
    named, others = _named(contributions, contributions_max)
    return Explanation(
        field=field,
        from_time=None if from_time is None else render_time(from_time),
        to_time=render_time(to_time),
        from_value=from_value,
        to_value=to_value,
        difference=_difference(from_value, to_value),
        contributions=named,
        others=others,
        silence=fsum(silences),
        order=order,
    )


def _window(
    history: History, from_time: int | None, to_time: int
) -> list[tuple[int, JournalEntry]]:
    """The window's events by (event time, position): the sort is stable on log order."""
    inside = [
        (at, entry)
        for at, entry in history
        if entry.time <= to_time and (from_time is None or entry.time > from_time)
    ]
    return sorted(inside, key=lambda item: item[1].time)


def _value(value: Callable[[Any, int], float | None], state: Any, now: int) -> float | None:
    return None if state is None else value(state, now)


def _difference(before: float | None, after: float | None) -> float:
    return float((after or 0.0) - (before or 0.0))


def _named(
    contributions: list[Contribution], limit: int
) -> tuple[tuple[Contribution, ...], Others]:
    if len(contributions) <= limit:
        return tuple(contributions), Others(0, 0.0)
    ranked = sorted(range(len(contributions)), key=lambda i: -abs(contributions[i].contribution))
    named = tuple(contributions[i] for i in sorted(ranked[:limit]))
    rest = [contributions[i].contribution for i in ranked[limit:]]
    return named, Others(len(rest), fsum(rest))
