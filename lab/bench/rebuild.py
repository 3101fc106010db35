"""How fast the journal is folded again, and what bounds it.

A system of its own: workers ingest and project `count` synthetic events, then stop; what is
measured is `rebuild` on the journal that they left, with every part on this machine. CPU per event
is split by part, because wall time on a shared machine says little. `alone` is one partition in one
process without Postgres writes, split into reading and folding: the bulk loop itself.
"""

import gc
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from admin.accounting import wait_until_folded
from admin.emit import emit
from admin.journal import open_journal
from admin.parallel import GC_THRESHOLD, cores
from admin.rebuild import rebuild
from admin.refold import Refold
from admin.verify import verify
from infra.postgres import connecting
from infra.settings import Settings
from lab.bench.cpu import CpuMeter
from lab.load import Mix, events
from ops.supervisor import Supervisor
from ops.system import program, running_services
from privacy.keys import Keyring
from privacy.subjects import Subjects
from stores.opened import open_stores
from stores.refolding import UNLIMITED

FANS: Final = 20_000
STANDSTILL_SECONDS_MAX: Final = 120.0


async def measure(count: int, rounds: int) -> dict[str, Any]:
    """All figures; the best of `rounds` rebuilds, whose results are verified at the end."""
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(Settings(), Path(folder)) as (settings, services, _, _):
            loading = time.perf_counter()
            applied = await _load(settings, Path(folder), count)
            loading = time.perf_counter() - loading
            alone = await _alone(settings)
            pids = {name: pid for name, pid in services.pids().items() if pid}
            best: dict[str, Any] = {}
            for _ in range(rounds):
                found = await _rebuild(settings, pids)
                if not best or found["eventsPerSecond"] > best["eventsPerSecond"]:
                    best = found
            report = await verify(settings)
            return {
                "events": applied,
                "cores": cores(),
                "loadSeconds": round(loading, 1),
                "rebuild": best,
                "alone": alone,
                "verifySeconds": report.seconds,
                "differences": report.found,
            }


async def _load(settings: Settings, data: Path, count: int) -> int:
    """Let workers fold `count` events; returns how many journal records there are."""
    supervisor = Supervisor()
    async with open_stores(settings) as stores:
        try:
            for number in range(1, cores() + 1):
                supervisor.add(program(f"worker-{number}", "worker", data, settings))
            store = stores.store
            lines = (event.value for event in events(1, count, FANS, Mix(bad=0.0)) if event.value)
            emitted = await emit(settings, lines)
            account = await wait_until_folded(store, settings, emitted.sent, STANDSTILL_SECONDS_MAX)
            return account.accepted
        finally:
            await supervisor.stop()


async def _rebuild(settings: Settings, pids: dict[str, int]) -> dict[str, Any]:
    meter = CpuMeter({**pids, "application": os.getpid()})
    done = await rebuild(settings)
    cpu = meter.seconds()
    # The services are this process's children: what is left of its tree is the rebuild itself.
    cpu["application"] = max(0.0, cpu["application"] - sum(cpu[name] for name in pids))
    total = sum(cpu.values())
    return {
        "records": done.records,
        "fans": done.fans,
        "seconds": done.seconds,
        "bulkSeconds": done.bulk_seconds,
        "switchMs": round(done.switch_seconds * 1000, 1),
        "eventsPerSecond": round(done.records / done.bulk_seconds, 1),
        "cpuMicrosPerEvent": {
            name: round(used / done.records * 1e6, 2) for name, used in sorted(cpu.items())
        },
        "cpuMicrosPerEventTotal": round(total / done.records * 1e6, 2),
        "cpuShare": round(total / (done.seconds * cores()), 3),
        "eventsPerSecondOfAllCores": round(done.records / total * cores(), 1),
    }


async def _alone(settings: Settings) -> dict[str, Any]:
    """CPU per event of partition 0, read and folded in this process."""
    before = gc.get_threshold()
    gc.set_threshold(GC_THRESHOLD)
    async with connecting(settings.postgres_url) as connection:
        with tempfile.TemporaryDirectory() as folder:
            async with open_journal(settings) as journal:
                bounds = (await journal.bounds())[0]
                refold = Refold(0, Path(folder), UNLIMITED)
                clock = time.process_time
                started = clock()
                await refold.read(journal, 0, bounds.end, lambda _count: None)
                read = clock()
            subjects = Subjects(Keyring.of(settings), 1 << 30)
            async for _bucket in refold.buckets(subjects, connection):
                pass
            folded = clock()
    gc.set_threshold(*before)
    return {
        "records": refold.records,
        "readMicrosPerEvent": round((read - started) / refold.records * 1e6, 2),
        "foldMicrosPerEvent": round((folded - read) / refold.records * 1e6, 2),
    }
