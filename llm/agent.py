"""The process of the LLM agent: claims what is due, composes it or sends it, and lets go of it.

Run as many as are wanted: Postgres says which of them does what. A process that dies loses its
leases, and nothing else: what it had claimed comes back by itself.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from infra import failpoints
from infra.background import Background
from infra.failpoints import fail_point
from infra.postgres import UNAVAILABLE, connecting, new_pool
from infra.retry import outage, retried, worth_saying
from infra.settings import Settings
from llm.adapters import Adapter, open_adapter
from llm.campaigns import Campaigner
from llm.composer import Composer, fingerprint
from llm.metrics import AgentMetrics
from llm.prices import Prices
from llm.providers import open_providers
from llm.routing import Routing
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.errors import DatabaseUnavailable, Fenced
from schemas.topics import INTENT_RESULTS, INTERACTIONS, LLM_USAGE, WORKFLOW_TRACES
from stores.cache import open_cache
from stores.reader import FanMemory
from stores.relay import Relay
from stores.segments import Segments
from stores.store import Store
from stores.workflows.answers import Answers
from stores.workflows.campaigning import Campaigning
from stores.workflows.composing import Composing
from stores.workflows.queue import LEASE_SECONDS, SEND_LEASE_SECONDS, Queue
from stores.workflows.rows import CHANNEL, Workflow, wake
from stores.workflows.sealed import Vault
from stores.workflows.sending import Sending
from stores.workflows.usage import Accounts

log = logging.getLogger(__name__)

TOLD: Final = (INTENT_RESULTS, WORKFLOW_TRACES, LLM_USAGE, INTERACTIONS)
"""What this process publishes of the outbox."""
SLOTS: Final = 64
"""Workflows that one process has under way: nearly all of them wait for a provider."""
CLAIMED_MAX: Final = 20
POLL_SECONDS: Final = 1.0
"""For what becomes due by itself, and for a word that was not heard."""
MEND_SECONDS: Final = 30.0
DRAIN_SECONDS_MAX: Final = 5.0
POOL_SIZE_MAX: Final = 12
ASLEEP_SECONDS: Final = SEND_LEASE_SECONDS / 3
"""Between the commit of `sending` and the call: a process that was asleep longer does not call."""


class Agent:
    """Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Raises `Misconfigured`: for a model without a price, above all."""
        keyring = Keyring.of(settings)
        self._settings = settings
        self._backoff = outage(settings.retry_seconds_max)
        self.pool = new_pool(settings.postgres_url, size_max=POOL_SIZE_MAX)
        self._cache = open_cache(settings, keyring)
        store = Store(self.pool, keyring, settings.journal_partitions)
        self._memory = FanMemory(self._cache, store, keyring, settings)
        vault = Vault(keyring)
        prices = Prices(settings)
        self._routing = Routing(open_providers(settings), prices, settings)
        self._adapter: Adapter = open_adapter(settings)
        self._queue = Queue(settings, self.pool)
        self._composing = Composing(settings, self.pool, vault)
        self._accounts = Accounts(settings, self.pool)
        self._sending = Sending(self.pool, vault, self._adapter.name)
        segments = Segments(
            self.pool,
            self.pool,
            store,
            settings.journal_partitions,
            settings.currency,
        )
        campaigning = Campaigning(settings, self.pool, vault)
        self._campaigner = Campaigner(settings, campaigning, segments)
        metrics = AgentMetrics(self._routing.providers)
        self._answers = Answers(self.pool, vault)
        self._composer = Composer(
            settings,
            self.pool,
            self._composing,
            self._accounts,
            self._answers,
            self._memory,
            self._routing,
            prices,
            metrics,
        )
        self.exposition = metrics.exposition(
            settings, self.pool, self._queue, self._routing.breakers, fingerprint(settings)
        )
        subjects = Subjects(keyring, settings.subject_cache_max)
        # Of its own: workflows that wait for a connection don't keep from telling what is done.
        self._telling = new_pool(settings.postgres_url, size_max=len(TOLD))
        self._relay = Relay(settings, self._telling, subjects, TOLD)
        self._running: Background[None] = Background()
        self._claimed: dict[bytes, Workflow] = {}
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._broken: BaseException | None = None

    def stop(self) -> None:
        """Claim nothing more, and end when what is under way has ended."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Work until `stop`."""
        await self.exposition.open()
        await self.pool
        await self._telling
        self._memory.start()
        beside: list[Callable[[], Awaitable[None]]] = [
            self._relay.run,
            self._listen,
            lambda: self._every(LEASE_SECONDS / 3, self._renew),
            lambda: self._every(MEND_SECONDS, self._mend),
            lambda: self._every(POLL_SECONDS, self._campaigner.work),
        ]
        tasks = [asyncio.ensure_future(one()) for one in beside]
        for task in tasks:
            task.add_done_callback(self._ended)
        log.info("the agent works", extra={"operation": "llm"})
        try:
            await self._work()
            await self._drain()
            if self._broken is not None:
                raise self._broken
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()

    def _ended(self, task: "asyncio.Future[None]") -> None:
        """What works beside ends with the agent only: without it, it is better to begin anew."""
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._broken = error
            log.error("what the agent needs has ended", extra={"reason": type(error).__name__})
            self.stop()

    async def _close(self) -> None:
        await self.exposition.close()
        await self._relay.stop()
        await self._memory.close()
        await self._routing.close()
        await self._adapter.close()
        await self._cache.close()
        self._telling.terminate()
        self.pool.terminate()

    async def _work(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            free = SLOTS - len(self._running)
            claimed = await self._claim(min(free, CLAIMED_MAX)) if free else []
            for one in claimed:
                self._claimed[one.workflow] = one
                self._running.begin(self._do(one))
            if not claimed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self._woken.wait()

    async def _claim(self, count: int) -> list[Workflow]:
        def waits(attempt: int, error: BaseException) -> None:
            if worth_saying(attempt):
                log.warning("claim: waiting for %s", type(error).__name__)

        return await retried(
            lambda: self._queue.claim(count), self._backoff, on=(DatabaseUnavailable,), told=waits
        )

    async def _drain(self) -> None:
        running = [*self._running]
        if running:
            await asyncio.wait(running, timeout=DRAIN_SECONDS_MAX)

    async def _do(self, claimed: Workflow) -> None:
        try:
            fail_point("llm.after_claim")
            await self._do_next(claimed)
        except Fenced:
            log.debug("a workflow was taken away")
        except DatabaseUnavailable:
            log.warning("a workflow waits for its lease to run out: the database is not there")
        except Exception as error:
            log.exception("a workflow failed", extra={"reason": type(error).__name__})
            await self._failed(claimed)
        finally:
            del self._claimed[claimed.workflow]
            for topic in TOLD:
                self._relay.wake(topic.name)
            self._woken.set()

    async def _do_next(self, claimed: Workflow) -> None:
        if claimed.state == "composing":
            await self._composer.compose(claimed)
        elif claimed.state == "approved":
            await self._send(claimed)
        elif claimed.state == "sending":
            log.error("a send was lost: nobody knows whether it was made")
            await self._sending.lost(claimed)
        elif claimed.state == "unknown":
            await self._sending.look(claimed)
        else:
            await self._composing.expire(claimed)

    async def _failed(self, claimed: Workflow) -> None:
        """A mistake of ours, or a row that does not open: tried again, and not for ever."""
        if claimed.state not in ("composing", "approved"):
            return
        with contextlib.suppress(Fenced, DatabaseUnavailable):
            await self._composing.failed_once(claimed)

    async def _send(self, claimed: Workflow) -> None:
        part = await self._sending.begin(claimed)
        if part is None:
            return
        began = time.monotonic()
        fail_point("send.before_call")
        await asyncio.sleep(0)
        if time.monotonic() - began > ASLEEP_SECONDS:
            await self._sending.finish(part, "unsent", "asleep")
            return
        delivery = await self._adapter.send(part)
        fail_point("send.after_call")
        # What is known must be written: a lost answer would be a person's to find out.
        await retried(
            lambda: self._sending.finish(part, delivery.outcome, delivery.reason),
            self._backoff,
            on=(DatabaseUnavailable,),
        )

    async def _listen(self) -> None:
        """Be woken by Postgres. Without it everything is found by the next look."""

        def woken(*_: Any) -> None:
            self._woken.set()

        async def hear() -> None:
            async with connecting(self._settings.postgres_url) as connection:
                await connection.add_listener(CHANNEL, woken)
                while True:
                    await wake(connection)  # a dead connection says so
                    await asyncio.sleep(MEND_SECONDS)

        await retried(hear, self._backoff, on=UNAVAILABLE)

    async def _every(self, seconds: float, do: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await do()
            except DatabaseUnavailable:
                log.debug("the database is not there: the next round does it")

    async def _renew(self) -> None:
        await self._queue.renew([one for one in self._claimed.values() if one.state == "composing"])

    async def _mend(self) -> None:
        await self._queue.mend()
        await self._answers.sweep()
        lost = await self._accounts.settle_lost()
        if lost:
            log.warning("calls whose answer nobody has got", extra={"count": lost})


async def serve(settings: Settings) -> None:
    """Run one agent until SIGTERM or SIGINT."""
    failpoints.arm(settings.fail_at)
    agent = Agent(settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    await agent.run()
