"""FanPreferences: what this fan looks at, talks about, buys, and when.

- `contentPreferences`: per content type (`metadata.contentType`) 1 - e^(-w / 10), w = decayed
  weight (half-life 60 days: tastes last, but they change) of view 1, like 2, tip 5, purchase 8.
  At most 64 types are kept, the smallest goes first.
- `topicInterests`: per topic of fan messages max(0, 1 - e^(-w / 5)), w = decayed count (60
  days), where a message labelled negative counts -0.5: a complaint is not an interest. At most
  64 are kept, the smallest (so a disliked one) goes first. Keys over 64 characters are not
  counted. Both maps are rendered strongest first.
- `purchasePatterns`, in this order; times of day are UTC:
  `repeat_buyer` at least 3 purchases; `frequent_buyer` decayed number of purchases (30 days) at
  least 4 at `now`; `big_spender` median purchase at least 50.00; `small_spender` median purchase
  under 10.00; `tipper` at least 3 tips; `evening_buyer` / `night_buyer` / `weekend_buyer` at
  least 60 % of at least 3 purchases from 18:00 / from 00:00 to 06:00 / on Saturday or Sunday;
  `buys:<contentType>` at least 50 % of at least 3 purchases; `lapsed_buyer` at least 2 purchases
  and none for 60 days at `now`; `refunds` / `chargebacks` at least one. Amounts of other
  currencies are weighed roughly in dollars (`views.money`).
- `communicationPreferences`: `preferredResponseTime` the one of the six 4-hour UTC windows with
  most fan messages (of equals the earliest), from 10 messages; `messageFrequency` from
  r = decayed fan messages (14 days) * ln 2 / 14 per day: `several_per_day` r >= 3, `daily`
  r >= 0.7, `weekly` r >= 0.1, else `rare`; `preferredMessageLength` and `likesEmojis`
  (emojiFrequency at least 0.3) of `views.personality`; `likesGifs` at least 2 messages with a
  GIF, or at least 10 % of them.
- `subscription`: `status` of the newest such event (`active`, `trial`, `cancelled`, `expired`);
  `since` the newest start, or the first event without one; `until` what that event says, what was
  paid last when it was cancelled, its own time when it expired. A subscription's money is no
  purchase: renewing is a timer's habit, not the fan's.
- `lastUpdated`: newest event that moved this view (fan message, purchase, tip, subscription, and
  like or view with a content type); `createdAt` until one. A refund is a correction and moves it
  not.

The median is exact without keeping the amounts: per threshold two counts and the amounts next to
it on both sides decide on which side of it the median, or the mean of the two middle amounts, lies.

Order: exact or to rounding in any order as long as no more than 64 types or topics compete (16
types of purchases, which is enough to find the at most two that have half of them).
"""

from math import exp2, expm1, log
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from schemas.context import CommunicationPreferences, FanPreferences, SubscriptionState
from schemas.details import NO_DETAILS, Subscription, SubscriptionEvent
from schemas.events import Kind, Sender
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.text_features import NO_TEXT
from schemas.times import DAY_MS, HOUR_MS, render_time
from views import engagement, personality
from views.acts import is_direct
from views.decay import decayed, evict_smallest, grid, largest, reaches, shrink, shrink_all
from views.money import dollars

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "preferences"
VERSION: Final = 2

HALF_LIFE_MS: Final = 60 * DAY_MS
PURCHASE_HALF_LIFE_MS: Final = 30 * DAY_MS
"""A whole fraction of `HALF_LIFE_MS`, so that both share one grid."""
KEPT_MAX: Final = 64
KEY_LENGTH_MAX: Final = 64
BOUGHT_MAX: Final = 16
CONTENT_WEIGHTS: Final = {"view": 1.0, "like": 2.0, "tip": 5.0, "purchase": 8.0}
CONTENT_SCALE: Final = 10.0
TOPIC_WEIGHT: Final = 1.0
TOPIC_WEIGHT_NEGATIVE: Final = -0.5
TOPIC_SCALE: Final = 5.0

