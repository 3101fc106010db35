"""PUT and GET /api/of-memory/retention: how long a creator keeps what."""

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

_Days = Annotated[int, msgspec.Meta(ge=1, le=DAYS_MAX)]


class Retention(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A creator's rule; null: everything is kept until somebody erases or forgets it."""

    silent_days: _Days | None
    """A fan without events for so many days is erased by the daily sweep."""
    history_days: _Days | msgspec.UnsetType | None = msgspec.UNSET
    """Events older than so many days are forgotten by the daily sweep, as if they had never been
    sent, totals included. Left out of what is put: it stays as it is."""


async def get_retention(request: Request) -> Response:
    """How long this creator keeps a silent fan, and the events of the others."""
    rule = await retention.find(components_of(request).reading, _creator(request))
    return data(request.scope, Retention(rule.silent_days, rule.history_days))


async def put_retention(request: Request) -> Response:
    """From the next sweep on. What it takes is gone for good: a longer time brings nothing back."""
    creator_id = _creator(request)
    try:
        given = _decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        field = "historyDays" if "$.historyDays" in str(error) else "silentDays"
        raise InvalidInput(field, f"must be null, or 1 to {DAYS_MAX} days") from None
    pool = components_of(request).writing_for(creator_id)
    await retention.put_silent(pool, creator_id, given.silent_days)
    if given.history_days is not msgspec.UNSET:
        await retention.put_history(pool, creator_id, given.history_days)
    rule = await retention.find(pool, creator_id)
    return data(request.scope, Retention(rule.silent_days, rule.history_days))


def _creator(request: Request) -> str:
    creator_id = identifier(query_of(request), "creatorId")
    principal_of(request).require(creator_id)
    return creator_id


_decode: Final = msgspec.json.Decoder(Retention).decode
