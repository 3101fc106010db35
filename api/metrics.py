"""What Prometheus sees. Names are the public API contract's where it has one.

Labels are bounded: routes are the templates of our own table, types are those of the error tree,
partitions are the topics'. A registry belongs to one app, so that two in a process do not clash.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import (
    Counter,
    Gauge,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from api.lag import PipelineState
from infra.breaker import STATES, Breaker
from infra.metrics import Spread, new_registry, render
from schemas.errors import FanMemoryError
from stores.reader import FanMemory

BUCKETS: Final = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
)  # fmt: skip
"""Seconds. Dense around 5 ms, the target of a cached read; up to the request's deadline."""
UNMATCHED: Final = "unmatched"
METHODS: Final = frozenset(("GET", "POST", "PUT", "DELETE"))


class ApiMetrics:
    """Counts requests; asks the readers for the rest when it is scraped."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._durations: dict[tuple[str, str], Spread] = {}
        self._answers: dict[tuple[str, str, int], int] = {}
        self.registry.register(_Answers(self._answers, self._durations))
        self._errors = Counter(
            "memory_api_errors",
            "Responses with an error, by route, type and status",
            ("route", "type", "status"),
            registry=self.registry,
        )
        self._webhooks = Counter(
            "memory_webhook_events",
            "What became of what platforms delivered, by platform and outcome",
            ("platform", "outcome"),
            registry=self.registry,
        )

        self._streams = Gauge(
            "memory_api_streams_open", "Streams that are open", registry=self.registry
        )
        self._stream_events = Counter(
            "memory_api_stream_events", "Events sent to streams", registry=self.registry
        )
        self._stream_resets = Counter(
            "memory_api_stream_resets",
            "Streams that were told to read again, by the reason",
            ("reason",),
            registry=self.registry,
        )

    def stream_opened(self, more: int) -> None:
        self._streams.inc(more)

    def stream_events(self, count: int) -> None:
        self._stream_events.inc(count)

    def stream_reset(self, reason: str) -> None:
        self._stream_resets.labels(reason).inc()

    def webhook(self, platform: str, outcome: str, count: int) -> None:
        if count:
            self._webhooks.labels(platform, outcome).inc(count)

    def observe(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """An answer was given; status 0: none was, since nobody waited for it any more; without
        `seconds` it took as long as its client wanted."""
        if method not in METHODS:
            method = "other"
        spread = self._durations.get((route, method))
        if spread is None:
            spread = self._durations[route, method] = Spread(BUCKETS)
        if seconds is not None:
            spread.add(seconds)
        answer = route, method, status
        self._answers[answer] = self._answers.get(answer, 0) + 1

    def error(self, route: str, error: FanMemoryError) -> None:
        self._errors.labels(route, error.type or type(error).__name__, str(error.status)).inc()

    def watch(
        self,
        memory: FanMemory,
        breakers: Iterable[Breaker],
        pipeline: Callable[[], PipelineState],
    ) -> None:
        """Show these at every scrape."""
        self.registry.register(_Readers(memory, list(breakers), pipeline))

    def render(self) -> bytes:
        """In Prometheus' text format."""
        return render(self.registry)


class _Answers(Collector):
    """How many answers there were, and how long they took."""

    def __init__(
        self,
        answers: Mapping[tuple[str, str, int], int],
        durations: Mapping[tuple[str, str], Spread],
    ) -> None:
        self._answers = answers
        self._durations = durations

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "memory_api_requests",
            "Answers, by route, method and status",
            labels=["route", "method", "status"],
        )
        for (route, method, status), count in self._answers.items():
            requests.add_metric([route, method, str(status)], count)
        duration = HistogramMetricFamily(
            "memory_api_duration_seconds",
            "From the request's head to the response's end",
            labels=["route", "method"],
        )
        for labels, spread in self._durations.items():
            spread.show(duration, labels)
        yield requests
        yield duration


