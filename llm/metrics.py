"""What Prometheus sees of the LLM agent. No label holds an id: providers, types of intents, classes
of outcomes, states.

Calls are counted by the process that makes them, from its start on. What waits, budgets, campaigns
and pauses are asked of Postgres when somebody asks us: every agent tells the same of them.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, get_args

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from infra.breaker import STATES, BreakerStats
from infra.exposition import Exposition, Page
from infra.metrics import PROMETHEUS_TYPE, new_registry, render
from infra.postgres import Pool
from infra.settings import Settings
from llm.prompts import VERSIONS
from llm.providers import ProviderName
from schemas.errors import DatabaseUnavailable, FailureCode
from schemas.intents import INTENT_TYPES, IntentType
from stores.workflows.campaigns import OpenCampaigns, open_campaigns
from stores.workflows.pauses import Pauses, pauses
from stores.workflows.queue import Queue, Waiting
from stores.workflows.usage import Spent, Warned, warned

log = logging.getLogger(__name__)

OUTCOMES: Final = (
    *("answered", "refused", "length", "invalid", "shared", "kept"),
    *get_args(FailureCode),
)
"""Of a call; `shared`: another workflow's equal call was under way, and answered this one too;
`kept`: an equal call was answered in the last day."""
SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 45.0)
"""Around the 5 and 10 s of the reference's targets, up to the deadline of an attempt."""
LOOK_SECONDS_MAX: Final = 3.0
"""For all questions to Postgres together; what is not known by then is left out."""


class Stored(NamedTuple):
    """What Postgres says."""

    waiting: Sequence[Waiting] = ()
    budgets: Sequence[Warned] = ()
    pauses: Pauses = Pauses({}, frozenset())
    campaigns: Sequence[OpenCampaigns] = ()


