"""The ASGI application: the table of endpoints, the layers around it, and its lifespan."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import health, interactions, memory
from api.auth import Authenticator
from api.components import open_components
from api.endpoints import Access, Endpoint
from api.metrics import ApiMetrics
from api.middleware import AccessLog, CreatorOnly, Errors, InFlight, Limits
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.context import EngagementScore, MemoryContext
from schemas.events import Wire as InteractionEvent
from views.explain import Explanation

PREFIX = "/api/of-memory"

ENDPOINTS = (
    Endpoint(
        f"{PREFIX}/context", "GET", memory.get_context, "getMemoryContext", response=MemoryContext
    ),
    Endpoint(
        f"{PREFIX}/engagement-score",
        "GET",
        memory.get_score,
        "getEngagementScore",
        response=EngagementScore,
    ),
    Endpoint(f"{PREFIX}/explain", "GET", memory.get_explanation, "explain", response=Explanation),
    Endpoint(
        f"{PREFIX}/interaction",
        "POST",
        interactions.save_interaction,
        "saveInteraction",
        request=InteractionEvent,
    ),
    Endpoint("/health/live", "GET", health.live, "live", access=Access.PUBLIC, quiet=True),
    Endpoint("/health/ready", "GET", health.ready, "ready", access=Access.PUBLIC, quiet=True),
    Endpoint("/metrics", "GET", health.metrics, "metrics", access=Access.PUBLIC, quiet=True),
)
"""Everything that is answered. What says nothing about access asks for a creator's token."""


def create_app(settings: Settings, endpoints: Sequence[Endpoint] = ENDPOINTS) -> Starlette:
    """The app for these settings. Raises `Misconfigured` for a bad JWT secret or keyring.

    The lifespan opens the pools and closes them; none of the services has to be up for it.
    """
    auth = Authenticator(settings)
    keyring = Keyring.of(settings)
    measured = ApiMetrics()
    in_flight = InFlight(settings.requests_in_flight_max)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        components = await open_components(settings, keyring, measured)
        app.state.components = components
        try:
            yield
        finally:
            await components.close()

    quiet = frozenset(endpoint.path for endpoint in endpoints if endpoint.quiet)
    return Starlette(
        routes=[_route(endpoint, auth, in_flight, settings) for endpoint in endpoints],
        lifespan=lifespan,
        middleware=[
            Middleware(AccessLog, metrics=measured, quiet=quiet),
            Middleware(Errors, metrics=measured),
        ],
        exception_handlers={HTTPException: _raise_again},
    )


def _route(
    endpoint: Endpoint, auth: Authenticator, in_flight: InFlight, settings: Settings
) -> Route:
    around = [Middleware(Limits, endpoint=endpoint, in_flight=in_flight, settings=settings)]
    if endpoint.access is not Access.PUBLIC:
        around.append(Middleware(CreatorOnly, auth=auth))
    return Route(
        endpoint.path,
        endpoint.handler,
        methods=[endpoint.method],
        name=endpoint.name,
        middleware=around,
    )


async def _raise_again(_request: Request, error: Exception) -> Response:
    """The router's 404 and 405 go up to `Errors`, for the one shape of errors."""
    raise error
