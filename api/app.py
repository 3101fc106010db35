"""The ASGI application: the table of endpoints, and the lifespan of what answers them."""

from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from api import bulk, health, interactions, memory, stats, webhooks
from api.auth import Authenticator
from api.components import Components, open_components
from api.dispatch import Dispatch
from api.endpoints import Access, Endpoint
from api.metrics import ApiMetrics
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.bulk import BulkRequest
from schemas.context import EngagementScore, MemoryContext
from schemas.events import Wire as InteractionEvent
from views.explain import Explanation

PREFIX = "/api/of-memory"

ENDPOINTS = (
    Endpoint(
        f"{PREFIX}/context",
        "GET",
        memory.get_context,
        "getMemoryContext",
        scope="memory:read",
        response=MemoryContext,
    ),
    Endpoint(
        f"{PREFIX}/engagement-score",
        "GET",
        memory.get_score,
        "getEngagementScore",
        scope="memory:read",
        response=EngagementScore,
    ),
    Endpoint(
        f"{PREFIX}/explain",
        "GET",
        memory.get_explanation,
        "explain",
        scope="memory:read",
        response=Explanation,
    ),
    Endpoint(
        f"{PREFIX}/bulk",
        "POST",
        bulk.get_contexts,
        "getMemoriesForFans",
        scope="memory:read",
        request=BulkRequest,
        response=dict[str, MemoryContext],
    ),
    Endpoint(
        f"{PREFIX}/interaction",
        "POST",
        interactions.save_interaction,
        "saveInteraction",
        scope="memory:write",
        request=InteractionEvent,
    ),
    Endpoint(
        f"{PREFIX}/interactions",
        "POST",
        interactions.save_interactions,
        "saveInteractions",
        scope="memory:write",
        body_bytes_max=interactions.BATCH_BYTES_MAX,
        request=list[InteractionEvent],
    ),
    Endpoint(
        f"{PREFIX}/stats",
        "GET",
        stats.get_stats,
        "getStats",
        scope="memory:read",
        response=stats.Circuits,
    ),
    # The platform's own signature says who asks, checked against the connection's secret.
    Endpoint(
        "/api/webhooks/{platform}/{connection}",
        "POST",
        webhooks.deliver,
        "deliver",
        access=Access.PUBLIC,
    ),
    Endpoint("/health/live", "GET", health.live, "live", access=Access.PUBLIC, quiet=True),
    Endpoint("/health/ready", "GET", health.ready, "ready", access=Access.PUBLIC, quiet=True),
    Endpoint("/metrics", "GET", health.metrics, "metrics", access=Access.PUBLIC, quiet=True),
)
"""Everything that is answered. What says nothing about access asks for a creator's token."""


class App:
    """Opens the components when the server starts and closes them when it stops."""

    def __init__(self, settings: Settings, endpoints: Sequence[Endpoint] = ENDPOINTS) -> None:
        """Raises `Misconfigured` for a bad JWT secret or keyring.

        None of the services has to be up for starting.
        """
        self._settings = settings
        self._keyring = Keyring.of(settings)
        self._metrics = ApiMetrics()
        self._auth = Authenticator(settings)
        self._dispatch = Dispatch(endpoints, self._auth, settings, self._metrics)
        self._components: Components | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["components"] = self._components
            await self._dispatch(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """What is raised while starting goes to the server, which logs it and does not start."""
        await receive()
        components = await open_components(self._settings, self._keyring, self._metrics)
        self._components = components
        self._auth.start()
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            await self._auth.close()
            await components.close()
        await send({"type": "lifespan.shutdown.complete"})
