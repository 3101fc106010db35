"""One erasing run: a fresh system, rounds and faults, then the checks."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from admin.accounting import account
from infra.clock import now_ms
from infra.settings import Settings
from lab.chaos.checks import Check
from lab.chaos.erasing import past
from lab.chaos.erasing.checks import check_all, check_receipt, check_scans
from lab.chaos.erasing.client import Client
from lab.chaos.erasing.plan import Amounts
from lab.chaos.erasing.rounds import Rounds
from lab.chaos.erasing.scan import Found, scan, scan_log, together
from lab.chaos.erasing.sentinels import Planted, plant
from lab.chaos.erasing.traffic import Traffic
from lab.chaos.erasing.waiting import quiet, ready
from lab.chaos.fleet import Fleet
from lab.chaos.verdict import Verdict, embedded
from lab.load import events
from llm.agent import TOLD
from ops.services import EmbeddedServices
from ops.services.ports import free_port
from ops.system import running_services
from privacy.subjects import Subjects
from schemas.errors import ServiceFailed
from stores import receipts
from stores.opened import open_stores
from stores.relay import Relay

PARTITIONS: Final = 6
JOURNAL_PARTITIONS: Final = 4
WORKERS: Final = 2
EVENTS_MAX: Final = 1_000_000
"""Of bystanders: more than flow in any run."""


async def run_erasing(
    data: Path,
    *,
    seed: int,
    amounts: Amounts,
    on_step: Callable[[str], Any] = lambda _step: None,
) -> Verdict:
    """Run all of it on a new system below `data`, which must be empty.

    Raises `DeadlineExceeded` when something does not end, and `ServiceFailed`.
    """
    started = time.monotonic()
    settings = embedded(
        interactions_partitions=PARTITIONS,
        journal_partitions=JOURNAL_PARTITIONS,
        session_seconds=amounts.session_seconds,
        api_port=free_port(),
        user_requests_per_minute=0,
        creator_requests_per_minute=0,
        reply_quiet_seconds=0.0,  # what is asked for is composed at once
    )
    past.prepare(data)
    async with running_services(settings, data, on_step) as (complete, services, _, _):
        fleet = Fleet(complete, services.data, on_step)
        async with Client(complete) as client, Traffic(complete) as traffic, _telling(complete):
            rounds = Rounds(amounts, seed, services, fleet, client, traffic, on_step)
            try:
                for _ in range(WORKERS):
                    fleet.join()
                api = fleet.join("api")
                planted = await plant(complete, client, traffic)
                logged = await asyncio.to_thread(scan_log, services.data, planted)
                flowing = asyncio.create_task(
                    traffic.flow(
                        events(seed, EVENTS_MAX, amounts.bystanders), amounts.events_per_second
                    )
                )
                try:
                    await rounds.run(api)
                finally:
                    flowing.cancel()
                    await asyncio.gather(flowing, return_exceptions=True)
                on_step(f"{rounds.begun} rounds are done; draining")
                await ready(complete)
                await quiet(complete)
                on_step("all is quiet; checking")
                async with open_stores(complete) as stores:
                    counted = await account(stores.store)
                checks = await check_all(complete, traffic.sent, rounds, amounts, client, counted)
                on_step("looking for what was said of one fan")
                checks += await _scanned(complete, services, client, planted, logged)
            finally:
                await fleet.stop()
    return Verdict(seed, time.monotonic() - started, rounds.done, fleet.deaths, checks)


@asynccontextmanager
async def _telling(settings: Settings) -> AsyncIterator[None]:
    """Publish what the agent would: none runs, so that a draft of ours stays as it is."""
    async with open_stores(settings, connections_max=len(TOLD)) as stores:
        relay = Relay(settings, stores.pool, Subjects(stores.keyring, 10), TOLD)
        running = asyncio.create_task(relay.run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await relay.stop()


async def _scanned(
    settings: Settings,
    services: EmbeddedServices,
    client: Client,
    planted: Planted,
    logged: Found,
) -> list[Check]:
    """Everything is found, the fan is erased, nothing is found, and the receipt says so."""
    await client.seen(planted.who)
    await past.written_out(settings, services)
    before = together(logged, await scan(settings, services.data, planted))
    erasure = await client.erase(planted.who)
    await client.completed(planted.who[0], erasure)
    await quiet(settings)
    await past.move_past(settings, services)
    after = await scan(settings, services.data, planted)
    async with open_stores(settings) as stores:
        found = await receipts.made_of(
            stores.pool, stores.cache, uuid.UUID(erasure).bytes, now_ms(), "key"
        )
    if found is None:
        raise ServiceFailed("There is no receipt of a completed erasure.")
    return [*check_scans(planted, before, after), check_receipt(found[1])]
