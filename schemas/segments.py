"""Segments: which of a creator's fans are meant, by what is remembered of them.

A segment is a list of conditions, and who meets all of them is a member; the empty one means every
fan. Each condition is about a field of the public documents (`views.segments` says it of a state):

- `sentiment`: `currentSentiment`. `level`: `engagementLevel`. `minScore`, `maxScore`: bounds of
  `engagementScore`, both inclusive.
- `topic`: a key of `topicInterests` whose value is above 0. `pattern`: one of `purchasePatterns`.
- `minRevenue`, `maxRevenue`: bounds of `revenue`, both inclusive, in US dollars: what was paid in
  all currencies, roughly, by the table of `schemas.rates`, so that fans who pay in different ones
  can be compared. It is exact for a fan all of whose payments were in dollars or named no currency.
- `signal`: a kind that is in `emotionalState.signals`; with `signalSince`, at that time or later.
- `waiting`: whether `inbox.waitingSince` is a time, or null.
- `activeSince`: `lastInteraction` is that time or later. `silentSince`: it is earlier, or there was
  none.

What decays, the score, the level and two of the patterns, is as of the moment of asking.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from schemas.characters import has_control
from schemas.context import EngagementLevel, SignalAt
from schemas.errors import InvalidInput
from schemas.text_features import Sentiment, SignalKind
from schemas.times import Time, from_datetime

Sort = Literal["score", "revenue", "lastInteraction", "waitingSince"]
"""What the fans of a page are ordered by, the largest or newest first; by `waitingSince` those who
wait, the longest first, and nobody else."""

SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
PATTERNS: Final = (
    "repeat_buyer",
    "frequent_buyer",
    "big_spender",
    "small_spender",
    "tipper",
    "evening_buyer",
    "night_buyer",
    "weekend_buyer",
    "lapsed_buyer",
    "refunds",
    "chargebacks",
)
"""Of `purchasePatterns`; `buys:<contentType>` are the others."""
BUYS: Final = "buys:"
NAME_LENGTH_MAX: Final = 64
"""Of a topic, and of a content type: no view keeps a longer one."""
REVENUE_MAX: Final = 10**10
"""US dollars, of either sign: refunds can be more than payments."""

_Score = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Revenue = Annotated[float, msgspec.Meta(ge=-REVENUE_MAX, le=REVENUE_MAX)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Segment(
    msgspec.Struct,
    frozen=True,
    rename="camel",
    omit_defaults=True,
    forbid_unknown_fields=True,
    gc=False,
):
    """The conditions; None: there is none. Raises `InvalidInput` with the field and the fix."""

    sentiment: Sentiment | None = None
    level: EngagementLevel | None = None
    min_score: _Score | None = None
    max_score: _Score | None = None
    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH_MAX)] | None = None
    pattern: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=len(BUYS) + NAME_LENGTH_MAX)] | None
    ) = None
    min_revenue: _Revenue | None = None
    """US dollars, to the cent."""
    max_revenue: _Revenue | None = None
    active_since: _Moment | None = None
    silent_since: _Moment | None = None
    signal: SignalKind | None = None
    signal_since: _Moment | None = None
    """Of `signal`, which it needs."""
    waiting: bool | None = None

    def __post_init__(self) -> None:
        _one_of("sentiment", self.sentiment, get_args(Sentiment))
        _one_of("level", self.level, get_args(EngagementLevel))
        _within("minScore", self.min_score, 0, 1)
        _within("maxScore", self.max_score, 0, 1)
        _within("minRevenue", self.min_revenue, -REVENUE_MAX, REVENUE_MAX)
        _within("maxRevenue", self.max_revenue, -REVENUE_MAX, REVENUE_MAX)
        _cents("minRevenue", self.min_revenue)
        _cents("maxRevenue", self.max_revenue)
        if self.topic is not None:
            _check_name("topic", self.topic)
        if self.pattern is not None:
            _check_pattern(self.pattern)
        _zoned("activeSince", self.active_since)
        _zoned("silentSince", self.silent_since)
        _one_of("signal", self.signal, get_args(SignalKind))
        _zoned("signalSince", self.signal_since)
        if self.signal_since is not None and self.signal is None:
            raise InvalidInput("signalSince", "needs a signal, such as distress")
        _in_order("minScore", self.min_score, "maxScore", self.max_score)
        _in_order("minRevenue", self.min_revenue, "maxRevenue", self.max_revenue)
        active, silent = self.active_since_ms, self.silent_since_ms
        if active is not None and silent is not None and active >= silent:
            raise InvalidInput("activeSince", "must be before silentSince: nobody is both")

    @property
    def min_revenue_cents(self) -> int | None:
        return _cents("minRevenue", self.min_revenue)

    @property
    def max_revenue_cents(self) -> int | None:
        return _cents("maxRevenue", self.max_revenue)

    @property
    def active_since_ms(self) -> int | None:
        return None if self.active_since is None else from_datetime(self.active_since)

    @property
    def silent_since_ms(self) -> int | None:
        return None if self.silent_since is None else from_datetime(self.silent_since)

    @property
    def signal_since_ms(self) -> int | None:
        return None if self.signal_since is None else from_datetime(self.signal_since)


class FanSummary(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One fan of a page: fields of the public documents, by their names there, and `revenue`."""

    fan_id: str
    engagement_score: float
    engagement_level: EngagementLevel
    current_sentiment: Sentiment
    dominant_emotions: tuple[str, ...]
    revenue: float
    """What was paid in all currencies, roughly in US dollars: what `minRevenue` means."""
    total_revenue: float
    """Exactly what was paid in the default currency."""
    total_messages: int
    total_purchases: int
    purchase_patterns: tuple[str, ...]
    last_interaction: Time | None
    version: str
    """Journal position of the newest interaction that it knows of."""
    revenue_by_currency: dict[str, float] | None = None
    """Exactly what was paid in others than the default currency; absent when nothing was."""
    signals: dict[SignalKind, SignalAt] | None = None
    """As in `emotionalState`; absent when there was none."""
    waiting_since: Time | None = None
    """As in `inbox`; absent when nothing waits, and so is `unanswered`."""
    unanswered: int = 0
    engagement_percentile: float | None = None
    """The share of the creator's fans whose score is this one's or less, to half a percent; absent
    when it could not be found out in time."""


