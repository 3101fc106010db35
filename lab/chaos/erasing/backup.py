"""An old backup comes back: who was erased since stays erased, and nothing of them is served.

1. Fans are remembered, and PostgreSQL makes a base backup (`pg_basebackup`, as an operator does).
2. Some fans are erased and some messages forgotten, over HTTP, each until it is complete.
3. PostgreSQL is killed and the backup put in its place; cache and logs stay as they are.
4. From before the processes start again, everyone who was erased, or of whom something was
   forgotten, is asked for, again and again.
5. When all is quiet the views are folded again from the log's first record, and looked at.
"""

import asyncio
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from admin.rebuild import rebuild
from admin.verify import verify
from infra.clock import now_ms
from infra.settings import Settings
from lab.chaos.backwards import restore_database
from lab.chaos.checks import Check
from lab.chaos.erasing.client import Client
from lab.chaos.erasing.traffic import Traffic
from lab.chaos.erasing.waiting import quiet, ready
from lab.chaos.fleet import Fleet
from lab.chaos.verdict import embedded
from lab.load import Event
from ops.services import EmbeddedServices, postgres
from ops.services.extra import FILE_NAME
from ops.services.ports import free_port
from ops.system import running_services
from schemas.errors import ServiceFailed
from schemas.relationship import Relationship
from schemas.times import render_time
from stores.opened import open_stores

CREATOR: Final = "erasing-backup"
EVENTS_OF_EACH: Final = 4
FORGOTTEN: Final = 1
"""Which of them is forgotten."""
BACKUP_SECONDS_MAX: Final = 60.0
KNOWN_SECONDS_MAX: Final = 120.0
POLL_SECONDS: Final = 0.02
HISTORY_MAX: Final = 100
_REPLICA: Final = "wal_level=replica\nmax_wal_senders=2\n"
"""Without it there is no base backup."""


@dataclass(frozen=True, slots=True)
class Backup:
    """How many fans, of each kind."""

    erased: int
    forgotten: int
    """Fans of whom one message is."""
    kept: int


WHOLE: Final = Backup(erased=50, forgotten=10, kept=20)


@dataclass(slots=True)
class _Watched:
    asked: int = 0
    refused: int = 0
    served: int = 0
    """Answers with somebody who was erased, or a message that was forgotten."""


async def run_backup(
    data: Path, amounts: Backup = WHOLE, on_step: Callable[[str], Any] = lambda _step: None
) -> list[Check]:
    """Run all of it on a new system below `data`. Raises `DeadlineExceeded`, `ServiceFailed`."""
    settings = embedded(
        session_seconds=4.0,
        api_port=free_port(),
        user_requests_per_minute=0,
        creator_requests_per_minute=0,
    )
    home = data / postgres.NAME
    home.mkdir(mode=0o700, parents=True)
    (home / FILE_NAME).write_text(_REPLICA)
    async with running_services(settings, data, on_step) as (complete, services, _, _):
        fleet = Fleet(complete, services.data, on_step)
        async with Client(complete) as client, Traffic(complete) as traffic:
            try:
                return await _run(complete, services, fleet, client, traffic, amounts, on_step)
            finally:
                await fleet.stop()