class _Readers(Collector):
    def __init__(
        self,
        memory: FanMemory,
        breakers: list[Breaker],
        pipeline: Callable[[], PipelineState],
    ) -> None:
        self._memory = memory
        self._breakers = breakers
        self._pipeline = pipeline

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._reads()
        yield from self._circuits()
        yield from self._partitions()
        yield from self._outbox()
        yield from self._events()

    def _reads(self) -> Iterator[Metric]:
        numbers = self._memory.statistics()
        for name, key, text in (
            ("memory_cache_requests", "cache_requests", "Reads that asked the cache"),
            ("memory_cache_hits", "cache_hits", "Reads that the cache answered"),
            ("memory_cache_errors", "cache_errors", "Reads that the cache failed"),
            (
                "memory_cache_overtaken",
                "cache_overtaken",
                "Reads that the cache was slow in",
            ),
            ("memory_cache_fills", "fills", "Writes to the cache after a miss"),
            ("memory_cache_fills_dropped", "fills_dropped", "Such writes given up"),
            ("memory_database_reads", "store_reads", "Reads of the database"),
            ("memory_seals_broken", "seals_broken", "Memories that did not open for their fan"),
            ("memory_database_reads_shared", "shared_reads", "Misses that joined another's read"),
        ):
            yield CounterMetricFamily(name, text, numbers[key])
        retries = CounterMetricFamily("memory_retries", "Attempts after the first", labels=["of"])
        retries.add_metric(["cache"], numbers["cache_retries"])
        retries.add_metric(["database"], numbers["store_retries"])
        yield retries
        degraded = CounterMetricFamily(
            "memory_degraded_reads", "Answers without the database", labels=["kind"]
        )
        degraded.add_metric(["cache"], numbers["degraded_cache"])
        degraded.add_metric(["minimal"], numbers["degraded_minimal"])
        yield degraded

    def _circuits(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "memory_circuit_breaker_state", "1 for the state it is in", labels=["breaker", "state"]
        )
        trips = CounterMetricFamily(
            "memory_circuit_breaker_trips", "Times it opened", labels=["breaker"]
        )
        for breaker in self._breakers:
            stats = breaker.stats()
            for name in STATES.values():
                state.add_metric([breaker.name, name.lower()], float(stats.state == name))
            trips.add_metric([breaker.name], stats.trips)
        yield state
        yield trips

    def _partitions(self) -> Iterator[Metric]:
        labels = ["topic", "partition"]
        position = GaugeMetricFamily(
            "memory_partition_position", "Next offset to be read", labels=labels
        )
        lag = GaugeMetricFamily(
            "memory_partition_lag",
            "Records not yet read; below 0 the log ends before the position",
            labels=labels,
        )
        age = GaugeMetricFamily(
            "memory_partition_oldest_unread_seconds",
            "Age of the oldest record not yet read; 0 without lag",
            labels=labels,
        )
        stopped = GaugeMetricFamily(
            "memory_partition_stopped",
            "1 while it waits for its operator, since its log lacks something",
            labels=labels,
        )
        for part in self._pipeline().partitions:
            names = [part.topic, str(part.partition)]
            position.add_metric(names, part.position)
            stopped.add_metric(names, float(part.stopped))
            if part.lag is not None:
                lag.add_metric(names, part.lag)
            if part.oldestUnprojectedSeconds is not None:
                age.add_metric(names, part.oldestUnprojectedSeconds)
        yield position
        yield lag
        yield age
        yield stopped

    def _outbox(self) -> Iterator[Metric]:
        labels = ["topic"]
        waiting = GaugeMetricFamily(
            "memory_outbox_waiting", "Records not yet published", labels=labels
        )
        oldest = GaugeMetricFamily(
            "memory_outbox_oldest_seconds", "Age of the oldest of them", labels=labels
        )
        refused = GaugeMetricFamily(
            "memory_outbox_refused", "Records that the broker will never take", labels=labels
        )
        for one in self._pipeline().outbox:
            waiting.add_metric([one.topic], one.waiting)
            oldest.add_metric([one.topic], one.oldest_seconds)
            refused.add_metric([one.topic], one.refused)
        yield waiting
        yield oldest
        yield refused

    def _events(self) -> Iterator[Metric]:
        events = GaugeMetricFamily(
            "memory_events",
            "What became of the events, as the commits count it",
            labels=["outcome"],
        )
        for outcome, count in self._pipeline().events.items():
            events.add_metric([outcome], count)
        letters = CounterMetricFamily(
            "memory_dead_letters", "Dead letters, by the class of their reason", labels=["reason"]
        )
        for reason, count in self._pipeline().letters.items():
            letters.add_metric([reason], count)
        yield events
        yield letters
