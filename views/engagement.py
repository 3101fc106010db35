"""EngagementMetrics: how much, how recently and for how much this fan takes part.

- `engagementScore` = 1 - e^(-a / 12), where a is the decayed sum (half-life 14 days) of weights:
  fan message 1, like 0.5, view 0.2, tip 4 + ln(1 + amount), purchase 5 + ln(1 + amount), amount
  roughly in dollars (`views.money`). 14 days: a fan silent for two weeks is half as engaged. 12:
  a = 12 ln 2 = 8.3, eight messages today or one purchase of 25, is a score of one half. The
  logarithm keeps one large payment from hiding what follows. It falls with silence and never
  exceeds 1. Subscriptions and refunds have no weight.
- `totalMessages`: all messages, both senders. `totalPurchases`: purchases. `totalRevenue`:
  purchases, tips and subscriptions less refunds, exact, since it is summed in minor units: of the
  default currency, with what named none. `revenueByCurrency`: the others', each for itself;
  present when there is one.
- `avgResponseTimeSeconds`: see `views.responses`.
- `lastInteraction`: newest event in which one turned to the other (`views.acts.is_act`); null
  until one. `createdAt`: oldest event time. `updatedAt`: event time of the newest event folded, in
  log order.

A tip or purchase is always the fan's act, whatever `sender` says; a creator's like or view is none.
Nothing decays backwards: a `now` before the newest event (clocks differ by minutes) counts as that
event's time.

Order: counts, revenue and times are exact in any order, the score to rounding; `updatedAt` and
the response time follow log order.
"""

from fractions import Fraction
from math import exp2, expm1, log1p
from typing import TYPE_CHECKING, Final

import msgspec

from schemas.context import EngagementLevel, EngagementMetrics
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.money import DIGITS, major_units
from schemas.rates import DOLLARS, OTHERS
from schemas.relationship import Relationship
from schemas.times import DAY_MS, render_time
from views import responses
from views.acts import is_act, is_direct
from views.decay import decayed, grid, shrink
from views.money import dollars

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "engagementMetrics"
VERSION: Final = 2

HALF_LIFE_MS: Final = 14 * DAY_MS
SCALE: Final = 12.0
MESSAGE_WEIGHT: Final = 1.0
LIKE_WEIGHT: Final = 0.5
VIEW_WEIGHT: Final = 0.2
TIP_WEIGHT: Final = 4.0
PURCHASE_WEIGHT: Final = 5.0
HIGH: Final = 0.66
"""`engagementLevel` is high from here: the upper third of the score."""
MEDIUM: Final = 0.33


class State(msgspec.Struct, omit_defaults=True, gc=False):
    interactions: int = 0
    """Direct events."""
    messages: int = 0
    purchases: int = 0
    revenue: int = 0
    """Cents of what named no currency: purchases, tips and subscriptions less refunds."""
    currencies: dict[str, int] = msgspec.field(default_factory=dict)
    """The same in minor units of the currencies that were named."""
    created_at: int = 0
    """Oldest event time, ms; 0: no event yet (no accepted event is that old)."""
    last_interaction: int = 0
    later: int = 0
    """Newest time of what is no interaction, ms."""
    updated_at: int = 0
    as_of: int = 0
    """Grid point, ms, at which the two decayed values are kept (`views.decay`)."""
    activity: float = 0.0
    """Decayed sum of weights: a in the formula."""
    fan_messages: float = 0.0
    """Decayed number of fan messages, for `messageFrequency`."""


def fold(state: State, entry: JournalEntry, position: int) -> None:
    kind = entry.kind
    time = entry.time
    plain = entry.details is None
    direct = plain or is_direct(entry)
    if direct:
        state.interactions += 1
    state.updated_at = time
    if not state.created_at or time < state.created_at:
        state.created_at = time
    if (plain and kind != "refund") or is_act(entry):
        if time > state.last_interaction:
            state.last_interaction = time
    elif time > state.later:
        state.later = time
    as_of = state.as_of
    if time - as_of >= HALF_LIFE_MS:
        _move(state, time)
        as_of = state.as_of
    if kind == "message":
        state.messages += 1
        if entry.sender == "fan" and direct:
            scale = exp2((time - as_of) / HALF_LIFE_MS)
            state.activity += MESSAGE_WEIGHT * scale
            state.fan_messages += scale
        return
    if kind == "like":
        points = LIKE_WEIGHT
    elif kind == "view":
        points = VIEW_WEIGHT
    else:
        _earn(state, entry)
        if kind == "purchase":
            state.purchases += 1
            points = PURCHASE_WEIGHT + log1p(dollars(entry))
        elif kind == "tip":
            points = TIP_WEIGHT + log1p(dollars(entry))
        else:
            return
    state.activity += points * exp2((time - as_of) / HALF_LIFE_MS)


