"""The ASGI application, and the lifespan of what answers its requests."""

from collections.abc import Sequence

from starlette.types import Receive, Scope, Send

from api.auth import Authenticator
from api.components import Components, open_components
from api.contract import Contract
from api.dispatch import Dispatch
from api.endpoints import Endpoint
from api.metrics import ApiMetrics
from api.table import ENDPOINTS
from api.watched import exposition_of
from infra.exposition import Exposition
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.log_ids import LogIds


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
        self._dispatch = Dispatch(
            endpoints, self._auth, settings, self._metrics, LogIds(self._keyring)
        )
        self._contract = Contract(endpoints)
        self._components: Components | None = None
        self.exposition: Exposition | None = None
        """Where machines ask how it does, once it runs."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["components"] = self._components
            scope["contract"] = self._contract
            await self._dispatch(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    def stop_streams(self) -> None:
        """The server is about to stop: nobody waits for what never ends by itself."""
        if self._components is not None:
            self._components.feed.stop()

    async def _live(self, receive: Receive, send: Send) -> None:
        """What is raised while starting goes to the server, which logs it and does not start."""
        await receive()
        components = await open_components(self._settings, self._keyring, self._metrics)
        self._components = components
        self._auth.follow(components.revoked)
        self._auth.start()
        exposition = exposition_of(components)
        self.exposition = exposition
        await exposition.open()
        try:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        finally:
            await exposition.close()
            await self._auth.close()
            await components.close()
        await send({"type": "lifespan.shutdown.complete"})
