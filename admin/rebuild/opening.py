"""The build to continue, or a new one, locked against another rebuild."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from admin.journal import Bounds, check_whole, open_journal
from admin.ledger import catch_up
from infra.postgres import Connection, connecting, database_errors, url_of
from infra.settings import Settings
from infra.sql import load_queries
from schemas.errors import Misconfigured
from schemas.topics import JOURNAL
from stores import generations, log_breaks, positions
from stores.migrate import migrate
from stores.positions import Row
from views.state import VIEW_VERSION

_QUERIES: Final = load_queries(Path(__file__).with_name("rebuild.sql"))
_LOCK: Final = 0x66616E7265  # "fanre": one rebuild at a time in a database


@dataclass(frozen=True, slots=True)
class Build:
    """A generation that is being built beside the live one."""

    connection: Connection
    settings: Settings
    live: int
    generation: int
    bounds: Mapping[int, Bounds]


@asynccontextmanager
async def opened(settings: Settings, fresh: bool) -> AsyncIterator[Build]:
    """The build to continue, or a new one, locked against another rebuild."""
    async with database_errors():
        await migrate(url_of(settings, "owner"))
    await catch_up(settings)
    async with open_journal(settings) as journal:
        bounds = await journal.bounds()
    generations.require_partitions(len(bounds), settings.journal_partitions)
    async with connecting(url_of(settings, "owner"), command_timeout=600) as connection:
        async with database_errors():
            check_whole(bounds, await log_breaks.accepted(connection, JOURNAL.name))
            await lock(connection)
            live, generation = await _choose(connection, fresh)
            await generations.remember_partitions(connection, len(bounds))
            await positions.begin(connection, generation, JOURNAL.name, list(bounds))
        yield Build(connection, settings, live, generation, bounds)


async def _choose(connection: Connection, fresh: bool) -> tuple[int, int]:
    """(live generation, the one to build): an unfinished build of these views is continued."""
    live = generations.require_live(await generations.live(connection)).number
    known = await generations.all_generations(connection)
    for each in known:
        if each.status != "building":
            continue
        if each.view_version == VIEW_VERSION and not fresh:
            return live, each.number
        async with connection.transaction():
            await drop(connection, each.number)
    next = known[-1].number + 1
    async with connection.transaction():
        await generations.create(connection, next, "building")
    return live, next


async def lock(connection: Connection) -> None:
    """Raises `Misconfigured` while another rebuild has it."""
    if not await connection.fetchval(_QUERIES.lock, _LOCK):
        raise Misconfigured("Another rebuild is running.", hint="Wait for it, or stop it first.")


async def drop(connection: Connection, generation: int) -> None:
    """Its tables, and its position rows."""
    await positions.drop(connection, generation)
    await generations.drop(connection, generation)


async def position_rows(
    build: Build, *, locked: bool = False
) -> tuple[dict[int, Row], dict[int, Row]]:
    """The position rows of the live generation, and of the one that is built."""
    connection = build.connection
    live = await positions.rows(connection, build.live, JOURNAL.name, locked=locked)
    done = await positions.rows(connection, build.generation, JOURNAL.name, locked=locked)
    return live, done


def unfolded(live: Mapping[int, Row], done: Mapping[int, Row]) -> dict[int, tuple[int, int]]:
    """What is left to fold: partition -> (from, up to)."""
    return {
        partition: (one.next, max(one.next, live[partition].next if partition in live else 0))
        for partition, one in done.items()
    }
