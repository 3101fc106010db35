"""How much memory a worker takes with a large backlog, and with a slow Postgres besides.

Events are published before any worker runs. Then one worker at a time works on them, its resident
set sampled all the while: first with Postgres as it is, then through a proxy that makes every
answer of Postgres `slow` times as late. Bounded means: the peak depends on neither the backlog's
size nor on how slowly it goes down.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
import psutil

from admin.accounting import Account, account
from infra.kafka import partition_of, relationship_key
from infra.producer import BatchProducer, Keyed
from infra.settings import Settings
from lab.bench.proxy import slowed
from lab.load import Event, Mix, events
from ops.supervisor import Restart, Supervisor
from ops.system import program, running_services
from schemas.errors import ServiceFailed
from schemas.topics import INTERACTIONS
from stores.opened import open_stores
from stores.store import Store

FANS: Final = 20_000
TEMPLATES: Final = 50_000
"""Events made once and published again and again: without an id each copy is an event."""
SAMPLE_SECONDS: Final = 0.25
START_SECONDS_MAX: Final = 120.0
MEBIBYTE: Final = 1 << 20
QUARTERS: Final = range(4)


async def measure(count: int, seconds: float, slow: float) -> dict[str, Any]:
    """Peak resident sets, in MiB, with `count` events waiting; `seconds` for each part."""
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(Settings(), Path(folder)) as (settings, services, _, _):
            started = time.perf_counter()
            published = await _publish(settings, count)
            filled = time.perf_counter() - started
            async with open_stores(settings) as stores:
                store = stores.store
                plain = await _watch(settings, services.data, store, published, seconds)
                url = urlsplit(settings.postgres_url)
                async with slowed(url.hostname or "", url.port or 0, slow) as port:
                    through = settings.model_copy(
                        update={"postgres_url": _with_port(settings.postgres_url, port)}
                    )
                    slowly = await _watch(through, services.data, store, published, seconds)
    return {
        "events": published,
        "publishSeconds": round(filled, 1),
        "slow": slow,
        "plain": plain,
        "slowed": slowly,
    }


async def _publish(settings: Settings, count: int) -> int:
    """Fill `interactions` with whole batches; returns how many events there are."""
    partitions = settings.interactions_partitions
    templates: dict[int, list[Keyed]] = {}
    for event in events(1, min(TEMPLATES, count), FANS, Mix(0, 0, 0)):
        key, value = _anonymous(event)
        partition = partition_of(key, partitions)
        templates.setdefault(partition, []).append((key, value))
    size = sum(map(len, templates.values()))
    producer = BatchProducer(settings, "fanmemory-bench")
    published = 0
    try:
        while published < count:
            await producer.send(INTERACTIONS.name, templates)
            published += size
    finally:
        await producer.stop()
    return published


def _anonymous(event: Event) -> tuple[bytes, bytes]:
    """Key and value of an event without its id."""
    wire = msgspec.json.decode(event.value or b"{}")
    del wire["eventId"]
    return relationship_key(*event.relationship), msgspec.json.encode(wire)


async def _watch(
    settings: Settings, data: Path, store: Store, published: int, seconds: float
) -> dict[str, Any]:
    """One worker for `seconds`, or until nothing waits any more."""
    before = await account(store)
    restarts: list[Restart] = []
    supervisor = Supervisor(on_restart=restarts.append)
    supervisor.add(program("worker", "worker", data, settings))
    try:
        await _begun(store, before)
        started = time.monotonic()
        sizes: list[int] = []
        last = before
        while time.monotonic() - started < seconds and last.folded + last.dead_letters < published:
            await asyncio.sleep(SAMPLE_SECONDS)
            sizes.append(_resident(supervisor))
            last = await account(store)
        took = time.monotonic() - started
    finally:
        await supervisor.stop()
    folded = last.folded - before.folded
    return {
        "peakMiB": _peak(sizes),
        # Peaks of the four quarters of the time: they grow only while caches fill.
        "quartersMiB": [
            _peak(sizes[len(sizes) * q // 4 : len(sizes) * (q + 1) // 4]) for q in QUARTERS
        ],
        "seconds": round(took, 1),
        "eventsFolded": folded,
        "eventsPerSecond": round(folded / took, 1),
        "eventsWaiting": published - last.folded - last.dead_letters,
        "restarts": [restart.reason for restart in restarts],
    }


def _peak(sizes: list[int]) -> float:
    return round(max(sizes, default=0) / MEBIBYTE, 1)


async def _begun(store: Store, before: Account) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while (await account(store)).folded == before.folded:
        if time.monotonic() > deadline:
            raise ServiceFailed("The worker does not begin.")
        await asyncio.sleep(SAMPLE_SECONDS)


def _resident(supervisor: Supervisor) -> int:
    """Bytes of the worker of the moment."""
    total = 0
    for pid in supervisor.pids().values():
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _with_port(url: str, port: int) -> str:
    parts = urlsplit(url)
    credentials, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))
