"""What the bodies of HTTP answers hold. `api/openapi.py` publishes them; clients decode by them."""

from typing import Generic, Literal, TypeVar

import msgspec

from schemas.context import MemoryContext
from schemas.errors import ErrorType
from schemas.times import Time

T = TypeVar("T")


class Body(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of every answer under `/api`."""

    correlation_id: str
    """A UUID; the log lines of the request have it too."""


class Data(Body, Generic[T], frozen=True, gc=False):
    """What was asked for."""

    data: T
    timestamp: Time
    """When it was answered."""
    degraded: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    """There while it is less than what it should be: cached, or nothing but a form."""


class Written(Body, frozen=True, gc=False):
    """The brokers have the event."""

    success: Literal[True]
    timestamp: Time
    position: str
    """Where it is in the log: a read's `minPosition`."""


class Done(Body, frozen=True, gc=False):
    """It is done."""

    success: Literal[True]
    timestamp: Time


Waiting = Literal["deletion", "order", "ingest", "cache", "ledger"]
"""What an erasure can wait for: what is held to be deleted, its order to be given, ingest to come
to it, the cache to confirm that it has forgotten, the ledger to have it."""


class Erasure(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """How far an erasure has got."""

    erasure_id: str
    erased: Time | None
    """When everything that was held then was deleted, and its key; null: not yet."""
    ordered: Time | None
    """When the order to erase what was on its way was given; null: not yet."""
    completed: Time | None
    """When ingest was past that order, and every copy confirmed; null: not yet."""
    held: bool
    """Whether there was anything, as far as that is known."""
    waits_for: list[Waiting]
    """What has not confirmed yet."""


class Cleared(Body, frozen=True, gc=False):
    """Nothing is held any more."""

    success: Literal[True]
    message: str
    timestamp: Time
    erasure_id: str
    receipt_id: str
    """The same: `GET erasures/{erasure}/receipt`."""


class Forgetting(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """How far a forgetting of some events has got."""

    forgetting_id: str
    requested: Time
    ordered: Time | None
    """When the order was given, behind what was on its way; null: not yet."""
    completed: Time | None
    """When the views were those of a world without the events, their key was destroyed, and every
    copy confirmed; null: not yet."""
    events: int
    """How many were forgotten, as far as that is known: a message, and what it was edited to."""
    waits_for: list[Waiting]
    """What has not confirmed yet."""


class Forgotten(Body, frozen=True, gc=False):
    """The message is not held any more."""

    success: Literal[True]
    message: str
    timestamp: Time
    forgetting_id: str


class Taken(Body, frozen=True, gc=False):
    """The brokers have what a platform delivered."""

    success: Literal[True]
    timestamp: Time
    accepted: int
    """Events made of it."""
    left_out: list[str]
    """Why some of it became no event."""
    position: str | msgspec.UnsetType = msgspec.UNSET
    """Of the last event, if there was any."""


class Suppression(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Whether anything more is remembered of a fan."""

    suppressed: bool
    since: Time | None
    """When it was asked for; null while the fan is not suppressed."""


class Outcome(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of one event of a batch: where it is, or why it was not taken."""

    position: str | msgspec.UnsetType = msgspec.UNSET
    """In the log, if the brokers have it."""
    error: str | msgspec.UnsetType = msgspec.UNSET
    field: str | msgspec.UnsetType | None = msgspec.UNSET
    """What to correct; null when the event is good and the brokers did not take it."""
    details: str | msgspec.UnsetType = msgspec.UNSET
    """What to do, where no field is to blame."""


class Results(Body, frozen=True, gc=False):
    """What became of each event of a batch, in order."""

    data: list[Outcome]
    timestamp: Time
    accepted: int


class FanError(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Why one fan of several could not be read."""

    error: str
    type: ErrorType | msgspec.UnsetType = msgspec.UNSET


class Contexts(Body, frozen=True, gc=False):
    """The memory of several fans, by fan id."""

    data: dict[str, MemoryContext]
    count: int
    """Entries in `data`."""
    not_found: list[str]
    """Of whom nothing is remembered."""
    errors: dict[str, FanError]
    """Who could not be read now, and why."""
    pending: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    """By fan: the position of what was written lately and is not in the memory yet."""
    degraded: Literal[True] | msgspec.UnsetType = msgspec.UNSET


class ErrorBody(Body, frozen=True, gc=False):
    """Whatever went wrong."""

    error: str
    details: str
    """What to do next."""
    type: ErrorType | msgspec.UnsetType = msgspec.UNSET
    fresh: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Ids of the messages that a stale draft does not know."""
