"""GET /api/of-memory/events/{eventId}: what became of an event. GET refused: a creator's refusals.

Of the id alone the answer is about the event that counts. With the `position` that its write
answered it is about that one record, so a duplicate can be told from the event it repeats, and what
is on its way from what never came. Without it, what was written to the fan a moment ago is waited
for, as a read does.
"""

from typing import Final, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.components import Components, components_of
from api.endpoints import Parameter
from api.envelopes import data
from api.parameters import creator_of, optional, page_size, position, query_of, relationship_of
from schemas.dead_letters import CONFLICT_REASON, about
from schemas.details import Kind
from schemas.errors import InvalidInput
from schemas.events import KINDS, parse_interaction
from schemas.positions import PATTERN, Position
from schemas.relationship import Relationship, check_event_id
from schemas.times import Time, render_time
from schemas.topics import INTERACTIONS
from stores import fates
from stores.fates import Applied, Known, Told

PAGE_MAX: Final = 200
FIRST: Final = 1 << 62

Fate = Literal["accepted", "applied", "duplicate", "conflict", "refused", "unknown"]

EVENT_TYPE: Final = Parameter(
    "type",
    "The event's type; an id counts within it. Any, if left out.",
    schema={"type": "string", "enum": list(KINDS)},
)
EVENT_POSITION: Final = Parameter(
    "position",
    "Where the event stands in `interactions`, as its write answered: of that very record.",
    schema={"type": "string", "pattern": PATTERN},
)


