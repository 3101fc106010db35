"""What every platform's module gives: events, and what was left out and why.

An event is a dictionary in the shape of an InteractionEvent without `creatorId`, which belongs to
the connection or to whoever imports. Nothing that a platform sends makes a module raise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from schemas.refusals import NO_FAN as NO_FAN
from schemas.refusals import UNREAD as UNREAD

Event = dict[str, Any]
"""An InteractionEvent without its `creatorId`; amounts are `Decimal` or `int`."""

NO_WEBHOOKS: Final = "this platform posts nothing; import its export"


class Skipped(NamedTuple):
    """Something that became no event."""

    reason: str
    """In words that repeat nothing of what was sent."""
    expected: bool
    """Known to say nothing of a fan, or to be said by another event. What is not expected is kept,
    so that nothing vanishes in silence."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of one payload."""

    events: tuple[Event, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    unaddressed: tuple[Event, ...] = ()
    """Without `fanId`: of whoever has the event that they refer to, which names its type."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a payload does not say itself."""

    received: int = 0
    """When it came, ms: the time of what has none."""
    me: frozenset[str] = frozenset()
    """The creator's own names or ids on the platform; needed where an export does not tell."""
    zone: tzinfo = UTC
    """Of times without one."""
    currency: str | None = None
    """Of amounts without one; None: the system's."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What the module's docstring names."""
    mapping: Mapping[str, Any] | None = None
    """Of `generic` only."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the delivery, names in lower case."""


NO_CONTEXT: Final = Context()


class Unfit(Exception):
    """A payload, or a part of it, becomes no event; never leaves these modules' `events`."""

    def __init__(self, reason: str, *, expected: bool = False) -> None:
        super().__init__(reason)
        self.skipped = Skipped(reason, expected)


class Unaddressed(Exception):
    """An event that names no fan, but one of that fan's events; never leaves `events` either."""

    def __init__(self, event: Event) -> None:
        super().__init__(NO_FAN)
        self.event = event


class Platform(Protocol):
    """The names that every platform's module has."""

    @property
    def NATURAL_ID(self) -> str:  # noqa: N802 - a constant of the module
        """What becomes the `eventId`, in words for people."""

    def read(self, body: bytes) -> Any:
        """The payload of a request or a file. Raises `Unfit`."""

    def events(self, payload: Any, context: Context = NO_CONTEXT) -> Converted:
        """The events of a payload; raises nothing."""

    def verify(self, headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
        """Why a delivery is not the platform's, or None. `now` in ms; header names in lower case.

        Signatures are compared in constant time, before anything of the body is believed.
        """


def gather(parts: list[Any], convert: Callable[[Any], list[Event]]) -> Converted:
    """The events of all parts; what is unfit among them takes no other with it."""
    if not parts:
        return Converted(skipped=(Skipped("holds nothing", True),))
    events: list[Event] = []
    skipped: list[Skipped] = []
    unaddressed: list[Event] = []
    for part in parts:
        try:
            events += convert(part)
        except Unfit as unfit:
            skipped.append(unfit.skipped)
        except Unaddressed as whose:
            unaddressed.append(whose.event)
    return Converted(tuple(events), tuple(skipped), tuple(unaddressed))


def encode(creator_id: str, event: Event) -> bytes:
    """The JSON of an event of this creator's."""
    return _encode({"creatorId": creator_id, **event})


_encode = msgspec.json.Encoder(decimal_format="number").encode