FIELDS: Final = tuple(field.encode_name for field in msgspec.structs.fields(Segment))
"""Names of the conditions, as they are written in a query or in JSON."""


def parse_segment(given: Mapping[str, str]) -> Segment:
    """The segment that these texts name, as of a query; what is no condition is not looked at.

    Raises `InvalidInput` with the condition's name and what would be right, without its value.
    """
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Segment):
        text = given.get(field.encode_name)
        if text is not None:
            values[field.name] = _PARSERS.get(field.encode_name, _text)(field.encode_name, text)
    return Segment(**values)


def _text(field: str, text: str) -> str:
    return text


_decimal: Final = re.compile(r"-?\d{1,12}(?:\.\d{1,17})?", re.ASCII).fullmatch


def _number(field: str, text: str) -> float:
    if _decimal(text) is None:
        raise InvalidInput(field, "must be a decimal number, such as 0.66 or 100")
    return float(text)


def _moment(field: str, text: str) -> datetime:
    try:
        found = msgspec.convert(text, datetime)
        # Also that it is one of the years 1 to 9999 in UTC, out of which an offset can lead.
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        pass
    # A plus sign in a query is a space unless it is written %2B: say so, it is a classic.
    raise InvalidInput(field, "must be an RFC 3339 time with a zone (write + as %2B)")


def _flag(field: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidInput(field, "must be true or false")
    return text == "true"


_PARSERS: Final[dict[str, Callable[[str, str], Any]]] = {
    **dict.fromkeys(("minScore", "maxScore", "minRevenue", "maxRevenue"), _number),
    **dict.fromkeys(("activeSince", "silentSince", "signalSince"), _moment),
    "waiting": _flag,
}


def _one_of(field: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise InvalidInput(field, "must be one of " + ", ".join(known))


def _within(field: str, value: float | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:  # NaN is not, either
        raise InvalidInput(field, f"must be from {least} to {most}")


def _cents(field: str, value: float | None) -> int | None:
    if value is None:
        return None
    cents = round(value * 100)
    if cents / 100 != value:
        raise InvalidInput(field, "must have at most 2 digits after the point")
    return cents


def _check_name(field: str, value: str) -> None:
    if not 1 <= len(value) <= NAME_LENGTH_MAX:
        raise InvalidInput(field, f"must be 1 to {NAME_LENGTH_MAX} characters")
    if has_control(value):
        raise InvalidInput(field, "must not contain control characters")


def _check_pattern(value: str) -> None:
    if value.startswith(BUYS):
        _check_name("pattern", value.removeprefix(BUYS))
    elif value not in PATTERNS:
        raise InvalidInput(
            "pattern", "must be buys: and a content type, or one of " + ", ".join(PATTERNS)
        )


def _zoned(field: str, value: datetime | None) -> None:
    if value is not None and value.tzinfo is None:
        raise InvalidInput(field, "must be an RFC 3339 time with a zone")


def _in_order(low: str, least: float | None, high: str, most: float | None) -> None:
    if least is not None and most is not None and least > most:
        raise InvalidInput(low, f"must be at most {high}: nobody is between them")