class Refusal(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An event that moved no view, and why. It is kept as a dead letter."""

    fate: Literal["conflict", "refused"]
    position: str
    """Where it stands in `interactions`; also the letter's `source`."""
    field: str
    reason: str
    refused_at: Time
    fan_id: str | None
    """Null where it could not be read, or is not kept any more; so are the next two."""
    event_id: str | None
    type: Kind | None


class EventFate(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What became of an event."""

    event_id: str
    fate: Fate
    """`accepted`: in the log, and not in the views yet; `applied`: in the views; `duplicate`,
    `conflict`: another one of its id is, with the same content or with other; `refused`: nothing
    comes of it; `unknown`: none of these, as also of whoever was erased."""
    type: Kind | None
    position: str | None
    """Where the event stands in `interactions`; of a duplicate that which counts."""
    version: str | None
    """Where the event that counts stands in the journal: a memory of this `version`, or of a later
    one, has it."""
    field: str | None
    reason: str | None
    """Why it is refused, or conflicts."""
    refusals: list[Refusal]
    """What else of this id was refused, or conflicts, the newest first; ten at the most."""


class RefusedPage(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Some of what was refused, the newest first."""

    refused: list[Refusal]
    next_cursor: str | None
    """Null: that was the last page."""


async def get_event(request: Request) -> Response:
    """What became of an event: of its id, or of the record at a position."""
    query = query_of(request)
    who = relationship_of(request, query)
    event_id = request.path_params["eventId"]
    check_event_id("eventId", event_id)
    kind = optional(query, "type")
    if kind is not None and kind not in KINDS:
        raise InvalidInput("type", "must be one of " + ", ".join(KINDS))
    place = position(query, "position")
    if place is not None and place.topic != INTERACTIONS.name:
        raise InvalidInput("position", f"must be a position in {INTERACTIONS.name}")
    asked = _Asked(components_of(request), who, event_id, kind)
    return data(request.scope, await (asked.of_id() if place is None else asked.at(place)))


class _Asked:
    """One question."""

    def __init__(
        self, components: Components, who: Relationship, event_id: str, kind: str | None
    ) -> None:
        self._components = components
        self._who = who
        self._event_id = event_id
        self._kind = kind

    async def of_id(self) -> EventFate:
        """Of the event that counts."""
        found = await self._known()
        if not found.applied and not found.refused and not found.aside:
            components = self._components
            memory, settings = components.memory, components.settings
            pending = await memory.pending(*self._who)
            if pending is not None:
                creator_id, fan_id = self._who
                limit = settings.own_write_seconds_max
                await memory.written.a_moment(creator_id, {fan_id: pending}, limit)
                # Redis knows of a write for some seconds, also of one whose fan was erased since.
                ingested = await fates.ingested(components.reading, pending)
                found = await self._known()
                known = found.applied or found.refused or (ingested and found.folded)
                if not known and await self._is_at(pending):
                    return self._told("accepted", found, place=pending)
        if found.applied:
            return self._told("applied", found, found.applied[0])
        return self._refused(found, None) or self._told("unknown", found)

    async def at(self, place: Position) -> EventFate:
        """Of the record that stands there, if it is this event's."""
        # Asked first: what happens meanwhile is in what is asked after it.
        ingested = await fates.ingested(self._components.reading, place)
        found = await self._known()
        for one in found.refused:
            if one.refused.source == place:
                return self._told(_fate(one), found, place=place, why=one)
        for event in found.applied:
            if event.source == place:
                return self._told("applied", found, event)
        told = await self._record(place)
        if not ingested:
            if isinstance(told, InvalidInput):
                return self._told("refused", found, place=place, error=told)
            return self._told("accepted", found, place=place)
        if not found.folded:
            return self._told("accepted", found, place=place)
        counting = [one for one in found.applied if told in (None, one.kind)]
        if counting:
            return self._told("duplicate", found, counting[0])
        return self._refused(found, place) or self._told("unknown", found)

    async def _known(self) -> Known:
        components = self._components
        found = await fates.known(
            components.reading,
            components.keyring,
            components.settings.journal_partitions,
            self._who,
            self._event_id,
        )
        if self._kind is None:
            return found
        return found._replace(
            applied=[one for one in found.applied if one.kind == self._kind],
            refused=[one for one in found.refused if one.about and one.about.type == self._kind],
        )

    async def _record(self, place: Position) -> Kind | InvalidInput | None:
        """Its type, or why it is to be refused; None when the log can't be asked now. Raises
        `InvalidInput` when another event stands there."""
        try:
            record = await self._components.origins.record_at(place)
        except LookupError:
            return None
        another = InvalidInput("position", "is not the position of this event")
        try:
            event = parse_interaction(
                record.value or b"", record.timestamp, self._components.settings.currency
            )
        except InvalidInput as error:
            named = about(record.value)
            if named is None or (named.creator_id, named.fan_id) != self._who:
                raise another from None
            if named.event_id != self._event_id:
                raise another from None
            return error
        own = str(place) if event.event_id is None else event.event_id
        if (event.creator_id, event.fan_id, own) != (*self._who, self._event_id):
            raise another
        if self._kind not in (None, event.kind):
            raise another
        return event.kind

    async def _is_at(self, place: Position) -> bool:
        try:
            return not isinstance(await self._record(place), InvalidInput | None)
        except InvalidInput:
            return False

    def _refused(self, found: Known, place: Position | None) -> EventFate | None:
        """Of the id's newest refusal, or of what the views could not take."""
        if found.aside:
            aside = found.aside[0]
            told = self._told("refused", found, place=place)
            return msgspec.structs.replace(
                told, field="$", reason=aside.reason, version=str(aside.version)
            )
        if found.refused and place is None:
            newest = found.refused[0]
            return self._told(_fate(newest), found, place=newest.refused.source, why=newest)
        return None

    def _told(
        self,
        fate: Fate,
        found: Known,
        event: Applied | None = None,
        *,
        place: Position | None = None,
        why: Told | None = None,
        error: InvalidInput | None = None,
    ) -> EventFate:
        field, reason = (None, None) if error is None else (error.field, error.reason)
        kind: Kind | None = None if event is None else event.kind
        if why is not None:
            field, reason = why.refused.field, why.refused.reason
            kind = None if why.about is None else why.about.type
        source = place if event is None else event.source
        return EventFate(
            self._event_id,
            fate,
            kind,
            None if source is None else str(source),
            None if event is None else str(event.version),
            field,
            reason,
            [described(one) for one in found.refused if one is not why],
        )


def _fate(told: Told) -> Literal["conflict", "refused"]:
    return "conflict" if told.refused.reason == CONFLICT_REASON else "refused"


def described(told: Told) -> Refusal:
    """A refusal as it is told."""
    refused, named = told
    return Refusal(
        _fate(told),
        str(refused.source),
        refused.field,
        refused.reason,
        render_time(refused.refused_at),
        None if named is None else named.fan_id,
        None if named is None else named.event_id,
        None if named is None else named.type,
    )


async def list_refused(request: Request) -> Response:
    """What of the creator's was refused, or conflicts, the newest first."""
    query = query_of(request)
    creator_id, limit = creator_of(request), page_size(query, PAGE_MAX)
    components = components_of(request)
    bound_to, below = msgspec.json.encode(["refused", creator_id]), FIRST
    cursor = optional(query, "cursor")
    if cursor is not None:
        below = int(components.cursors.open(cursor, bound_to))
    found = await fates.page(components.reading, components.keyring, creator_id, below, limit + 1)
    shown = found[:limit]
    following = None
    if len(found) > limit:
        place = str(shown[-1].refused.id).encode()
        following = components.cursors.seal(place, bound_to)
    response = data(request.scope, RefusedPage([described(one) for one in shown], following))
    response.raw_headers.append((b"cache-control", b"no-store"))
    return response
