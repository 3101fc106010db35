"""What happens to every request: identified, found, bounded, let in, answered, logged, measured.

One pass, the same for every row of the table of endpoints, and nothing is answered outside of it:

1. the correlation id; the endpoint of the path and method, or 404, or 405;
2. the size that the body announces, the deadline;
3. the token, unless the endpoint is public, and with it whose rows the stores show; a place among
   the requests in flight, of all and of this creator; what the user and the creator may ask in a
   minute: who is refused costs no more than that;
4. when it is this creator's turn, the handler; its answer is sent within the same deadline;
5. whatever was raised becomes the error body of its kind. The access log and the metrics tell of
   the request, and never hold its query or an id.

One coroutine and no layers: Starlette's application, router and middleware around the same handlers
took 30 us more of each request.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final
from unicodedata import normalize

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api import remarks
from api.auth import Authenticator
from api.endpoints import Access, Endpoint
from api.envelopes import CORRELATION_BYTES, correlation_of, failure
from api.jwks import UnknownKey
from api.metrics import UNMATCHED, ApiMetrics
from api.order import Order
from api.parameters import read_query
from api.places import PUBLIC, Places
from api.refusals import Refusals
from api.routes import Methods, Routes
from infra import logs
from infra.deadlines import Deadlines
from infra.settings import Settings
from privacy.log_ids import LogIds, fan
from schemas.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    FanMemoryError,
    Forbidden,
    MethodNotAllowed,
    Overloaded,
    RateLimited,
    RouteNotFound,
)
from stores import wall

_METHOD_LENGTH_MAX: Final = 16

log = logging.getLogger(__name__)


class Dispatch:
    """Answers HTTP requests as the endpoints' rows say."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        auth: Authenticator,
        settings: Settings,
        metrics: ApiMetrics,
        log_ids: LogIds,
    ) -> None:
        self._log_ids = log_ids
        self._routes = Routes(endpoints)
        self._auth = auth
        self._metrics = metrics
        self._deadlines = {
            endpoint.deadline_s: Deadlines(endpoint.deadline_s or settings.request_seconds_max)
            for endpoint in endpoints
        }
        self._body_bytes_max = settings.body_bytes_max
        self._places = Places(settings.requests_in_flight_max)
        self._order = Order()
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; raises nothing but what the server itself has raised in sending."""
        began = time.perf_counter()
        # Backwards, since dict() keeps the last of equal names: of a header sent twice the first
        # counts.
        headers = scope["headers_by_name"] = dict(scope["headers"][::-1])
        correlation = scope["correlation_id"] = correlation_of(headers)
        logs.CORRELATION.set(correlation)
        wall.letting_in(wall.NOBODY)
        scope["status"] = 0
        methods, scope["path_params"] = self._routes.find(scope["path"])
        endpoint = methods.get(scope["method"])
        route = endpoint.path if endpoint is not None else _route(methods)
        try:
            if endpoint is None:
                raise MethodNotAllowed if methods else RouteNotFound
            await self._limited(endpoint, scope, receive, send)
        except Exception as raised:  # the boundary: nothing may pass it unanswered
            error = raised if isinstance(raised, FanMemoryError) else FanMemoryError()
            self._metrics.error(route, error)
            scope["error"] = error.type or type(error).__name__
            if error.status >= 500 and not error.retryable:
                log.exception("request failed")
            if not scope["status"]:
                if isinstance(error, RateLimited):
                    began += await self._refusals.wait()
                response = failure(scope, error)
                if isinstance(error, RateLimited):
                    response.raw_headers += scope["components"].limits.headers(error)
                if endpoint is None and methods:
                    response.headers["allow"] = ", ".join(sorted(methods))
                await _send(response, scope, receive, send)
        finally:
            self._tell(endpoint, route, scope, time.perf_counter() - began)

    async def _limited(
        self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """A largest body, a place among the requests in flight, a deadline."""
        if scope["method"] not in ("GET", "HEAD"):
            receive = _bounded(scope, receive, endpoint.body_bytes_max or self._body_bytes_max)
        if endpoint.streams:
            await self._answer(endpoint, scope, receive, send)
            return
        if self._places.served.full and not endpoint.quiet:
            raise Overloaded
        limit = self._deadlines[endpoint.deadline_s].limit()
        try:
            with limit:
                await self._answer(endpoint, scope, receive, send)
        except TimeoutError:
            if limit.expired:
                raise DeadlineExceeded from None
            raise

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        who = PUBLIC if endpoint.access is Access.PUBLIC else await self._let_in(endpoint, scope)
        placed = not (endpoint.quiet or endpoint.streams)
        if placed:
            self._places.served.enter(who)
        try:
            principal = scope.get("principal")
            if principal is not None:
                await scope["components"].limits.pay(principal)
            if placed:
                if not self._order.at_once():
                    await self._order.turn(who)
                scope["places"], scope["place"] = self._places, who
            response = await endpoint.handler(Request(scope, receive))
            await _send(response, scope, receive, send)
        finally:
            if placed:
                self._places.served.leave(who)

    async def _let_in(self, endpoint: Endpoint, scope: Scope) -> str:
        """Whose request it is; 401 without a valid token, 403 without a creator or the scope."""
        sent = scope["headers_by_name"].get(b"authorization", b"")
        header = sent.decode("latin-1")
        ticket = None
        if endpoint.ticket and not sent:
            ticket = read_query(scope["query_string"]).get("ticket")
        try:
            if ticket is not None:
                principal, scope["ticket_fan"] = await scope["components"].tickets.take(ticket)
            else:
                principal = self._auth.authenticate(header)
        except UnknownKey:
            principal = await self._auth.authenticate_after_looking(header)
        if not principal.speaks:
            raise Forbidden
        principal.require_scope(endpoint.scope)
        if principal.creator_ids:
            named = read_query(scope["query_string"]).get("creatorId")
            principal = principal.about(named and normalize("NFC", named))
        scope["principal"] = principal
        wall.letting_in(principal.creators)
        # No id holds a NUL: whoever asks for several creators at once is nobody else.
        return principal.creator_id or f"\0{principal.user_id}"

    def _tell(self, endpoint: Endpoint | None, route: str, scope: Scope, seconds: float) -> None:
        method, status = scope["method"], scope["status"]
        # How long a client listens is no measure of how fast we are.
        listened = endpoint is not None and endpoint.streams and status == 200
        self._metrics.observe(route, method, status, None if listened else seconds)
        quiet = endpoint is not None and endpoint.quiet and status < 400
        level = logging.DEBUG if quiet else logging.INFO
        if status >= 500:
            level = logging.WARNING
        principal, subject = scope.get("principal"), scope.get("subject")
        creator_id = principal.creator_id if principal is not None else None
        logs.tell(
            log,
            level,
            "request",
            extra={
                "operation": UNMATCHED if endpoint is None else endpoint.name,
                "method": method if len(method) <= _METHOD_LENGTH_MAX else "other",
                "route": route,
                "status": status,
                "duration": round(seconds * 1000, 3),
                "creatorId": self._log_ids.creator(creator_id) if creator_id else None,
                "fanId": fan(subject) if subject is not None else None,
                "error": scope.get("error"),
            },
        )


def _route(methods: Methods) -> str:
    """The template of the path that was found: bounded, whatever paths are asked for."""
    return next((endpoint.path for endpoint in methods.values()), UNMATCHED)


async def _send(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    scope["status"] = response.status_code
    response.raw_headers.append((CORRELATION_BYTES, scope["correlation_id"].encode()))
    response.raw_headers += remarks.headers(scope)
    await response(scope, receive, send)


def _bounded(scope: Scope, receive: Receive, bytes_max: int) -> Receive:
    """Refuse a body by its announced size, or as soon as it has grown too large."""
    announced = scope["headers_by_name"].get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > bytes_max:
        raise BodyTooLarge
    received = 0

    async def bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > bytes_max:
            raise BodyTooLarge
        return message

    return bounded
