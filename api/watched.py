"""The API's pages for machines, on the metrics' address: nothing personal, but volumes."""

from api.components import Components
from api.health import health, status_of
from infra.exposition import Exposition, Page, as_json
from infra.metrics import PROMETHEUS_TYPE


def exposition_of(components: Components) -> Exposition:
    """`/metrics`, and `/health/ready` with all that readiness stands on."""

    async def metrics() -> Page:
        """Asks for the lag first, so that a scrape is never stale."""
        await components.lag.look()
        return Page(PROMETHEUS_TYPE, components.metrics.render())

    async def ready() -> Page:
        found = await health(components)
        return as_json(status_of(found["status"]), found)

    settings = components.settings
    pages = {"/metrics": metrics, "/health/ready": ready}
    return Exposition(settings.metrics_host, settings.metrics_port, pages)