class AgentMetrics:
    """Of one process."""

    def __init__(self, providers: Iterable[ProviderName] = ()) -> None:
        """Every series is there from the start: what begins with 1 has not grown, to Prometheus."""
        registry = self.registry = new_registry()
        self._calls = Counter(
            "memory_llm_calls",
            "Attempts at a provider, by how they ended",
            ("provider", "type", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "memory_llm_call_seconds",
            "From asking a provider until its answer, or its failure",
            ("provider",),
            buckets=SECONDS,
            registry=registry,
        )
        self._retries = Counter(
            "memory_llm_retries",
            "Attempts after a failed one of the same workflow at the same provider",
            ("provider", "helped"),
            registry=registry,
        )
        self._filtered = Counter(
            "memory_llm_filtered",
            "Attempts that a content filter ended, by the version of the prompt",
            ("provider", "prompt"),
            registry=registry,
        )
        self._unknown = Counter(
            "memory_llm_unknown_costs",
            "Attempts of which only the most that they can have cost is known",
            ("provider",),
            registry=registry,
        )
        self._tokens = Counter(
            "memory_llm_tokens",
            "Tokens of attempts: input and output",
            ("provider", "direction"),
            registry=registry,
        )
        self._cost = Counter(
            "memory_llm_cost_dollars",
            "What attempts cost, in US dollars",
            ("provider", "type"),
            registry=registry,
        )
        self._refusals = Counter(
            "memory_budget_refusals",
            "Calls that were not made, because a budget had no room for them",
            ("type",),
            registry=registry,
        )
        self._begin(sorted(providers))

    def _begin(self, providers: Sequence[str]) -> None:
        for kind in INTENT_TYPES:
            self._refusals.labels(kind)
        for name in providers:
            self._seconds.labels(name)
            self._unknown.labels(name)
            for helped in ("yes", "no"):
                self._retries.labels(name, helped)
            for direction in ("input", "output"):
                self._tokens.labels(name, direction)
            for version in VERSIONS.values():
                self._filtered.labels(name, version)
            for kind in INTENT_TYPES:
                self._cost.labels(name, kind)
                for outcome in OUTCOMES:
                    self._calls.labels(name, kind, outcome)

    def called(
        self,
        kind: IntentType,
        provider: str,
        prompt: str,
        outcome: str,
        spent: Spent,
        *,
        again: bool,
    ) -> None:
        """An attempt has ended; `again`: the one before, of the same workflow, had failed."""
        self._calls.labels(provider, kind, outcome).inc()
        if outcome in ("shared", "kept"):
            return
        failed = outcome in get_args(FailureCode)
        self._seconds.labels(provider).observe(spent.duration_ms / 1000)
        self._tokens.labels(provider, "input").inc(spent.usage.input)
        self._tokens.labels(provider, "output").inc(spent.usage.output)
        self._cost.labels(provider, kind).inc(float(spent.cost))
        if again:
            self._retries.labels(provider, "no" if failed else "yes").inc()
        if spent.unknown:
            self._unknown.labels(provider).inc()
        if outcome == "content_filter":
            self._filtered.labels(provider, prompt).inc()

    def refused(self, kind: IntentType) -> None:
        """A budget did not allow a call."""
        self._refusals.labels(kind).inc()

    def exposition(
        self,
        settings: Settings,
        pool: Pool,
        queue: Queue,
        breakers: Callable[[], Mapping[str, BreakerStats]],
        fingerprint: str,
    ) -> Exposition:
        """Where it is asked; `breakers` is looked at anew each time."""
        shown = _Stored(breakers)
        self.registry.register(shown)

        async def metrics() -> Page:
            shown.stored = await _look(pool, queue, fingerprint)
            return Page(PROMETHEUS_TYPE, render(self.registry))

        return Exposition(settings.metrics_host, settings.metrics_port, {"/metrics": metrics})


async def _look(pool: Pool, queue: Queue, fingerprint: str) -> Stored:
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            waiting = await queue.waiting()
            return Stored(
                waiting,
                await warned(pool),
                await pauses(pool, fingerprint),
                await open_campaigns(pool),
            )
    except (DatabaseUnavailable, TimeoutError):
        log.debug("the database is not there: what waits is not told")
        return Stored()


class _Stored(Collector):
    def __init__(self, breakers: Callable[[], Mapping[str, BreakerStats]]) -> None:
        self._breakers = breakers
        self.stored = Stored()

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        yield from self._queue()
        yield from self._budgets()
        yield from self._campaigns()
        yield from self._providers()

    def _queue(self) -> Iterator[Metric]:
        count = GaugeMetricFamily(
            "memory_workflows", "Workflows that have not ended", labels=["state"]
        )
        oldest = GaugeMetricFamily(
            "memory_workflows_oldest_seconds",
            "Since the oldest of them came to this state",
            labels=["state"],
        )
        overdue = GaugeMetricFamily(
            "memory_workflows_overdue_seconds",
            "Since the oldest of them wanted an agent, and found none",
            labels=["state"],
        )
        for one in self.stored.waiting:
            count.add_metric([one.state], one.workflows)
            oldest.add_metric([one.state], one.oldest_seconds)
            overdue.add_metric([one.state], one.overdue_seconds)
        yield count
        yield oldest
        yield overdue

    def _budgets(self) -> Iterator[Metric]:
        labels = ["scope", "period"]
        budgets = GaugeMetricFamily(
            "memory_budgets_warned",
            "Budgets of today and this month that are spent to 80 %",
            labels=labels,
        )
        for one in self.stored.budgets:
            budgets.add_metric([one.scope, one.period], one.budgets)
        yield budgets

    def _campaigns(self) -> Iterator[Metric]:
        labels = ["state", "reason"]
        count = GaugeMetricFamily(
            "memory_campaigns", "Campaigns that have not ended", labels=labels
        )
        waiting = GaugeMetricFamily(
            "memory_campaigns_waiting_members",
            "Members of them for whom nothing was begun yet",
            labels=labels,
        )
        overdue = GaugeMetricFamily(
            "memory_campaigns_overdue_seconds",
            "Since the oldest of them wanted an agent, and found none",
            labels=labels,
        )
        for one in self.stored.campaigns:
            count.add_metric([one.state, one.reason], one.campaigns)
            waiting.add_metric([one.state, one.reason], one.waiting)
            overdue.add_metric([one.state, one.reason], one.overdue_seconds)
        yield count
        yield waiting
        yield overdue

    def _providers(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "memory_circuit_breaker_state", "1 for the state it is in", labels=["breaker", "state"]
        )
        trips = CounterMetricFamily(
            "memory_circuit_breaker_trips", "Times it opened", labels=["breaker"]
        )
        parked = GaugeMetricFamily(
            "memory_provider_parked", "1 while it refuses our key", labels=["provider"]
        )
        cooling = GaugeMetricFamily(
            "memory_provider_cooling_seconds",
            "For how long nobody asks it, since it had too much",
            labels=["provider"],
        )
        for name, stats in self._breakers().items():
            for one in STATES.values():
                state.add_metric([f"provider-{name}", one.lower()], float(stats.state == one))
            trips.add_metric([f"provider-{name}"], stats.trips)
            parked.add_metric([name], float(name in self.stored.pauses.parked))
            cooling.add_metric([name], self.stored.pauses.cooling.get(name, 0.0))
        yield state
        yield trips
        yield parked
        yield cooling
