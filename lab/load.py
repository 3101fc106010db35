"""Load: synthetic interactions from a seed, with the flaws of real ones, and what they add up to.

The same arguments give the same bytes, so a failing run can be repeated. `Totals` is reckoned here
from what was emitted, with plain sums and nothing of the pipeline's: it is what the views are
held against.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import msgspec

from schemas.relationship import Relationship
from schemas.times import DAY_MS, HOUR_MS, SECOND_MS, render_time

START_MS: Final = 1_748_736_000_000
"""2025-06-01T00:00:00Z: fixed, so that a seed gives the same bytes on any day."""
STEP_MS_MAX: Final = 30 * SECOND_MS
LATE_MS_MAX: Final = 30 * DAY_MS
REMEMBERED_MAX: Final = 4_000
"""How far back a duplicate may reach: from the same batch to long after."""
FANS_PER_CREATOR: Final = 500

Nature = Literal["fresh", "late", "duplicate", "conflict", "bad"]
REPEATED: Final = ("duplicate", "conflict")
"""Of an identity that was emitted before."""

_TEXTS: Final = (
    "good morning! slept well?",
    "that last picture made my whole day 😍",
    "haha no way 😂😂",
    "I am not sure this is worth it anymore",
    "when is the next stream?",
    "te extraño mucho ❤️",
    "c'est magnifique, merci",
    "Könntest du mir eins mit Katze schicken?",
    "ugh, what a terrible day at work :(",
    "love it love it love it",
    "Thank you so much for answering.",
    "hey",
    "could you do something with music next time? I play the guitar myself",
    "ok",
    "you are the best 🔥🔥🔥",
    "posso vedere il resto?",
)
_CONTENT_TYPES: Final = ("photo", "video", "audio", "story", "stream")


class Event(NamedTuple):
    """One record to publish, and what became clear while making it."""

    relationship: Relationship
    value: bytes | None
    nature: Nature
    kind: str = ""
    amount: int = 0
    """Minor units; 0 for what carries no money."""


@dataclass(frozen=True)
class Mix:
    """Shares of the flawed ones; the rest is fresh and in time."""

    duplicates: float = 0.01
    """A quarter of them are conflicts: of a known id, but another event."""
    late: float = 0.01
    bad: float = 0.005


@dataclass(slots=True)
class Totals:
    """What the events of one relationship add up to, each counted once."""

    interactions: int = 0
    messages: int = 0
    purchases: int = 0
    revenue: int = 0
    """Minor units."""


def events(seed: int, count: int, fans: int, mix: Mix | None = None) -> Iterator[Event]:
    """`count` events over up to `fans` relationships, a few of them much more talkative."""
    mix = mix or Mix()
    rng = random.Random(seed)
    remembered: deque[Event] = deque(maxlen=REMEMBERED_MAX)
    time = START_MS
    for number in range(count):
        time += rng.randrange(STEP_MS_MAX)
        luck = rng.random()
        if luck < mix.duplicates and remembered:
            yield _again(rng, remembered)
            continue
        who = _relationship(rng, fans)
        if luck < mix.duplicates + mix.bad:
            yield Event(who, rng.choice(_BAD)(who, time), "bad")
            continue
        late = luck < mix.duplicates + mix.bad + mix.late
        when = time - rng.randrange(HOUR_MS, LATE_MS_MAX) if late else time
        event = _event(rng, who, f"e{seed}-{number}", when, "late" if late else "fresh")
        remembered.append(event)
        yield event


def totals(emitted: Iterable[Event]) -> dict[Relationship, Totals]:
    """The sums that the views must show, repeated and bad ones left out."""
    sums: dict[Relationship, Totals] = {}
    for event in emitted:
        if event.nature == "bad" or event.nature in REPEATED:
            continue
        total = sums.setdefault(event.relationship, Totals())
        total.interactions += 1
        total.messages += event.kind == "message"
        total.purchases += event.kind == "purchase"
        total.revenue += event.amount
    return sums


def _relationship(rng: random.Random, fans: int) -> Relationship:
    # The square puts a tenth of all events on the hundredth part of the fans.
    fan = int(fans * rng.random() ** 2)
    return f"creator-{fan // FANS_PER_CREATOR:03d}", f"fan-{fan:06d}"


def _event(
    rng: random.Random, who: Relationship, event_id: str, when: int, nature: Nature
) -> Event:
    kind = rng.choices(("message", "purchase", "tip", "like", "view"), (70, 5, 5, 10, 10))[0]
    wire: dict[str, Any] = {
        "eventId": event_id,
        "creatorId": who[0],
        "fanId": who[1],
        "type": kind,
        "timestamp": render_time(when),
    }
    amount = 0
    if kind == "message":
        wire["content"] = rng.choice(_TEXTS)
        wire["sender"] = "creator" if rng.random() < 0.4 else "fan"
    else:
        wire["metadata"] = {"contentType": rng.choice(_CONTENT_TYPES)}
    if kind in ("purchase", "tip"):
        amount = rng.randrange(100, 20_000)
        wire["amount"] = amount / 100
    return Event(who, msgspec.json.encode(wire), nature, kind, amount)


def _again(rng: random.Random, remembered: Sequence[Event]) -> Event:
    """An earlier event once more; every fourth time another one under its id."""
    back = min(int(rng.expovariate(1 / 200)), len(remembered) - 1)
    first = remembered[-1 - back]
    if rng.random() < 0.25 and first.value is not None:
        wire = msgspec.json.decode(first.value)
        other = wire | _OTHERWISE.get(first.kind, _OTHER_CONTENT)
        if other != wire:
            return Event(first.relationship, msgspec.json.encode(other), "conflict")
    return Event(first.relationship, first.value, "duplicate")


def _changed(**fields: Any) -> Callable[[Relationship, int], bytes]:
    def make(who: Relationship, time: int) -> bytes:
        wire = {
            "creatorId": who[0],
            "fanId": who[1],
            "type": "message",
            "content": "hello",
            "timestamp": render_time(time),
        }
        return msgspec.json.encode(
            {name: value for name, value in (wire | fields).items() if value is not None}
        )

    return make


def _replaced(value: bytes | None) -> Callable[[Relationship, int], bytes | None]:
    return lambda _who, _time: value


def _torn(who: Relationship, time: int) -> bytes:
    return _changed()(who, time)[:-7]


_OTHER_CONTENT: Final[dict[str, Any]] = {"metadata": {"contentType": "changed"}}
_OTHERWISE: Final[dict[str, dict[str, Any]]] = {
    "message": {"content": "I have thought about it again."},
    "purchase": {"amount": 99.99},
    "tip": {"amount": 99.99},
}
"""In what a conflicting event differs; its type belongs to what it is known by."""

_BAD: Final[tuple[Callable[[Relationship, int], bytes | None], ...]] = (
    _replaced(None),
    _replaced(b""),
    _replaced(b"[]"),
    _replaced(b"\xff\xfe\x00"),
    _torn,
    _changed(fanId=None),
    _changed(creatorId="  "),
    _changed(type="wink"),
    _changed(content=None),
    _changed(content="a\x00b"),
    _changed(timestamp="2199-01-01T00:00:00Z"),
    _changed(timestamp="1970-01-01T00:00:00Z"),
    _changed(timestamp="yesterday"),
    _changed(type="purchase", amount=-5),
    _changed(type="tip", amount="much"),
)