def settle(state: State, refund: JournalEntry) -> None:
    """Take what a refund has beyond its payment from the revenue: it is no event of the fan's."""
    if refund.amount:
        _earn(state, refund)


def _earn(state: State, entry: JournalEntry) -> None:
    amount = entry.amount or 0
    if entry.kind == "refund":
        amount = -amount
    details = entry.details
    if details is None or details.currency is None:
        state.revenue += amount
    else:
        sums = state.currencies
        sums[details.currency] = sums.get(details.currency, 0) + amount


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
    """Every event moves `updatedAt`."""
    return True


def _move(state: State, time: int) -> None:
    later = grid(time, HALF_LIFE_MS)
    factor = shrink(state.as_of, later, HALF_LIFE_MS)
    state.as_of = later
    state.activity *= factor
    state.fan_messages *= factor


def not_before_newest(state: State, now: int) -> int:
    """`now`, or the newest event's time when that is later."""
    return max(now, state.last_interaction, state.later)


def score(state: State, now: int) -> float:
    """The engagement score at `now` (ms), in [0, 1]."""
    now = not_before_newest(state, now)
    return -expm1(-decayed(state.activity, state.as_of, now, HALF_LIFE_MS) / SCALE)


def level(score: float) -> EngagementLevel:
    if score >= HIGH:
        return "high"
    return "medium" if score >= MEDIUM else "low"


def fan_messages(state: State, now: int) -> float:
    """The decayed number of fan messages at `now`, half-life `HALF_LIFE_MS`."""
    now = not_before_newest(state, now)
    return decayed(state.fan_messages, state.as_of, now, HALF_LIFE_MS)


def revenue(state: State, currency: str) -> float:
    """What was paid in this currency or in none that was named, in major units: the float nearest
    to the exact sum."""
    named = state.currencies.get(currency)
    if named is None:
        return state.revenue / 100
    return float(Fraction(state.revenue, 100) + Fraction(named, 10 ** DIGITS[currency]))


def revenue_by_currency(state: State, currency: str) -> dict[str, float] | None:
    """What was paid in others than this, in major units; None when nothing was."""
    others = sorted(state.currencies.keys() - {currency})
    return {code: major_units(state.currencies[code], code) for code in others} or None


def paid(state: State, currency: str) -> dict[str, float]:
    """What was paid in each currency, in major units; what named none is in this one."""
    return {currency: revenue(state, currency), **(revenue_by_currency(state, currency) or {})}


def worth(state: State) -> int:
    """What was paid in all currencies, roughly in US cents (`schemas.rates`): to compare fans by,
    never a sum of money. Exact, if all of it was in dollars or named nothing."""
    if not state.currencies:
        return state.revenue
    others = sorted(state.currencies.items())
    return state.revenue + round(
        100 * sum(major_units(paid, code) * DOLLARS.get(code, OTHERS) for code, paid in others)
    )


def render(fan: "Fan", who: Relationship, now: int) -> EngagementMetrics:
    creator_id, fan_id = who
    state = fan.state.engagement
    # Of a fan known by nothing but the creator's likes.
    created_at = state.created_at or fan.state.known_since
    return EngagementMetrics(
        fan_id=fan_id,
        creator_id=creator_id,
        engagement_score=score(state, now),
        total_messages=state.messages,
        total_purchases=state.purchases,
        total_revenue=revenue(state, fan.currency),
        avg_response_time_seconds=responses.mean_seconds(fan.state.responses),
        last_interaction=render_time(state.last_interaction) if state.last_interaction else None,
        created_at=render_time(created_at),
        updated_at=render_time(state.updated_at or created_at),
        revenue_by_currency=revenue_by_currency(state, fan.currency),
    )
