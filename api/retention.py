"""PUT and GET /api/of-memory/retention: how long a creator keeps a fan of whom nothing is heard."""

from typing import Annotated, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.components import components_of
from api.envelopes import data
from api.parameters import identifier, query_of
from schemas.errors import InvalidInput
from stores import retention
from stores.retention import DAYS_MAX


class Retention(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A creator's rule; null: everything is kept until somebody erases it."""

    silent_days: Annotated[int, msgspec.Meta(ge=1, le=DAYS_MAX)] | None
    """A fan without events for so many days is erased by the daily sweep."""


async def get_retention(request: Request) -> Response:
    """How long this creator keeps a silent fan."""
    days = await retention.find(components_of(request).reading, _creator(request))
    return data(request.scope, Retention(days))


async def put_retention(request: Request) -> Response:
    """From the next sweep on. Whom it erases is gone for good: a longer time brings nobody back."""
    creator_id = _creator(request)
    try:
        given = _decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("silentDays", f"must be null, or 1 to {DAYS_MAX} days") from None
    pool = components_of(request).writing_for(creator_id)
    await retention.put(pool, creator_id, given.silent_days)
    return data(request.scope, given)


def _creator(request: Request) -> str:
    creator_id = identifier(query_of(request), "creatorId")
    principal_of(request).require(creator_id)
    return creator_id


_decode: Final = msgspec.json.Decoder(Retention).decode
