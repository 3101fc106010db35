"""GET /api/of-memory/export: everything that is remembered of a fan, streamed.

At most `EXPORTS_MAX` at once, since each holds a connection; whoever reads too slowly is cut off
after `SECONDS_MAX`, so that nobody holds one for good.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from admin.export import as_json, as_page
from api.components import components_of
from api.parameters import query_of, relationship_of
from infra.clock import now_ms
from schemas.errors import Overloaded
from schemas.export import Part
from stores.export import exported

EXPORTS_MAX: Final = 2
SECONDS_MAX: Final = 120.0
CHUNK_BYTES: Final = 65_536
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
}
Written = AsyncIterator[bytes]
_running = 0


async def get_export(request: Request) -> Response:
    """JSON, or with `Accept: text/html` one page to be read, without scripts.

    404 for a fan of whom nothing is remembered and who is not suppressed. An export that breaks
    off, since the fan was erased meanwhile or the database went away, ends without its end.
    """
    who = relationship_of(request, query_of(request))
    if _running >= EXPORTS_MAX:
        raise Overloaded("Too many exports are being made.")
    components = components_of(request)
    parts = exported(components.settings, components.pool, components.keyring, who, now_ms())
    # What is refused is refused before the answer begins.
    first = await anext(parts)
    page = "text/html" in request.headers.get("accept", "")
    return StreamingResponse(
        _chunks(first, parts, as_page if page else as_json),
        media_type="text/html" if page else "application/json",
        headers=_HEADERS,
    )


async def _chunks(
    first: Part, parts: AsyncGenerator[Part], form: Callable[[AsyncIterator[Part]], Written]
) -> AsyncIterator[bytes]:
    """Of some size: an answer has a write for each."""
    global _running
    _running += 1
    try:
        async with asyncio.timeout(SECONDS_MAX), aclosing(parts):
            held = bytearray()
            async for piece in form(_joined(first, parts)):
                held += piece
                if len(held) >= CHUNK_BYTES:
                    yield bytes(held)
                    held.clear()
            yield bytes(held)
    finally:
        _running -= 1


async def _joined(first: Part, parts: AsyncIterator[Part]) -> AsyncIterator[Part]:
    yield first
    async for part in parts:
        yield part
