"""POST /api/of-memory/bulk: the contexts of several fans of one creator."""

from starlette.requests import Request
from starlette.responses import Response

from api import remarks
from api.auth import principal_of
from api.components import components_of
from api.envelopes import correlation_id, plain, told
from api.limits import cost_of
from api.parameters import own_writes, query_of, strict
from schemas.bulk import parse_bulk


async def get_contexts(request: Request) -> Response:
    """The memory of several fans: each is found, not found, or has an error of its own.

    A body that is no such request is `InvalidInput`, another creator's `Forbidden`.
    """
    asked = parse_bulk(await request.body())
    principal_of(request).require(asked.creator_id)
    await components_of(request).limits.pay(principal_of(request), cost_of(len(asked.fan_ids)) - 1)
    fan_ids = list(dict.fromkeys(asked.fan_ids))
    query = query_of(request)
    read = await components_of(request).memory.contexts_to_send(
        asked.creator_id, fan_ids, own_writes=own_writes(query), strict=strict(query)
    )
    contexts, errors = read.found, read.errors
    remarks.remarks_of(request.scope).degraded = read.degraded
    body: dict[str, object] = {
        "data": contexts,
        "correlationId": correlation_id(request.scope),
        "count": len(contexts),
        "notFound": [one for one in fan_ids if one not in contexts and one not in errors],
        "errors": {fan_id: told(error) for fan_id, error in errors.items()},
    }
    if read.pending:
        body["pending"] = {fan_id: str(one) for fan_id, one in read.pending.items()}
    body.update(remarks.fields(request.scope))
    return plain(body)