REPEAT_MIN: Final = 3
FREQUENT_MIN: Final = 4.0
BIG_TICKET: Final = 50_00
"""Minor units."""
SMALL_TICKET: Final = 10_00
TIPS_MIN: Final = 3
HABIT_PURCHASES_MIN: Final = 3
HABIT_PERCENT_MIN: Final = 60
TYPE_PERCENT_MIN: Final = 50
LAPSED_PURCHASES_MIN: Final = 2
LAPSED_MS: Final = 60 * DAY_MS
EVENING_HOUR: Final = 18
NIGHT_END_HOUR: Final = 6
SATURDAY: Final = 5

WINDOW_HOURS: Final = 4
WINDOW_MESSAGES_MIN: Final = 10
RATE_PER_DAY: Final = log(2) * DAY_MS / engagement.HALF_LIFE_MS
"""A steady rate r per day holds the decayed count at r / RATE_PER_DAY."""
SEVERAL_PER_DAY: Final = 3.0
DAILY: Final = 0.7
WEEKLY: Final = 0.1
LIKES_EMOJIS_MIN: Final = 0.3
GIFS_MIN: Final = 2
GIF_PERCENT_MIN: Final = 10

_WINDOWS: Final = 24 // WINDOW_HOURS
_WINDOW_MS: Final = WINDOW_HOURS * HOUR_MS
_WINDOW_NAMES: Final = tuple(
    f"{start:02d}:00-{(start + WINDOW_HOURS) % 24:02d}:00 UTC" for start in range(0, 24, 4)
)


class Tickets(msgspec.Struct, omit_defaults=True, gc=False):
    """Purchases on both sides of a threshold, enough to place their median; minor units."""

    below: int = 0
    above: int = 0
    """At or above the threshold."""
    highest_below: int = 0
    lowest_above: int = 0

    def add(self, amount: int, threshold: int) -> None:
        if amount < threshold:
            if not self.below or amount > self.highest_below:
                self.highest_below = amount
            self.below += 1
        else:
            if not self.above or amount < self.lowest_above:
                self.lowest_above = amount
            self.above += 1

    def median_below(self, threshold: int) -> bool:
        if self.below != self.above:
            return self.below > self.above
        return self.highest_below + self.lowest_above < 2 * threshold


class Subscribed(msgspec.Struct, omit_defaults=True, gc=False):
    """What is known of a subscription; times in ms, 0: none."""

    first: int
    """Of the oldest event."""
    started: int = 0
    """Of the newest start."""
    newest: int = 0
    event: SubscriptionEvent = "started"
    """The newest one, and what it says:"""
    trial: bool = False
    until: int = 0
    paid: int = 0
    """Of the newest start or renewal."""
    paid_until: int = 0


class State(msgspec.Struct, omit_defaults=True, gc=False):
    updated_at: int = 0
    """Event time, ms, of the newest event that moved this view; 0: none yet."""
    as_of: int = 0
    """Grid point, ms, at which the decayed values are kept (`views.decay`)."""
    content: dict[str, float] = msgspec.field(default_factory=dict)
    """Decayed weight per content type, at most 64."""
    topics: dict[str, float] = msgspec.field(default_factory=dict)
    """Decayed signed count per topic, at most 64."""
    windows: list[int] = msgspec.field(default_factory=list)
    """Fan messages per 4-hour UTC window; empty until the first."""
    messages: int = 0
    """Fan messages."""
    gifs: int = 0
    """Fan messages with a GIF."""
    tips: int = 0
    purchases: int = 0
    recent_purchases: float = 0.0
    """Decayed number of purchases, half-life 30 days."""
    last_purchase: int = 0
    evening: int = 0
    night: int = 0
    weekend: int = 0
    bought: dict[str, int] = msgspec.field(default_factory=dict)
    """Purchases per content type, at most 16."""
    big: Tickets = msgspec.field(default_factory=Tickets)
    """Purchases around 50.00."""
    small: Tickets = msgspec.field(default_factory=Tickets)
    """Purchases around 10.00."""
    refunds: int = 0
    chargebacks: int = 0
    subscribed: Subscribed | None = None


