"""The ASGI application: the table of routes, the layers around it, and its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import health, interactions, memory
from api.auth import Authenticator
from api.metrics import ApiMetrics
from api.middleware import Answered, Bounded, Observed
from api.parts import opened
from infra.settings import Settings
from privacy.keys import Keyring

PREFIX = "/api/of-memory"

ROUTES = (
    Route(f"{PREFIX}/context", memory.get_context, methods=["GET"], name="getMemoryContext"),
    Route(
        f"{PREFIX}/engagement-score", memory.get_score, methods=["GET"], name="getEngagementScore"
    ),
    Route(f"{PREFIX}/explain", memory.get_explanation, methods=["GET"], name="explain"),
    Route(
        f"{PREFIX}/interaction",
        interactions.save_interaction,
        methods=["POST"],
        name="saveInteraction",
    ),
    Route("/health/live", health.live, methods=["GET"], name="live"),
    Route("/health/ready", health.ready, methods=["GET"], name="ready"),
    Route("/metrics", health.metrics, methods=["GET"], name="metrics"),
)


def create_app(settings: Settings) -> Starlette:
    """The app for these settings. Raises `Misconfigured` for a bad JWT secret or keyring.

    The lifespan opens the pools and closes them; none of the services has to be up for it.
    """
    auth = Authenticator(settings)
    keyring = Keyring.parse(settings.keyring.get_secret_value())
    measured = ApiMetrics()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        parts = await opened(settings, keyring, auth, measured)
        app.state.parts = parts
        try:
            yield
        finally:
            await parts.close()

    return Starlette(
        routes=ROUTES,
        lifespan=lifespan,
        middleware=[
            Middleware(Observed, metrics=measured),
            Middleware(Answered, metrics=measured),
            Middleware(Bounded, settings=settings),
        ],
        exception_handlers={HTTPException: _raise_again},
    )


async def _raise_again(_request: Request, error: Exception) -> Response:
    """The router's 404 and 405 go up to `Answered`, for the one shape of errors."""
    raise error
