"""What happens to every request, as pure ASGI: identified, logged, bounded, let in, answered.

Outermost first: `AccessLog` (correlation id, access log, metrics) around `Errors` (every error
becomes the error body) around the router; and around each endpoint's handler, as its row in the
table says, `Limits` (requests in flight, body size, deadline) and `CreatorOnly` (the token).
Starlette's `BaseHTTPMiddleware` would cost 105 us a request where these cost about 9 each.
"""

import asyncio
import logging
import time
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import Authenticator
from api.endpoints import Endpoint
from api.envelopes import CORRELATION_HEADER, failure, new_correlation_id
from api.metrics import UNMATCHED, ApiMetrics
from infra.settings import Settings
from schemas.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    FanMemoryError,
    Forbidden,
    MethodNotAllowed,
    Overloaded,
    RouteNotFound,
)

_CORRELATION: Final = CORRELATION_HEADER.encode()

log = logging.getLogger(__name__)


class AccessLog:
    """Gives the request its correlation id; logs and measures it. Never logs a query or an id."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics, quiet: frozenset[str]) -> None:
        """`quiet` are the paths whose successes are not logged."""
        self._app = app
        self._metrics = metrics
        self._quiet = quiet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        incoming = next((v for k, v in scope["headers"] if k == _CORRELATION), b"")
        correlation = new_correlation_id(incoming.decode("latin-1"))
        scope["correlation_id"] = correlation
        status = 0

        async def identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((_CORRELATION, correlation.encode()))
            await send(message)

        try:
            await self._app(scope, receive, identified)
        finally:
            seconds = time.perf_counter() - began
            route = route_of(scope)
            self._metrics.observe(route, scope["method"], seconds)
            quiet = route in self._quiet and status < 400
            level = logging.DEBUG if quiet else logging.INFO
            if log.isEnabledFor(level):
                log.log(
                    level,
                    "request",
                    extra={
                        "operation": getattr(scope.get("route"), "name", UNMATCHED),
                        "correlationId": correlation,
                        "method": scope["method"] if len(scope["method"]) <= 16 else "other",
                        "route": route,
                        "status": status,
                        "duration": round(seconds * 1000, 3),
                    },
                )


class Errors:
    """Turns whatever is raised into the error body of its kind."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as raised:  # the boundary: nothing may pass it unanswered
            error, headers = translate(raised)
            self._metrics.error(route_of(scope), error)
            if error.status >= 500 and not error.retryable:
                log.exception(
                    "request failed",
                    extra={"correlationId": scope["correlation_id"]},
                )
            if not started:
                await failure(scope, error, headers)(scope, receive, send)


class InFlight:
    """The places for requests that all endpoints share."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0


class Limits:
    """One endpoint's: a place among the requests in flight, a deadline, a largest body."""

    def __init__(
        self, app: ASGIApp, endpoint: Endpoint, in_flight: InFlight, settings: Settings
    ) -> None:
        self._app = app
        self._in_flight = in_flight
        self._takes_place = not (endpoint.quiet or endpoint.streams)
        self._body_bytes_max = settings.body_bytes_max
        deadline_s = endpoint.deadline_s or settings.request_seconds_max
        self._seconds_max = None if endpoint.streams else deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            receive = self._limited(scope, receive)
        if not self._takes_place:
            await self._in_time(scope, receive, send)
            return
        if self._in_flight.taken >= self._in_flight.most:
            raise Overloaded
        self._in_flight.taken += 1
        try:
            await self._in_time(scope, receive, send)
        finally:
            self._in_flight.taken -= 1

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._seconds_max) as deadline:
                await self._app(scope, receive, send)
        except TimeoutError:
            if deadline.expired():
                raise DeadlineExceeded from None
            raise

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """Refuse a body by its announced size, or as soon as it has grown too large."""
        announced = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > self._body_bytes_max:
            raise BodyTooLarge
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._body_bytes_max:
                raise BodyTooLarge
            return message

        return limited


class CreatorOnly:
    """Lets in requests with a token of a creator: 401 without a token, 403 without a creator."""

    def __init__(self, app: ASGIApp, auth: Authenticator) -> None:
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
        principal = self._auth.authenticate(sent.decode("latin-1"))
        if principal.creator_id is None:
            raise Forbidden
        scope["principal"] = principal
        await self._app(scope, receive, send)


def route_of(scope: Scope) -> str:
    """The template of the matched route: bounded, whatever paths are asked for."""
    return getattr(scope.get("route"), "path", UNMATCHED)


def translate(raised: Exception) -> tuple[FanMemoryError, dict[str, str] | None]:
    """Our error for anything raised; with the headers that a router wants sent."""
    if isinstance(raised, FanMemoryError):
        return raised, None
    if isinstance(raised, HTTPException):
        headers = dict(raised.headers) if raised.headers else None
        if raised.status_code == 405:
            return MethodNotAllowed(), headers
        if raised.status_code == 404:
            return RouteNotFound(), headers
    return FanMemoryError(), None
