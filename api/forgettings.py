"""DELETE /api/of-memory/messages/{eventId}, and GET /api/of-memory/forgettings/{id}."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.components import Components, components_of
from api.envelopes import data, success
from api.erasures import WAIT_SECONDS, WAIT_SHARE
from api.own_requests import asked, going_on, own, time_if_any, time_of
from api.parameters import query_of, relationship_of
from schemas.answers import Forgetting
from schemas.errors import ForgettingNotFound, MessageNotFound
from schemas.random_ids import id_text
from schemas.relationship import Relationship, check_event_id
from stores.erasure import Status
from stores.wall import require

KNOW_SECONDS: Final = 1.0
"""A message that is not known may be on its way for so long, before that is looked at."""
LOOK_SECONDS: Final = 0.05
FORGOTTEN: Final = "Message forgotten successfully"


async def forget_message(request: Request) -> Response:
    """Forget one message, with what it was edited to; 202 when that is not confirmed yet.

    200 only once the views are those of a world without it, no key opens it any more, and the cache
    has confirmed to have forgotten. Else `Location` names what says how far it has got.
    """
    who = relationship_of(request, query_of(request))
    require(who[0])
    event_id = request.path_params["eventId"]
    check_event_id("eventId", event_id)
    components = components_of(request)
    clock = asyncio.get_running_loop().time
    until = clock() + min(WAIT_SECONDS, WAIT_SHARE * components.settings.request_seconds_max)
    await _require(components, who, event_id, min(clock() + KNOW_SECONDS, until))
    found = await components.forgetter.forget(who, [event_id], until - clock())
    components.origins.forget(who)
    return answer(request, found)


async def get_forgetting(request: Request) -> Response:
    """How far a forgetting has got, and what it waits for."""
    id = asked(request, "forgetting", ForgettingNotFound)
    found = await components_of(request).forgetter.status(id)
    if found is None or not own(request, found.creator_id):
        raise ForgettingNotFound
    return data(request.scope, described(found))


async def _require(components: Components, who: Relationship, event_id: str, until: float) -> None:
    """Raise `MessageNotFound` for a message that the fan's history does not have then, unless
    something is on its way: then the order stands behind it."""
    clock = asyncio.get_running_loop().time
    while not await components.forgetter.knows(who, [event_id]):
        if clock() < until:
            await asyncio.sleep(LOOK_SECONDS)
            continue
        state = await components.lag.look()
        if state.broker and state.database and not any(one.lag for one in state.partitions):
            raise MessageNotFound
        return


def answer(request: Request, found: Status) -> Response:
    """200 for a complete one; else 202."""
    id = id_text(found.erasure)
    if found.completed_at is not None:
        return success(request.scope, message=FORGOTTEN, forgettingId=id)
    return going_on(request, described(found), f"/api/of-memory/forgettings/{id}")


def described(found: Status) -> Forgetting:
    """A forgetting as it is told."""
    return Forgetting(
        id_text(found.erasure),
        time_of(found.requested_at),
        time_if_any(found.ordered_at),
        time_if_any(found.completed_at),
        found.events,
        found.waits_for,
    )
