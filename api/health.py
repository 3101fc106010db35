"""GET /health/live and /health/ready: for orchestrators and balancers. No token, and one word each.

What the word stands on (`health`) is on the metrics' address, beside the metrics.

Ready means: able to answer reads. With Postgres gone the cached reads still answer, with Redis
gone all do, more slowly, and with Kafka gone only writes fail: each is `degraded`, and 200, because
taking every instance out of the balancer would turn a part that is down into a whole that is. Only
with both stores gone is it `unavailable`, and 503. A log that lacks something is `degraded` too:
reads are answered, and `alarms` says what is missing.
"""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from api.components import Components, components_of
from api.envelopes import plain
from infra.breaker import Breaker

UNAVAILABLE: Final = "unavailable"


async def live(_request: Request) -> Response:
    """Whether the process runs and its event loop turns."""
    return plain({"status": "live"})


async def ready(request: Request) -> Response:
    """Whether reads can be answered."""
    status = (await health(components_of(request)))["status"]
    return plain({"status": status}, status_of(status))


def status_of(status: str) -> int:
    """As HTTP has it."""
    return 503 if status == UNAVAILABLE else 200


async def health(components: Components) -> dict[str, Any]:
    """Each dependency, and each partition's position, lag and oldest unprojected event."""
    look = await components.lag.look()
    memory, publisher = components.memory, components.publisher
    dependencies = {
        "cache": _dependency(look.cache, memory.cache_guard.breaker),
        "database": _dependency(look.database, memory.store_guard.breaker),
        "broker": _dependency(look.broker and publisher.connected, publisher.breaker),
    }
    up = [name for name, found in dependencies.items() if found["up"]]
    whole = len(up) == len(dependencies) and not look.alarms
    status = "ready" if whole else "degraded"
    if "cache" not in up and "database" not in up:
        status = UNAVAILABLE
    body = {"status": status, "dependencies": dependencies, "partitions": look.partitions}
    body["alarms"] = look.alarms
    return body


def _dependency(up: bool, breaker: Breaker) -> dict[str, Any]:
    return {"up": up, "circuit": breaker.stats()}
