"""DELETE /api/of-memory/clear, and GET /api/of-memory/erasures/{id}: how far an erasure has got."""

import uuid
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.components import components_of
from api.envelopes import data, success
from api.parameters import query_of, relationship_of
from schemas.answers import Erasure
from schemas.errors import ErasureNotFound
from schemas.times import from_datetime, render_time
from stores.erasing import id_text
from stores.erasure import Status
from stores.wall import require, sees

WAIT_SECONDS: Final = 2.0
"""For the erasure to be complete, before it is said to go on."""
WAIT_SHARE: Final = 0.8
"""Of the request's deadline, at most."""
CLEARED: Final = "Memory cleared successfully"
NOTHING_HELD: Final = "Nothing was held"


async def clear(request: Request) -> Response:
    """Erase everything that is held of a fan; 202 when that is not confirmed everywhere yet.

    200 only once all that was on its way is erased too, and the cache has confirmed to have
    forgotten. Else `Location` names what says how far it has got.
    """
    who = relationship_of(request, query_of(request))
    components = components_of(request)
    require(who[0])
    seconds = min(WAIT_SECONDS, WAIT_SHARE * components.settings.request_seconds_max)
    found = await components.eraser.erase(who, seconds)
    components.origins.forget(who)
    return answer(request, found)


async def get_erasure(request: Request) -> Response:
    """How far an erasure has got, and what it waits for."""
    found = await components_of(request).eraser.status(asked_erasure(request))
    creator = "" if found is None else found.creator_id
    if found is None or not principal_of(request).speaks_for(creator) or not sees(creator):
        raise ErasureNotFound
    return data(request.scope, described(found))


def asked_erasure(request: Request) -> bytes:
    """Which erasure the path names; raises `ErasureNotFound` for what is no id."""
    try:
        return uuid.UUID(request.path_params["erasure"]).bytes
    except ValueError:
        raise ErasureNotFound from None


def answer(request: Request, found: Status) -> Response:
    """200 for a complete one, as the public contract has it; else 202."""
    id = id_text(found.erasure)
    if found.completed_at is not None:
        message = CLEARED if found.subjects else NOTHING_HELD
        return success(request.scope, message=message, erasureId=id, receiptId=id)
    response = data(request.scope, described(found))
    response.status_code = 202
    response.headers["location"] = f"/api/of-memory/erasures/{id}"
    return response


def described(found: Status) -> Erasure:
    """An erasure as it is told."""
    return Erasure(
        id_text(found.erasure),
        _time(found.requested_at),
        _time(found.ordered_at),
        _time(found.completed_at),
        bool(found.subjects),
        found.waits_for,
    )


def _time(moment: Any) -> Any:
    return None if moment is None else render_time(from_datetime(moment))