def fold(state: State, entry: JournalEntry, position: int) -> None:
    kind = entry.kind
    if kind == "message":
        if entry.sender == "fan" and (entry.details is None or is_direct(entry)):
            _fold_message(state, entry)
        return
    if kind == "refund":
        if entry.details is not None and entry.details.reason == "chargeback":
            state.chargebacks += 1
        else:
            state.refunds += 1
        return
    if kind == "subscription":
        _fold_subscription(state, entry)
        return
    content_type = entry.content_type
    if content_type is None and kind != "purchase" and kind != "tip":
        return
    time = entry.time
    if time > state.updated_at:
        state.updated_at = time
    if time - state.as_of >= HALF_LIFE_MS:
        _move(state, time)
    if kind == "purchase":
        _fold_purchase(state, entry)
    elif kind == "tip":
        state.tips += 1
    if content_type is not None and len(content_type) <= KEY_LENGTH_MAX:
        content = state.content
        gain = CONTENT_WEIGHTS[kind] * exp2((time - state.as_of) / HALF_LIFE_MS)
        content[content_type] = content.get(content_type, 0.0) + gain
        if len(content) > KEPT_MAX:
            evict_smallest(content)


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
    """Every event: `lastUpdated` may be `createdAt`, which any late event moves."""
    return True


