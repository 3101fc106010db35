"""POST /api/of-memory/what-if: the context after events that have not happened."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.components import Components, components_of
from api.conditional import not_kept
from api.remarks import remarks_of
from infra.clock import now_ms
from schemas.context import MemoryContext
from schemas.errors import FanNotFound, FanSuppressed, InvalidInput
from schemas.events import Interaction, parse_interaction
from schemas.journal import JournalEntry, entry_of
from schemas.published_event import InteractionEvent
from schemas.relationship import Relationship, check_id
from stores import wall
from views.corrections import History
from views.what_if import context_after

EVENTS_MAX: Final = 50


class WhatIf(msgspec.Struct, frozen=True, rename="camel"):
    """Events of one fan that have not happened."""

    creator_id: str
    fan_id: str
    events: Annotated[
        list[InteractionEvent],  # type: ignore[valid-type] # made at run time
        msgspec.Meta(min_length=1, max_length=EVENTS_MAX),
    ]
    """By `POST interaction`'s own rules; all of this fan, in the order of their arrival."""


class _Wire(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    creator_id: str
    fan_id: str
    events: list[msgspec.Raw]


_decode = msgspec.json.Decoder(_Wire).decode


async def get_context_after(request: Request) -> Response:
    """The context of a fan as it would be after up to 50 events; nothing of them is kept.

    Also of a fan of whom nothing is remembered.
    """
    asked = _asked(await request.body())
    principal, components = principal_of(request), components_of(request)
    who = check_id("creatorId", asked.creator_id), check_id("fanId", asked.fan_id)
    principal.require(who[0])
    wall.require(who[0])
    if who in components.suppressed:
        raise FanSuppressed(
            hint="Nothing would be remembered of this fan. DELETE suppression lifts it."
        )
    now = now_ms()
    events = _events(asked.events, who, now, components)
    currency = components.settings.currency
    with suppress(FanNotFound):  # only to wait for what was written a moment ago
        await components.memory.recall(*who, messages=False, remarks=remarks_of(request.scope))

    def after(history: History) -> MemoryContext | None:
        return context_after(who, history, _entries(events), now, currency)

    found = await components.past.fold_as_it_came(*who, after)
    if found is None:
        raise FanNotFound("Fan not found", hint="Nothing would stand after these events.")
    return not_kept(request, found)


def _asked(body: bytes) -> _Wire:
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput(
            "$", "must be an object with creatorId, fanId and events, a list of events"
        ) from None
    if not 0 < len(asked.events) <= EVENTS_MAX:
        raise InvalidInput("events", f"must be 1 to {EVENTS_MAX} events")
    return asked


def _events(
    raws: Sequence[msgspec.Raw], who: Relationship, now: int, components: Components
) -> list[Interaction]:
    """Raises `InvalidInput` naming the event and its field."""
    events = []
    for number, raw in enumerate(raws):
        try:
            event = parse_interaction(bytes(raw), now, components.settings.currency)
            for field, of_event, asked in (
                ("creatorId", event.creator_id, who[0]),
                ("fanId", event.fan_id, who[1]),
            ):
                if of_event != asked:
                    raise InvalidInput(field, f"must be the {field} beside `events`")
        except InvalidInput as wrong:
            field = "" if wrong.field == "$" else f".{wrong.field}"
            raise InvalidInput(f"events[{number}]{field}", wrong.reason) from None
        events.append(event)
    return events


def _entries(events: Sequence[Interaction]) -> list[JournalEntry]:
    """What ingest would make of them. In a thread: the texts are read by the model."""
    from analysis import analyse  # half a second, for who asks for it

    texts = iter(analyse([event.words for event in events if event.words is not None]))
    return [
        entry_of(
            event,
            f"what-if:{number}" if event.event_id is None else event.event_id,
            None if event.words is None else next(texts),
        )
        for number, event in enumerate(events)
    ]
