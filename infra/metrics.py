"""Numbers of this process, for Prometheus.

What is counted at every unit of work is kept in plain Python and put into Prometheus' form when
somebody asks: the library's own counters take a lock and 1 to 2 us each time.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import HistogramMetricFamily

PROMETHEUS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def new_registry() -> CollectorRegistry:
    """One of its own for each app, so that two in a process do not clash; with the process' CPU,
    memory and start (`process_…`)."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a line of time for each count
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry) -> bytes:
    """The text format, version 0.0.4."""
    return generate_latest(registry)


class Spread:
    """How values are spread over buckets: a histogram. Belongs to one event loop; holds no lock."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the upper ends of the buckets, in order; a last one without end follows."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def show(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """Put what was counted so far into a family."""
        buckets, total = [], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric(labels, buckets, self._sum)
