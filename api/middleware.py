"""What happens to every request, as pure ASGI: identified, observed, bounded, answered.

Outermost first: `Observed` (correlation id, access log, metrics) around `Answered` (every error
becomes the error body) around `Bounded` (requests in flight, body size, one deadline). Starlette's
`BaseHTTPMiddleware` would cost 105 us a request where these cost about 9 each.
"""

import asyncio
import logging
import time
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.envelopes import CORRELATION_HEADER, failure, new_correlation_id
from api.metrics import UNMATCHED, ApiMetrics
from infra.settings import Settings
from schemas.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    FanMemoryError,
    MethodNotAllowed,
    Overloaded,
    RouteNotFound,
)

QUIET_ROUTES: Final = frozenset(("/health/live", "/health/ready", "/metrics"))
"""Asked every few seconds by machines: logged at DEBUG unless they fail."""
_CORRELATION: Final = CORRELATION_HEADER.encode()

log = logging.getLogger(__name__)


class Observed:
    """Gives the request its correlation id; logs and measures it. Never logs a query or an id."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

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
            quiet = route in QUIET_ROUTES and status < 400
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


class Answered:
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


class Bounded:
    """At most `requests_in_flight_max` at once, each with a deadline and a largest body."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._seconds_max = settings.request_seconds_max
        self._body_bytes_max = settings.body_bytes_max
        self._in_flight_max = settings.requests_in_flight_max
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._in_flight >= self._in_flight_max and scope["path"] not in QUIET_ROUTES:
            raise Overloaded
        if scope["method"] not in ("GET", "HEAD"):
            receive = self._limited(scope, receive)
        self._in_flight += 1
        try:
            async with asyncio.timeout(self._seconds_max) as deadline:
                await self._app(scope, receive, send)
        except TimeoutError:
            if deadline.expired():
                raise DeadlineExceeded from None
            raise
        finally:
            self._in_flight -= 1

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
