"""One run: a fresh system, events through it while the plan is carried out, and the verdict."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from admin.accounting import wait_until_folded, wait_until_told
from infra.settings import Settings
from lab.chaos.checks import Check, check_all
from lab.chaos.emitter import Emitter
from lab.chaos.fault import Stage
from lab.chaos.faults import Faults
from lab.chaos.fleet import Fleet
from lab.chaos.plan import Amounts
from lab.chaos.progress import POLL_SECONDS, Progress
from lab.chaos.reader import Reader
from lab.chaos.verdict import Verdict, embedded
from lab.load import Event, events
from ops.services.ports import free_port
from ops.supervisor import Supervisor
from ops.system import answers_ready, program, running_services
from schemas.errors import ServiceFailed
from stores.opened import open_stores

FANS: Final = 3_000
PARTITIONS: Final = 8
"""More than workers, and not the same for both topics, so that assignments differ."""
JOURNAL_PARTITIONS: Final = 6
SESSION_SECONDS: Final = 4.0
"""A killed worker's partitions stand still as long."""
LAST_RATE: Final = 20_000.0
STANDSTILL_SECONDS_MAX: Final = 90.0
CACHED_FANS: Final = 500
"""Fans read once more at the end, so that there is a cache to be compared."""
API_SECONDS_MAX: Final = 60.0


@dataclass(frozen=True, slots=True)
class EventsVerdict(Verdict):
    """Of a run whose events are what everything is held against."""

    emitted: Counter[str]
    """By their nature."""


async def run_chaos(
    data: Path,
    *,
    seed: int,
    workers: int,
    amounts: Amounts,
    on_step: Callable[[str], Any] = lambda _step: None,
) -> EventsVerdict:
    """Run the suite on a new system below `data`, which must be empty.

    Raises `DeadlineExceeded` when events stop moving for good, and `ServiceFailed`.
    """
    started = time.monotonic()
    settings = embedded(
        interactions_partitions=PARTITIONS,
        journal_partitions=JOURNAL_PARTITIONS,
        session_seconds=SESSION_SECONDS,
        api_port=free_port(),
        # One user reads as fast as the API answers.
        user_requests_per_minute=0,
        creator_requests_per_minute=0,
    )
    emitted = list(events(seed, amounts.events, FANS))
    async with (
        running_services(settings, data, on_step) as (complete, services, _, _),
        open_stores(complete, connections_max=3) as stores,
    ):
        store = stores.store
        emitter = Emitter(complete, tuple(emitted))
        progress = Progress(store, PARTITIONS + JOURNAL_PARTITIONS)

        def tell(step: str) -> None:
            on_step(f"{emitter.sent:7,} sent {progress.folded:7,} in the views  {step}")

        fleet = Fleet(complete, services.data, tell)
        reader = Reader(complete, (event.relationship for event in emitted), seed)
        rng = random.Random(seed)
        stage = Stage(
            complete, amounts, services, store, fleet, emitter, reader, progress, rng, tell
        )
        faults = Faults(stage, seed)
        supervisor = Supervisor()
        await emitter.start()
        try:
            supervisor.add(program("api", "api", services.data, complete))
            for _ in range(workers):
                fleet.join()
            await _wait_for_api(complete)
            await _with_flow(emitter, reader, progress, faults)
            tell("all is emitted; draining")
            emitted += emitter.slipped
            account = await wait_until_folded(store, complete, len(emitted), STANDSTILL_SECONDS_MAX)
            await wait_until_told(store, STANDSTILL_SECONDS_MAX)
            await reader.read_each(CACHED_FANS)
            tell("all is in the views; checking")
            checks = await check_all(
                complete,
                emitter,
                reader,
                emitted,
                account,
                stage.excused.untold,
                stage.excused.went_back,
            )
        finally:
            await reader.close()
            await emitter.stop()
            await asyncio.gather(fleet.stop(), supervisor.stop())
    done = faults.done
    return EventsVerdict(
        seed,
        time.monotonic() - started,
        done,
        fleet.deaths,
        [*checks, *check_faults(done, amounts, faults.points_missed)],
        _natures(emitted),
    )


async def _with_flow(emitter: Emitter, reader: Reader, progress: Progress, faults: Faults) -> None:
    """Emit, read and watch while the plan is carried out, then emit what is left."""
    async with asyncio.TaskGroup() as group:
        watching = [
            group.create_task(progress.run()),
            group.create_task(reader.run()),
            group.create_task(reader.watch(progress.interactions)),
        ]
        emitting = group.create_task(emitter.run())
        await faults.run()
        emitter.rate = LAST_RATE
        await emitting
        for task in watching:
            task.cancel()


async def _wait_for_api(settings: Settings) -> None:
    deadline = time.monotonic() + API_SECONDS_MAX
    while not await answers_ready(settings.api_host, settings.api_port):
        if time.monotonic() > deadline:
            raise ServiceFailed("The API is not ready.")
        await asyncio.sleep(POLL_SECONDS)


def check_faults(done: Counter[str], amounts: Amounts, points_missed: list[str]) -> list[Check]:
    """A run that has not injected what it promised proves nothing."""
    least = {
        "worker kills": amounts.worker_kills,
        "crashes": len(amounts.crash_points),
        "pauses": amounts.pauses,
        "fences seen": amounts.fences,
        "joins": amounts.joins,
        "leaves": amounts.leaves,
        **amounts.services,
    }
    return [
        Check(
            f"injected and seen: {name}", done[name] >= wanted, f"{done[name]} (at least {wanted})"
        )
        for name, wanted in least.items()
    ] + [Check(f"crash point {point} fired", False, "it did not") for point in points_missed]


def _natures(emitted: list[Event]) -> Counter[str]:
    return Counter(event.nature for event in emitted)