async def _run(
    settings: Settings,
    services: EmbeddedServices,
    fleet: Fleet,
    client: Client,
    traffic: Traffic,
    amounts: Backup,
    on_step: Callable[[str], Any],
) -> list[Check]:
    fleet.join()
    fleet.join("api")
    await ready(settings)
    fans = [(CREATOR, f"fan-{n}") for n in range(amounts.erased + amounts.forgotten + amounts.kept)]
    erased, others = fans[: amounts.erased], fans[amounts.erased :]
    forgetting = others[: amounts.forgotten]
    await traffic.send([_event(who, n) for n in range(EVENTS_OF_EACH) for who in fans])
    await quiet(settings)
    for who in fans:
        if not await client.seen(who, KNOWN_SECONDS_MAX):
            raise ServiceFailed("A fan is not remembered.")
    _, shown = await client.context_once(others[0])
    if _text(others[0], FORGOTTEN).encode() not in shown:
        raise ServiceFailed("A context does not show the messages that are looked for.")
    on_step("backing up")
    copy = services.data / "base-backup"
    await asyncio.to_thread(_back_up, settings, services, copy)
    on_step(f"erasing {len(erased)} fans, forgetting {len(forgetting)} messages")
    await asyncio.gather(*(_erase(client, who) for who in erased))
    await asyncio.gather(*(client.forget(who, _id(who, FORGOTTEN)) for who in forgetting))
    await quiet(settings)
    on_step("putting the backup back")
    await fleet.stop()
    await asyncio.to_thread(restore_database, services, copy)
    there = await _there(settings, erased)
    watched, stopping = _Watched(), asyncio.Event()
    watching = asyncio.create_task(_watch(client, erased, forgetting, watched, stopping))
    fleet.join("api")
    fleet.join()
    await ready(settings)
    await quiet(settings)
    first = await _forgotten(settings, others, forgetting)
    on_step("folding again from the first record")
    rebuilt = await rebuild(settings, processes=1)
    await quiet(settings)
    stopping.set()
    await watching
    again = await _forgotten(settings, others, forgetting)
    compared = await verify(settings, processes=1)
    return [
        Check("the backup has those who were erased since", there == len(erased), f"{there} fans"),
        Check(
            "nothing of them was served, from the first moment on",
            watched.served == 0 and watched.asked >= len(erased) + len(forgetting),
            f"{watched.served} of {watched.asked:,} answers; {watched.refused:,} refused",
        ),
        Check(
            "they stay erased, also from the first record on",
            await _there(settings, erased) == 0,
            f"{len(erased)} fans, {rebuilt.records:,} records folded again",
        ),
        Check(
            "forgotten messages stay forgotten, and all others are there",
            first == again == 0,
            f"{first} and {again} of {len(others)} fans differ",
        ),
        Check(
            "`fanmemory verify` after it",
            compared.found == 0 and compared.fans == len(others),
            f"{compared.found} differences in {compared.fans} fans",
        ),
    ]


def _event(who: Relationship, number: int) -> Event:
    wire = {
        "eventId": _id(who, number),
        "creatorId": who[0],
        "fanId": who[1],
        "type": "message",
        "content": _text(who, number),
        "timestamp": render_time(now_ms() - 1000),
    }
    return Event(who, msgspec.json.encode(wire), "fresh", "message", 0)


def _left(forgotten: bool) -> list[int]:
    """The messages of a fan."""
    return [n for n in range(EVENTS_OF_EACH) if not forgotten or n != FORGOTTEN]


def _text(who: Relationship, number: int) -> str:
    return f"Message {number} of {who[1]}."


def _id(who: Relationship, number: int) -> str:
    return f"{who[1]}-{number}"


async def _erase(client: Client, who: Relationship) -> None:
    await client.completed(who[0], await client.erase(who))


def _back_up(settings: Settings, services: EmbeddedServices, to: Path) -> None:
    url = postgres.superuser_url(settings.postgres_url, services.data / postgres.NAME)
    words = [str(postgres.binary("pg_basebackup")), "--pgdata", str(to), "--checkpoint=fast"]
    password = (services.data / postgres.NAME / "password").read_text("ascii")
    host = url.replace(f":{password}@", "@")
    done = subprocess.run(
        [*words, "--dbname", host, "--no-password"],
        env={"PGPASSWORD": password},
        capture_output=True,
        text=True,
        timeout=BACKUP_SECONDS_MAX,
        check=False,
    )
    if done.returncode:
        raise ServiceFailed(f"The base backup failed.\n{done.stderr}")


async def _there(settings: Settings, fans: list[Relationship]) -> int:
    """How many of these the database knows."""
    async with open_stores(settings) as stores:
        return sum([bool(await stores.store.history(*who, HISTORY_MAX)) for who in fans])


async def _forgotten(
    settings: Settings, fans: list[Relationship], forgetting: list[Relationship]
) -> int:
    """Of how many of these another history is held than is to be."""
    wrong = 0
    async with open_stores(settings) as stores:
        for who in fans:
            held = await stores.store.history(*who, HISTORY_MAX)
            texts = [entry.content for _, entry in held if entry.content is not None]
            wrong += texts != [_text(who, n) for n in _left(who in forgetting)]
    return wrong


async def _watch(
    client: Client,
    erased: list[Relationship],
    forgetting: list[Relationship],
    watched: _Watched,
    stopping: asyncio.Event,
) -> None:
    unwanted = dict.fromkeys(erased, b"")
    unwanted |= {who: _text(who, FORGOTTEN).encode() for who in forgetting}
    while not stopping.is_set():
        for who, text in unwanted.items():
            status, body = await client.context_once(who)
            watched.asked += status in (200, 404)
            watched.refused += status not in (200, 404)
            watched.served += status == 200 and text in body
        await asyncio.sleep(POLL_SECONDS)
