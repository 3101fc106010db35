"""GET /api/of-memory/context, /engagement-score and /explain."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.components import components_of
from api.conditional import answer, not_kept
from api.envelopes import data
from api.parameters import (
    Query,
    moment,
    own_writes,
    position,
    query_of,
    relationship_of,
    required,
    strict,
)
from api.places import waiting
from api.remarks import remarks_of
from infra.clock import now_ms
from schemas.errors import DatabaseUnavailable, FanNotFound
from schemas.positions import Position
from schemas.relationship import Relationship
from stores.cached import Remembered
from stores.remarks import Remarks
from views.explain import context_as_of, explain, value_of

RANKING_SECONDS_MAX: Final = 0.25
"""How long a score waits for its percentile where nothing is known of the creator's fans yet."""


async def get_context(request: Request) -> Response:
    """The whole memory of a fan: now, at least as new as `minPosition`, or as of a past time."""
    components, query = components_of(request), query_of(request)
    creator_id, fan_id = who = relationship_of(request, query)
    at_least, as_of = position(query, "minPosition"), moment(query, "asOf")
    if as_of is None:
        memory, remarks = components.memory, remarks_of(request.scope)
        can_do_without = at_least is None and not strict(query)
        try:
            found = await _recalled(request, who, at_least, query, remarks)
        except DatabaseUnavailable:
            minimal = memory.minimal(creator_id, fan_id, strict=not can_do_without)
            if minimal is None:
                raise
            remarks.degraded = "minimal"
            return not_kept(request, minimal)
        request.scope["subject"] = found.subject
        return answer(request, found, lambda: memory.to_send(creator_id, fan_id, found))
    if at_least is not None:
        async with _waiting(request, who, at_least):
            await components.memory.wait_until(
                creator_id, fan_id, at_least, components.settings.request_seconds_max
            )
    currency = components.settings.currency
    past = await components.past.fold(
        creator_id,
        fan_id,
        lambda history: context_as_of(creator_id, fan_id, history, as_of, currency),
    )
    if past is None:
        raise FanNotFound("Fan not found", hint="Nothing had happened yet at asOf.")
    return data(request.scope, past)


async def get_score(request: Request) -> Response:
    """The engagement score, decayed to now, and where it stands among all of the creator's."""
    components, query = components_of(request), query_of(request)
    creator_id, fan_id = who = relationship_of(request, query)
    at_least = position(query, "minPosition")
    memory, remarks = components.memory, remarks_of(request.scope)
    found = await _recalled(request, who, at_least, query, remarks, messages=False)
    request.scope["subject"] = found.subject
    ranking = await components.percentiles.ranking(creator_id, RANKING_SECONDS_MAX)
    return answer(
        request,
        found,
        lambda: memory.score_of(creator_id, fan_id, found, ranking),
        lacks=ranking is None,
    )


async def get_explanation(request: Request) -> Response:
    """Which events moved a number between `from` (default: ever) and `to` (default: now)."""
    query = query_of(request)
    creator_id, fan_id = relationship_of(request, query)
    field, currency = required(query, "field"), components_of(request).settings.currency
    value_of(field, currency)
    start, end = moment(query, "from"), moment(query, "to")
    if end is None:
        end = now_ms()
    explanation = await components_of(request).past.fold(
        creator_id, fan_id, lambda history: explain(history, field, start, end, currency=currency)
    )
    return data(request.scope, explanation)


async def _recalled(
    request: Request,
    who: Relationship,
    at_least: Position | None,
    query: Query,
    remarks: Remarks,
    *,
    messages: bool = True,
) -> Remembered:
    """A fan's memory, at least as new as `minPosition`."""
    recall, own = components_of(request).memory.recall, own_writes(query)
    if at_least is None:
        return await recall(*who, messages=messages, own_writes=own, remarks=remarks)
    async with _waiting(request, who, at_least):
        return await recall(*who, at_least, messages=messages, remarks=remarks)


@asynccontextmanager
async def _waiting(request: Request, who: Relationship, at_least: Position) -> AsyncIterator[None]:
    """Inside, whoever waits for a position is counted apart from those who are served; it must be
    the place of an event of this fan, as far as can be told."""
    with waiting(request.scope):
        await components_of(request).origins.check(at_least, who, "minPosition")
        yield
