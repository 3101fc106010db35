"""What Prometheus sees of a worker. `memory_partition_…` mean what they mean at the API, of those
partitions that this worker holds: whoever sums them up takes the largest of both."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from infra.exposition import Exposition, Page
from infra.metrics import PROMETHEUS_TYPE, Spread, new_registry, render
from infra.settings import Settings
from schemas.topics import JOURNAL
from streams.batching import BatchLoop
from streams.counts import Counts
from streams.watchdog import Watchdog

_TOPIC: Final = ["topic"]
_PARTITION: Final = ["topic", "partition"]


def worker_registry(loops: Sequence[BatchLoop], watchdog: Watchdog) -> CollectorRegistry:
    """What this worker's loops have done, and how far behind it is."""
    registry = new_registry()
    registry.register(_Worker(loops, watchdog))
    return registry


def exposition_of(settings: Settings, registry: CollectorRegistry) -> Exposition:
    async def metrics() -> Page:
        return Page(PROMETHEUS_TYPE, render(registry))

    return Exposition(settings.metrics_host, settings.metrics_port, {"/metrics": metrics})


class _Worker(Collector):
    def __init__(self, loops: Sequence[BatchLoop], watchdog: Watchdog) -> None:
        self._loops = loops
        self._watchdog = watchdog

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._units()
        yield from self._folding()
        yield from self._counters()
        yield from self._partitions()

    def _units(self) -> Iterator[Metric]:
        of: tuple[tuple[str, str, Callable[[Counts], Spread]], ...] = (
            (
                "memory_worker_unit_records",
                "Records of one unit of work",
                lambda counts: counts.records,
            ),
            (
                "memory_worker_unit_seconds",
                "Time of one unit, until all of it was done",
                lambda counts: counts.seconds,
            ),
            (
                "memory_worker_commit_seconds",
                "Of it, from COMMIT to its answer",
                lambda counts: counts.commit,
            ),
        )
        for name, text, spread in of:
            family = HistogramMetricFamily(name, text, labels=_TOPIC)
            for loop in self._loops:
                spread(loop.counts).show(family, [loop.positions.topic])
            yield family

    def _folding(self) -> Iterator[Metric]:
        fold = HistogramMetricFamily(
            "memory_worker_fold_seconds", "Time of folding a unit", labels=()
        )
        visible = HistogramMetricFamily(
            "memory_event_to_visible_seconds",
            "From an event's arrival on interactions until the views have it",
            labels=(),
        )
        for loop in self._loops:
            if loop.positions.topic == JOURNAL.name:
                loop.counts.fold.show(fold)
                loop.counts.visible.show(visible)
        yield fold
        yield visible

    def _counters(self) -> Iterator[Metric]:
        fences = CounterMetricFamily(
            "memory_worker_fences", "Units dropped, since their partition had moved", labels=_TOPIC
        )
        events = CounterMetricFamily(
            "memory_worker_events",
            "What became of what this worker has done",
            labels=["topic", "outcome"],
        )
        letters = CounterMetricFamily(
            "memory_worker_dead_letters",
            "Dead letters of this worker, by the class of their reason",
            labels=["topic", "reason"],
        )
        for loop in self._loops:
            topic, counts = loop.positions.topic, loop.counts
            fences.add_metric([topic], counts.fences)
            for outcome, count in sorted(counts.events.items()):
                events.add_metric([topic, outcome], count)
            for reason, count in sorted(counts.letters.items()):
                letters.add_metric([topic, reason], count)
        yield fences
        yield events
        yield letters

    def _partitions(self) -> Iterator[Metric]:
        position = _gauge("memory_partition_position", "Next offset to be read")
        lag = _gauge("memory_partition_lag", "Records not yet read; below 0 the log lost its end")
        age = _gauge(
            "memory_partition_oldest_unread_seconds", "Age of the oldest of them; 0 without lag"
        )
        stopped = _gauge("memory_partition_stopped", "1 while it waits for its operator")
        now, monotonic = time.time(), time.monotonic()
        for loop in self._loops:
            topic = loop.positions.topic
            for partition, held in sorted(loop.positions.held.items()):
                names = [topic, str(partition)]
                position.add_metric(names, held.next)
                stopped.add_metric(names, float(partition in loop.stopped))
                behind = self._watchdog.behind(topic, partition, monotonic)
                if behind is None:
                    continue
                lag.add_metric(names, behind.lag)
                fetched = loop.unread_since(partition)
                waited = behind.seconds if fetched is None else now - fetched / 1000
                age.add_metric(names, max(waited, 0.0) if behind.lag > 0 else 0.0)
        yield position
        yield lag
        yield age
        yield stopped


def _gauge(name: str, text: str) -> Any:
    return GaugeMetricFamily(name, text, labels=_PARTITION)
