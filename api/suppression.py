"""PUT, GET and DELETE /api/of-memory/suppression: whether anything more is remembered of a fan.

Kept as a keyed hash. Other API processes refuse the fan's events within a second; what they took
meanwhile, ingest drops.
"""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from api.components import components_of
from api.envelopes import data
from api.parameters import query_of, relationship_of
from schemas.answers import Suppression
from schemas.relationship import Relationship
from schemas.times import from_datetime, render_time
from stores import suppression


async def get_suppression(request: Request) -> Response:
    """Whether the fan is suppressed, and since when."""
    components, who = components_of(request), _asked(request)
    since = await suppression.since(components.writing_for(who[0]), components.keyring, who)
    return data(request.scope, _shown(since))


async def put_suppression(request: Request) -> Response:
    """Take nothing more of the fan. What is remembered stays, until it is erased."""
    components, who = components_of(request), _asked(request)
    since = await suppression.put(components.writing_for(who[0]), components.keyring, who)
    await components.suppressed.look()
    return data(request.scope, _shown(since))


async def delete_suppression(request: Request) -> Response:
    """Take the fan's events again. Those that came meanwhile are gone."""
    components, who = components_of(request), _asked(request)
    await suppression.lift(components.writing_for(who[0]), components.keyring, who)
    await components.suppressed.look()
    return data(request.scope, _shown(None))


def _asked(request: Request) -> Relationship:
    return relationship_of(request, query_of(request))


def _shown(since: datetime | None) -> Suppression:
    at = None if since is None else render_time(from_datetime(since))
    return Suppression(since is not None, at)
