"""Generations: complete builds of all views, one of them live. Each has a schema of its own.

The one owner of the `generation` table: which generation is live, which one this code may read,
how the next is made, put in the live one's place, and how a former one is dropped.
"""

from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from infra.postgres import Connection, Executor, Record
from infra.sql import Queries, load_queries
from schemas.errors import Misconfigured, OtherViews
from stores import roles, wall
from views.state import VIEW_VERSION

INTAKE_GENERATION: Final = 0
"""The generation of ingest's own positions: it serves every build of the views."""
FIRST_GENERATION: Final = 1
_SQL: Final = Path(__file__).parent / "sql" / "generations.sql"

Status = Literal["building", "live", "former"]


class Generation(NamedTuple):
    """One row of the table."""

    number: int
    view_version: str
    status: Status
    journal_partitions: int | None
    """What its views were folded from; None before the journal was first seen."""


def schema_name(generation: int) -> str:
    return f"g{generation}"


@cache
def _queries(generation: int = INTAKE_GENERATION) -> Queries:
    return load_queries(_SQL, generation=schema_name(generation))


async def live(connection: Executor) -> Generation | None:
    """The live generation; None in a database that has none yet."""
    return _generation(await connection.fetchrow(_queries().live))


async def lock_live(connection: Connection, *, for_switch: bool = False) -> Generation | None:
    """The same, locked until the caller's transaction ends.

    A claim shares the lock with other claims; a switch has it alone. So a claim never takes a
    generation that a switch has just made a former one: two writers would fold the same records,
    each into views of its own, but into one history.
    """
    queries = _queries()
    query = queries.lock_live_for_switch if for_switch else queries.lock_live
    return _generation(await connection.fetchrow(query))


async def readable(connection: Executor, view_version: str) -> Generation:
    """The generation that code of this version can read; raises `Misconfigured` when there is none.

    Its status is not `live` when code of another view version has gone live beside us: then it is
    the former generation, as the switch left it.
    """
    found = _generation(await connection.fetchrow(_queries().readable, view_version))
    if found is None:
        raise Misconfigured(
            f"There are no views of the version that this code reads ({view_version}).",
            hint="Run `fanmemory rebuild`: it builds them beside the live ones.",
        )
    return found


async def all_generations(connection: Connection) -> list[Generation]:
    """Every generation, the oldest first."""
    return [Generation(*row) for row in await connection.fetch(_queries().all)]


async def ensure_live(connection: Connection) -> None:
    """Make the first generation where there is none."""
    if await live(connection) is None:
        async with connection.transaction():
            await create(connection, FIRST_GENERATION, "live")


async def create(connection: Connection, generation: int, status: Status) -> None:
    """Make a generation's row and tables, as their owner, within the caller's transaction."""
    queries = _queries(generation)
    await connection.execute(queries.create, generation, VIEW_VERSION, status)
    await connection.execute(queries.create_tables)
    await roles.grant(connection)
    await wall.build(connection)


async def switch(connection: Connection, former: int, next: int) -> None:
    """Put `next` in the place of `former`, within the caller's transaction.

    The caller holds `lock_live(for_switch=True)` and the position rows of both.
    """
    queries = _queries()
    await connection.execute(queries.retire, former)
    await connection.execute(queries.promote, next)


async def drop(connection: Connection, generation: int) -> None:
    """Drop a generation's tables and row, within the caller's transaction; never the live one's.

    Its positions are `stores.positions.drop`'s.
    """
    queries = _queries(generation)
    await connection.execute(queries.drop_tables)
    await connection.execute(queries.drop, generation)


def require_live(found: Generation | None) -> Generation:
    """The live generation; raises `Misconfigured` when there is none."""
    if found is None:
        raise Misconfigured("No generation of the views is live.", hint="Run `fanmemory up`.")
    return found


def require_version(found: Generation | None) -> Generation:
    """The live generation; raises `Misconfigured` unless its views are what this code folds."""
    found = require_live(found)
    if found.view_version != VIEW_VERSION:
        raise OtherViews(
            f"The live views are {found.view_version}, this code folds {VIEW_VERSION}."
        )
    return found


def require_partitions(found: int, wanted: int) -> None:
    """Raise `Misconfigured` unless the journal has as many partitions as the settings say."""
    if found != wanted:
        raise Misconfigured(
            f"The journal has {found} partitions, the settings say {wanted}.",
            hint="A live topic keeps its partition count: a fan's newer records would go to another"
            " partition than the older ones, and their order be lost. If the topic is right, set"
            f" FANMEMORY_JOURNAL_PARTITIONS={found}; if not, restore it.",
        )


async def remember_partitions(connection: Connection, partitions: int) -> None:
    """Note the journal's partition count where none is known; raise `Misconfigured` when the live
    views were folded from another."""
    await connection.execute(_queries().remember_partitions, partitions)
    found = await live(connection)
    known = None if found is None else found.journal_partitions
    if known is not None and known != partitions:
        raise Misconfigured(
            f"The views were folded from a journal of {known} partitions; now it has {partitions}.",
            hint="A live topic keeps its partition count: a fan's newer records would go to another"
            " partition than the older ones, and their order be lost. Restore the topic with"
            f" {known} partitions, or build a new system with new topics and replay into it.",
        )


def _generation(row: Record | None) -> Generation | None:
    return None if row is None else Generation(*row)
