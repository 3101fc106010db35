"""GET /api/of-memory/stream: what moves, as server-sent events; POST stream/ticket for browsers.

    id: 0.19a2…-1f.20.a.3      where the client stands then: its next `Last-Event-ID`
    event: update              `erased` when the fan was; `reset`: read again what you have
    data: {…}                  the memory update, or why
    event: budget              without an id: a budget of the creator is nearly or wholly spent

A stream is outside of deadline and places of requests, and has bounds of its own: how many there
are, of all and of one creator (`api.places`), how far one may be behind (`api.stream_feed`), how
long one write may take. It ends with the token that opened it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth import principal_of
from api.components import Components, components_of
from api.envelopes import data
from api.parameters import identifier, optional, query_of
from api.stream_feed import Subscription
from api.stream_ring import Place, parse_place
from schemas.errors import Forbidden, InvalidInput
from schemas.relationship import check_id
from schemas.times import Time, render_time
from stores import wall

STREAM_SECONDS_MAX: Final = 86_400.0
"""Whatever a token says: a stream begins again each day."""
PLACE_LENGTH_MAX: Final = 16_384
RETRY_MS: Final = 1_000
"""How long a client waits before it comes again."""

LAST_EVENT_ID: Final = "last-event-id"
_HEADERS: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
_RETRY: Final = b"retry: %d\n\n" % RETRY_MS


class TicketRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What a stream is to be opened for."""

    creator_id: str
    fan_id: str | None = None
    """Only this fan; all of the creator's, if left out."""


class StreamTicket(msgspec.Struct, frozen=True, rename="camel"):
    """Opens one stream, once."""

    ticket: str
    """The stream's parameter of that name."""
    expires: Time


_decode = msgspec.json.Decoder(TicketRequest).decode


async def create_ticket(request: Request) -> Response:
    """A ticket for one stream, good for 60 s, for clients that can send no header."""
    try:
        asked = _decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput(
            "$", "must be an object with creatorId and, for one fan only, fanId"
        ) from None
    creator_id = check_id("creatorId", asked.creator_id)
    fan_id = None if asked.fan_id is None else check_id("fanId", asked.fan_id)
    principal = principal_of(request)
    principal.require(creator_id)
    wall.require(creator_id)
    ticket, expires = components_of(request).tickets.issue(principal, creator_id, fan_id)
    response = data(request.scope, StreamTicket(ticket, render_time(int(expires * 1000))))
    response.raw_headers.append((b"cache-control", b"no-store"))
    return response


async def get_stream(request: Request) -> Response:
    """What moves in the memory of a creator's fans, or of one fan, as server-sent events.

    The client goes on where it was by `Last-Event-ID`, or by `lastEventId` where it can send no
    header; an id that is not known here is answered with `reset`, and never with an error, at which
    browsers would give up.
    """
    components, query = components_of(request), query_of(request)
    creator_id = identifier(query, "creatorId")
    fan_id = identifier(query, "fanId") if "fanId" in query else None
    principal = principal_of(request)
    principal.require(creator_id)
    wall.require(creator_id)
    if "ticket_fan" in request.scope and request.scope["ticket_fan"] != fan_id:
        raise Forbidden("The ticket is for another stream.")
    last = _last(request, optional(query, "lastEventId"))
    if request.method == "HEAD":
        head = Response()
        head.raw_headers = list(_HEADERS)
        return head
    components.streams.enter(creator_id)
    try:
        await components.alerts.begin()
        feed = components.feed
        place = None if last is None else parse_place(last)
        subscription, begin = await feed.subscribe(
            creator_id, fan_id, place, knows=last is not None
        )
    except BaseException:
        components.streams.leave(creator_id)
        raise
    subscription.issued = principal.issued
    if principal.issued in components.revoked:  # while the ring was waited for
        subscription.end()
    seconds = min(principal.expires - time.time(), STREAM_SECONDS_MAX)
    return Stream(components, subscription, begin, seconds)


def _last(request: Request, asked: str | None) -> str | None:
    """The header wins: a browser that comes again has a newer one than the address."""
    header = request.headers.get(LAST_EVENT_ID)
    return (header or asked or "")[:PLACE_LENGTH_MAX] or None


class Stream(Response):
    """Sends what a subscription has, until the client goes, its token ends or the process does."""

    def __init__(
        self,
        components: Components,
        subscription: Subscription,
        begin: Place | None,
        seconds: float,
    ) -> None:
        """`begin` is told first, to a client that had no place; `seconds`: until it ends."""
        self.status_code = 200
        self.background = None
        self.body = b""
        self.raw_headers = list(_HEADERS)
        self._components = components
        self._subscription = subscription
        self._begin = begin
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        components, subscription = self._components, self._subscription
        subscription.abort = scope.get("abort", _nothing)
        ends = asyncio.get_running_loop().call_later(max(self._seconds, 0.0), subscription.end)
        leaving = asyncio.create_task(_until_gone(receive, subscription.end))
        components.metrics.stream_opened(1)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._write(send, _RETRY if self._begin is None else _RETRY + _id(self._begin))
            while not subscription.ended:
                await self._write(send, await self._next())
            await self._write(send, b"", more=False)
        except TimeoutError:
            subscription.abort()
        finally:
            components.metrics.stream_opened(-1)
            components.feed.leave(subscription)
            components.streams.leave(subscription.creator_id)
            ends.cancel()
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    async def _write(self, send: Send, chunk: bytes, *, more: bool = True) -> None:
        """Raises `TimeoutError` for a client that takes nothing any more."""
        with self._components.feed.writing.limit():
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _next(self) -> bytes:
        """What is written next; a comment after a while in which there was nothing."""
        subscription, feed = self._subscription, self._components.feed
        with contextlib.suppress(TimeoutError), feed.silence.limit():
            while not subscription.waits and not subscription.ended:
                subscription.woken.clear()
                await subscription.woken.wait()
        events = subscription.take()
        if events:
            self._components.metrics.stream_events(len(events))
            return b"".join(events)
        # Also where the client stands: else what others do would push it out of the ring.
        place = feed.place()
        return b":\n\n" if place is None else b":\n" + _id(place)


async def _until_gone(receive: Receive, gone: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone()


def _id(place: Place) -> bytes:
    """No event: a client only notes it."""
    return b"id: %s\n\n" % str(place).encode()


def _nothing() -> None:
    """Another server than ours gives no way to."""
