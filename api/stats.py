"""GET /api/of-memory/stats: the circuits around what this process reads from and writes to."""

from starlette.requests import Request
from starlette.responses import Response

from api.components import components_of
from api.envelopes import data
from infra.breaker import BreakerStats, State
from schemas.context import Document
from schemas.times import Time, render_time


class Circuit(Document, frozen=True, gc=False):
    """One circuit, since this process was started."""

    state: State
    failures: int
    successes: int
    last_failure: Time | None


class Circuits(Document, frozen=True, gc=False):
    database: Circuit
    cache: Circuit
    broker: Circuit


async def get_stats(request: Request) -> Response:
    """The circuits around database, cache and broker, as they were seen last."""
    components = components_of(request)
    memory = components.memory
    return data(
        request.scope,
        Circuits(
            database=_circuit(memory.store_guard.breaker.stats()),
            cache=_circuit(memory.cache_guard.breaker.stats()),
            broker=_circuit(components.publisher.breaker.stats()),
        ),
    )


def _circuit(stats: BreakerStats) -> Circuit:
    failed = stats.lastFailure
    at = None if failed is None else render_time(failed)
    return Circuit(stats.state, stats.failures, stats.successes, at)