def _fold_message(state: State, entry: JournalEntry) -> None:
    text = entry.text or NO_TEXT
    time = entry.time
    if time > state.updated_at:
        state.updated_at = time
    state.messages += 1
    if entry.gif or text.gif:
        state.gifs += 1
    if not state.windows:
        state.windows = [0] * _WINDOWS
    state.windows[time // _WINDOW_MS % _WINDOWS] += 1
    if not text.topics:
        return
    if time - state.as_of >= HALF_LIFE_MS:
        _move(state, time)
    topics = state.topics
    unit = TOPIC_WEIGHT_NEGATIVE if text.sentiment == "negative" else TOPIC_WEIGHT
    gain = unit * exp2((time - state.as_of) / HALF_LIFE_MS)
    for topic in text.topics:
        if len(topic) <= KEY_LENGTH_MAX:
            topics[topic] = topics.get(topic, 0.0) + gain
            if len(topics) > KEPT_MAX:
                evict_smallest(topics)


def _fold_purchase(state: State, entry: JournalEntry) -> None:
    time = entry.time
    state.purchases += 1
    state.recent_purchases += exp2((time - state.as_of) / PURCHASE_HALF_LIFE_MS)
    if time > state.last_purchase:
        state.last_purchase = time
    hour = time // HOUR_MS % 24
    if hour >= EVENING_HOUR:
        state.evening += 1
    elif hour < NIGHT_END_HOUR:
        state.night += 1
    # 1970-01-01, day 0, was a Thursday: 3 with Monday as 0.
    if (time // DAY_MS + 3) % 7 >= SATURDAY:
        state.weekend += 1
    amount = round(100 * dollars(entry))
    state.big.add(amount, BIG_TICKET)
    state.small.add(amount, SMALL_TICKET)
    content_type = entry.content_type
    if content_type is not None and len(content_type) <= KEY_LENGTH_MAX:
        bought = state.bought
        bought[content_type] = bought.get(content_type, 0) + 1
        if len(bought) > BOUGHT_MAX:
            del bought[min(bought, key=lambda key: (bought[key], key))]


def _fold_subscription(state: State, entry: JournalEntry) -> None:
    time = entry.time
    if time > state.updated_at:
        state.updated_at = time
    said = (entry.details or NO_DETAILS).subscription or Subscription("renewed")
    known = state.subscribed
    if known is None:
        known = state.subscribed = Subscribed(first=time)
    known.first = min(known.first, time)
    if said.event == "started":
        known.started = max(known.started, time)
    if said.event in ("started", "renewed") and time >= known.paid:
        known.paid, known.paid_until = time, said.until or 0
    if time >= known.newest:
        known.newest, known.event, known.trial = time, said.event, said.trial
        known.until = said.until or 0


def _move(state: State, time: int) -> None:
    later = grid(time, HALF_LIFE_MS)
    factor = shrink(state.as_of, later, HALF_LIFE_MS)
    state.recent_purchases *= shrink(state.as_of, later, PURCHASE_HALF_LIFE_MS)
    state.as_of = later
    shrink_all(state.content, factor)
    shrink_all(state.topics, factor)


def _saturate(weight: float, scale: float) -> float:
    return -expm1(-weight / scale) if weight > 0 else 0.0


def content_score(state: State, content_type: str, now: int) -> float | None:
    """In [0, 1]; None for a type that is not kept. `now` must not be before the newest event."""
    weight = state.content.get(content_type)
    if weight is None:
        return None
    return _saturate(decayed(weight, state.as_of, now, HALF_LIFE_MS), CONTENT_SCALE)


def topic_score(state: State, topic: str, now: int) -> float | None:
    """In [0, 1]; None for a topic that is not kept. `now` must not be before the newest event."""
    weight = state.topics.get(topic)
    if weight is None:
        return None
    return _saturate(decayed(weight, state.as_of, now, HALF_LIFE_MS), TOPIC_SCALE)


def _scores(weights: dict[str, float], scale: float, fade: float) -> dict[str, float]:
    return {key: _saturate(weights[key] * fade, scale) for key in largest(weights, len(weights))}


def purchase_patterns(state: State, now: int) -> tuple[str, ...]:
    count = state.purchases
    patterns = []
    if count >= REPEAT_MIN:
        patterns.append("repeat_buyer")
    recent = decayed(state.recent_purchases, state.as_of, now, PURCHASE_HALF_LIFE_MS)
    if reaches(recent, FREQUENT_MIN):
        patterns.append("frequent_buyer")
    if count and not state.big.median_below(BIG_TICKET):
        patterns.append("big_spender")
    if count and state.small.median_below(SMALL_TICKET):
        patterns.append("small_spender")
    if state.tips >= TIPS_MIN:
        patterns.append("tipper")
    if count >= HABIT_PURCHASES_MIN:
        for name, part in (
            ("evening_buyer", state.evening),
            ("night_buyer", state.night),
            ("weekend_buyer", state.weekend),
        ):
            if 100 * part >= HABIT_PERCENT_MIN * count:
                patterns.append(name)
        patterns.extend(
            f"buys:{content_type}"
            for content_type, part in sorted(state.bought.items())
            if 100 * part >= TYPE_PERCENT_MIN * count
        )
    if count >= LAPSED_PURCHASES_MIN and now - state.last_purchase >= LAPSED_MS:
        patterns.append("lapsed_buyer")
    if state.refunds:
        patterns.append("refunds")
    if state.chargebacks:
        patterns.append("chargebacks")
    return tuple(patterns)


def subscription(state: State) -> SubscriptionState | None:
    known = state.subscribed
    if known is None:
        return None
    until = known.until
    status: Literal["active", "trial", "cancelled", "expired"] = "active"
    if known.event == "cancelled":
        status, until = "cancelled", until or known.paid_until
    elif known.event == "expired":
        status, until = "expired", until or known.newest
    elif known.trial:
        status = "trial"
    since = render_time(known.started or known.first)
    return SubscriptionState(status, since, render_time(until) if until else None)


def preferred_window(state: State) -> str | None:
    if state.messages < WINDOW_MESSAGES_MIN:
        return None
    return _WINDOW_NAMES[state.windows.index(max(state.windows))]


def message_frequency(state: engagement.State, now: int) -> str:
    rate = engagement.fan_messages(state, now) * RATE_PER_DAY
    if reaches(rate, SEVERAL_PER_DAY):
        return "several_per_day"
    if reaches(rate, DAILY):
        return "daily"
    return "weekly" if reaches(rate, WEEKLY) else "rare"


def likes_gifs(state: State) -> bool:
    if not state.gifs:
        return False
    return state.gifs >= GIFS_MIN or 100 * state.gifs >= GIF_PERCENT_MIN * state.messages


def render(fan: "Fan", who: Relationship, now: int) -> FanPreferences:
    state = fan.state.preferences
    emojis = personality.emoji_frequency(fan.state.personality)
    now = engagement.not_before_newest(fan.state.engagement, now)
    fade = exp2((state.as_of - now) / HALF_LIFE_MS)
    return FanPreferences(
        fan_id=who[1],
        content_preferences=_scores(state.content, CONTENT_SCALE, fade),
        topic_interests=_scores(state.topics, TOPIC_SCALE, fade),
        purchase_patterns=purchase_patterns(state, now),
        communication_preferences=CommunicationPreferences(
            preferred_response_time=preferred_window(state),
            message_frequency=message_frequency(fan.state.engagement, now),
            preferred_message_length=personality.message_length(fan.state.personality),
            likes_emojis=reaches(emojis, LIKES_EMOJIS_MIN),
            likes_gifs=likes_gifs(state),
        ),
        last_updated=render_time(
            state.updated_at or fan.state.engagement.created_at or fan.state.known_since
        ),
        subscription=subscription(state),
    )
