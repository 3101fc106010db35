"""GET /api/of-memory/purchases: what a fan has paid, and what of it was taken back."""

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.components import components_of
from api.conditional import not_kept
from api.cursors import before_of, following
from api.parameters import (
    CREATOR_ID,
    CURSOR,
    FAN_ID,
    page_limit,
    page_size,
    query_of,
    relationship_of,
)
from api.remarks import remarks_of
from views.purchases import Payment, purchases

PAGE_MAX: Final = 200
PARAMETERS: Final = (FAN_ID, CREATOR_ID, page_limit(PAGE_MAX), CURSOR)


class PurchasesPage(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Some payments, the newest first."""

    purchases: list[Payment]
    next_cursor: str | None
    """Null: there is nothing older."""


async def list_purchases(request: Request) -> Response:
    """What a fan has paid: purchases, tips and subscriptions, each less what was refunded of it."""
    query = query_of(request)
    who = relationship_of(request, query)
    limit, components = page_size(query, PAGE_MAX), components_of(request)
    bound_to = msgspec.json.encode(["purchases", who])
    before = before_of(query, components.cursors, bound_to)
    remembered = await components.memory.recall(
        *who, messages=False, remarks=remarks_of(request.scope)
    )
    request.scope["subject"] = remembered.subject
    found = await components.past.fold_as_it_came(
        *who, lambda history: purchases(history, before, limit)
    )
    cursor = following(found.end, components.cursors, bound_to)
    return not_kept(request, PurchasesPage(found.payments, cursor))
