"""GET /api/of-memory/export: everything that is remembered of a fan, streamed.

At most `EXPORTS_MAX` at once, since each holds a connection; whoever reads too slowly is cut off
after `SECONDS_MAX`, so that nobody holds one for good.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final, Self

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

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
    components = components_of(request)
    parts = exported(components.settings, components.reading, components.keyring, who, now_ms())
    place = _Place()
    try:
        # What is refused is refused before the answer begins.
        first = await anext(parts)
    except BaseException:
        await _ended(parts, place)
        raise
    page = "text/html" in request.headers.get("accept", "")
    return _Export(
        _chunks(first, parts, as_page if page else as_json),
        media_type="text/html" if page else "application/json",
        headers=_HEADERS,
    ).ending(partial(_ended, parts, place))


class _Place:
    """One of the places for exports, taken at once and given back once.

    Raises `Overloaded` when there is none: taken before anything is waited for, so that two who
    come together can't both have the last one.
    """

    def __init__(self) -> None:
        global _running
        if _running >= EXPORTS_MAX:
            raise Overloaded("Too many exports are being made.")
        _running += 1
        self._taken = True

    def leave(self) -> None:
        global _running
        _running -= self._taken
        self._taken = False


class _Export(StreamingResponse):
    """Gives back what it holds however it ends, also if not a byte of it was asked for."""

    _end: Callable[[], Awaitable[None]]

    def ending(self, end: Callable[[], Awaitable[None]]) -> Self:
        self._end = end
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._end()


async def _ended(parts: AsyncGenerator[Part], place: _Place) -> None:
    try:
        await parts.aclose()
    finally:
        place.leave()


async def _chunks(
    first: Part, parts: AsyncIterator[Part], form: Callable[[AsyncIterator[Part]], Written]
) -> AsyncIterator[bytes]:
    """Of some size: an answer has a write for each."""
    async with asyncio.timeout(SECONDS_MAX):
        held = bytearray()
        async for piece in form(_joined(first, parts)):
            held += piece
            if len(held) >= CHUNK_BYTES:
                yield bytes(held)
                held.clear()
        yield bytes(held)


async def _joined(first: Part, parts: AsyncIterator[Part]) -> AsyncIterator[Part]:
    yield first
    async for part in parts:
        yield part
