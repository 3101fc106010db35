"""Changes: what happened to a fan since, and what the fields of their views were and are. Pure.

*Since* is a position or a time. Since a position means: what arrived behind it; then the views were
what they were when the newest of what had arrived before happened. Since a time means: what
happened later, whenever it arrived; then the views were those `asOf` that time.

Events are told as they stand now, in the order of their arrival: an edited message has its new
text, and what was deleted is not told, but that it was deleted is.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec

from schemas.context import MemoryContext
from schemas.errors import InvalidInput
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY
from schemas.positions import Position
from schemas.published_event import InteractionEvent
from schemas.relationship import Relationship
from schemas.rendered import render_interaction
from schemas.topics import JOURNAL
from views.corrections import History, as_corrected, correct, is_edit
from views.explain import context_as_of

EVENTS_MAX: Final = 500
"""Told at once."""
_VIEWS: Final = (
    "personalityProfile",
    "preferences",
    "emotionalState",
    "engagementMetrics",
    "offers",
    "inbox",
    "notes",
    "facts",
)
_NAMES: Final = frozenset(("fanId", "creatorId"))


class Happened(msgspec.Struct, frozen=True, rename="camel"):
    """One event."""

    position: str
    """Its place in the journal."""
    event: InteractionEvent  # type: ignore[valid-type] # made at run time
    """As it stands now."""


class Changed(msgspec.Struct, frozen=True):
    """One field."""

    was: Any
    """Null also where nothing was known of the fan."""
    now: Any = msgspec.field(name="is")


class Changes(msgspec.Struct, frozen=True, rename="camel"):
    """What happened since."""

    events: tuple[Happened, ...]
    """In the order of their arrival."""
    views: dict[str, dict[str, Changed]]
    """Document -> field, of `offers` the offer's id, of `notes` the note's, of `facts` kind
    and value: those that are not what they were."""
    until: str
    """The position of the newest event that is in the views here: the next `since`."""
    more: bool
    """There are more events: ask again, since `until`."""


class Since(NamedTuple):
    """One of both."""

    position: Position | None
    time: int | None = None


def changes(
    who: Relationship,
    partition: int,
    history: History,
    since: Since,
    now: int,
    currency: str = DEFAULT_CURRENCY,
) -> Changes | None:
    """None when nothing is remembered. `history` is as it came, not corrected, out of this
    `partition` of the journal.

    Raises `InvalidInput` for a position of a partition in which this fan has nothing.
    """
    if not history:
        return None
    start = 0 if since.position is None else _behind(history, partition, since.position)
    told: list[Happened] = []
    end = len(history)
    for place, entry in _standing(history, start, since.time):
        if len(told) == EVENTS_MAX:
            end = place
            break
        at = str(Position(JOURNAL.name, partition, history[place][0]))
        told.append(Happened(at, msgspec.Raw(render_interaction(who, entry))))
    had = history[:start] if since.time is None else history
    was = _context(who, as_corrected(had), since.time, currency)
    stands = as_corrected(history[:end])
    newest = max((entry.time for _, entry in stands), default=0)
    after = _context(who, stands, max(now, newest), currency)
    if was is None and after is None and not told:
        return None
    until = Position(JOURNAL.name, partition, history[end - 1][0])
    return Changes(tuple(told), _differences(was, after), str(until), end < len(history))


def _behind(history: History, partition: int, position: Position) -> int:
    """How many of these had arrived there: in the journal, or in `interactions` before it."""
    if position.topic == JOURNAL.name:
        if position.partition != partition:
            raise InvalidInput("since", "is not a position of this fan")
        return bisect_right(history, position.offset, key=lambda one: one[0])
    before = 0
    known = False
    for number, (_, entry) in enumerate(history, 1):
        if entry.source_partition == position.partition:
            known = True
            if entry.source_offset <= position.offset:
                before = number
    if not known:
        raise InvalidInput("since", "is not a position of this fan")
    return before


def _standing(history: History, start: int, time: int | None) -> Iterator[tuple[int, JournalEntry]]:
    """(number in the history, entry as it stands) of what is told."""
    corrected = correct([entry for _, entry in history])
    stands = {one.place: one.entry for one in corrected.stands}
    edits = {one.edit for one in corrected.stands}
    for number, (_, entry) in enumerate(history[start:], start):
        if time is not None and entry.time <= time:
            continue
        if entry.kind == "delete" or (is_edit(entry) and number in edits):
            yield number, entry
        elif number in stands:
            yield number, stands[number]


def _context(
    who: Relationship, stands: History, time: int | None, currency: str
) -> MemoryContext | None:
    """As of a time, or of the newest of these."""
    if not stands:
        return None
    if time is None:
        time = max(entry.time for _, entry in stands)
    return context_as_of(*who, stands, time, currency)


def _differences(
    was: MemoryContext | None, after: MemoryContext | None
) -> dict[str, dict[str, Changed]]:
    before, later = (_fields(context) for context in (was, after))
    found: dict[str, dict[str, Changed]] = {}
    for view in _VIEWS:
        names: Sequence[str] = sorted((before[view].keys() | later[view].keys()) - _NAMES)
        changed = {
            name: Changed(before[view].get(name), later[view].get(name))
            for name in names
            if before[view].get(name) != later[view].get(name)
        }
        if changed:
            found[view] = changed
    return found


def _fields(context: MemoryContext | None) -> dict[str, dict[str, Any]]:
    if context is None:
        return {view: {} for view in _VIEWS}
    found = msgspec.to_builtins(context)
    for name in ("offers", "notes"):
        found[name] = {one["id"]: one for one in found.get(name, ())}
    found["facts"] = {f"{one['kind']} {one['value']}": one for one in found.get("facts", ())}
    return cast(dict[str, dict[str, Any]], found)
