"""DELETE /api/of-memory/clear, and GET /api/of-memory/erasures/{id}: how far an erasure has got."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.components import components_of
from api.envelopes import data, success
from api.own_requests import asked, going_on, own, time_if_any
from api.parameters import query_of, relationship_of
from schemas.answers import Erasure
from schemas.errors import ErasureNotFound
from schemas.random_ids import id_text
from stores.erasure import Status
from stores.wall import require

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
    id = asked(request, "erasure", ErasureNotFound)
    found = await components_of(request).eraser.status(id)
    if found is None or not own(request, found.creator_id):
        raise ErasureNotFound
    return data(request.scope, described(found))


def answer(request: Request, found: Status) -> Response:
    """200 for a complete one, as the public contract has it; else 202."""
    id = id_text(found.erasure)
    if found.completed_at is not None:
        message = CLEARED if found.subjects else NOTHING_HELD
        return success(request.scope, message=message, erasureId=id, receiptId=id)
    return going_on(request, described(found), f"/api/of-memory/erasures/{id}")


def described(found: Status) -> Erasure:
    """An erasure as it is told."""
    return Erasure(
        id_text(found.erasure),
        time_if_any(found.erased_at),
        time_if_any(found.ordered_at),
        time_if_any(found.completed_at),
        bool(found.subjects),
        found.waits_for,
    )
