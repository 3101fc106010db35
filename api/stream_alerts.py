"""Budgets that are nearly or wholly spent, told at once to the streams of their creator.

One consumer of `workflow-traces` without a group, begun with the first stream of the process, at
the topic's end. An alert has no id: it belongs to no place in `memory-updates`, and is told to who
listens. Who comes later asks for the costs.

    Kafka is away     the consumer comes back and reads on where it was
    calls refused     each call that a spent budget refuses would tell it: once a minute is enough
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from infra import kafka
from infra.retry import Backoff, retried, worth_saying
from infra.settings import Settings
from schemas.errors import BrokerUnavailable
from schemas.topics import WORKFLOW_TRACES
from schemas.workflows import BudgetAlert, BudgetPeriod, BudgetScope, BudgetState, encode_alert

log = logging.getLogger(__name__)

STATES: Final[dict[str, BudgetState]] = {"budget_warning": "warning", "budget_exceeded": "exceeded"}
"""Events of the topic -> what is told."""
AGAIN_SECONDS: Final = 60.0
POLL_MS: Final = 1_000
BEGIN_SECONDS_MAX: Final = 2.0
RECORDS_MAX: Final = 500
"""Taken at once: one look for a few bytes in each."""
TOLD_MAX: Final = 10_000
"""Budgets of which it is known when they were told."""
BACKOFF: Final = Backoff(0.1, 2.0, 0.5, 1.0)

_MARK: Final = b'"budget_'

Tell = Callable[[str, bytes], None]
"""Of a creator: one event, as it is written on a stream."""


class _Budget(msgspec.Struct, frozen=True):
    scope: BudgetScope | None = None
    period: BudgetPeriod | None = None


class _Step(msgspec.Struct, frozen=True, rename="camel"):
    """What is read of a `TracedStep`."""

    event: str
    workflow_id: str
    timestamp: str
    creator_id: str = ""
    data: _Budget = _Budget()


_decode = msgspec.json.Decoder(_Step).decode


class Alerts:
    """Belongs to one event loop; `close` it there."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self._settings = settings
        self._name = kafka.named(settings, WORKFLOW_TRACES.name)
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._next: dict[int, int] = {}
        """By partition: where it reads on."""
        self._told: dict[tuple[str | None, ...], float] = {}
        """By creator, state, scope and period: when it was told last, the oldest first."""
        self._stands = asyncio.Event()

    async def begin(self) -> None:
        """Read from now on, if it does not yet. Waits until it does, for a short while."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_SECONDS_MAX):
                await self._stands.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await retried(self._follow, BACKOFF, on=BrokerUnavailable, told=self._waits)
            except Exception:
                # Streams go on without it, and it goes on with them.
                log.exception("the alerts of budgets broke, and begin again")
            await asyncio.sleep(BACKOFF.longest_seconds)

    def _waits(self, attempt: int, error: BaseException) -> None:
        if worth_saying(attempt):
            log.warning("alerts wait for %s", type(error).__name__, extra={"attempt": attempt})

    async def _follow(self) -> None:
        """Read until something breaks, or there are more partitions."""
        consumer = kafka.reader(
            self._settings,
            client_id="fanmemory-api-alerts",
            auto_offset_reset="latest",
            request_timeout_ms=10_000,
        )
        await kafka.connect(consumer)
        try:
            async with kafka.broker_errors():
                count = await self._begin(consumer)
                while len(self._known(consumer)) <= count:
                    found = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
                    for place, records in found.items():
                        for record in records:
                            self._take(record.value or b"")
                            self._next[place.partition] = record.offset + 1
        finally:
            await kafka.disconnect(consumer)

    async def _begin(self, consumer: Any) -> int:
        """Stand where it was, or at the end. How many partitions there are."""
        cluster = await consumer._client.fetch_all_metadata()
        numbers = sorted(cluster.partitions_for_topic(self._name) or ())
        if not numbers:
            raise BrokerUnavailable("The topic of workflows' traces is not there.")
        places = [kafka.TopicPartition(WORKFLOW_TRACES.name, number) for number in numbers]
        ends = {at.partition: n for at, n in (await consumer.end_offsets(places)).items()}
        consumer.assign(places)
        for place in places:
            number = place.partition
            self._next[number] = min(self._next.get(number, ends[number]), ends[number])
            consumer.seek(place, self._next[number])
        self._stands.set()
        return len(numbers)

    def _known(self, consumer: Any) -> Any:
        return consumer._client.cluster.partitions_for_topic(self._name) or ()

    def _take(self, value: bytes) -> None:
        if _MARK not in value:
            return
        try:
            step = _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # nothing that we have written
        state = STATES.get(step.event)
        if state is None or not step.creator_id:
            return
        budget = step.data
        if not self._is_due((step.creator_id, state, budget.scope, budget.period)):
            return
        alert = BudgetAlert(
            creator_id=step.creator_id,
            state=state,
            timestamp=step.timestamp,
            workflow_id=step.workflow_id,
            scope=budget.scope,
            period=budget.period,
        )
        self._tell(step.creator_id, b"event: budget\ndata: %s\n\n" % encode_alert(alert))

    def _is_due(self, budget: tuple[str | None, ...]) -> bool:
        """Whether it was not told in the last minute; then it is told now."""
        now = time.monotonic()
        told = self._told.get(budget)
        if told is not None and now - told < AGAIN_SECONDS:
            return False
        self._told.pop(budget, None)
        self._told[budget] = now
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        return True
