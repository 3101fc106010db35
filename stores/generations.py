"""Generations: complete builds of all views, one of them live. Each has a schema of its own."""

from pathlib import Path
from typing import Any, Final

from infra.sql import load_queries
from schemas.errors import Misconfigured
from views.state import VIEW_VERSION

INTAKE_GENERATION: Final = 0
"""The generation of ingest's own positions: it serves every build of the views."""
_SQL: Final = Path(__file__).parent / "sql" / "generation.sql"


def schema_name(generation: int) -> str:
    return f"g{generation}"


async def ensure_live(connection: Any) -> None:
    """Make generation 1 where there is none; raise `Misconfigured` when another version is live."""
    live = await connection.fetchval("SELECT view_version FROM generation WHERE status = 'live'")
    if live is not None:
        _check_version(live)
        return
    async with connection.transaction():
        await create_generation(connection, 1, "live")


async def create_generation(connection: Any, generation: int, status: str) -> None:
    """Make the tables of a generation, within the caller's transaction."""
    await connection.execute(
        "INSERT INTO generation (generation, view_version, status, live_at)"
        " VALUES ($1, $2, $3, CASE WHEN $3 = 'live' THEN now() END)",
        generation,
        VIEW_VERSION,
        status,
    )
    statements = load_queries(_SQL, generation=schema_name(generation))
    await connection.execute(statements.create)


async def check_version(connection: Any) -> None:
    """Raise `Misconfigured` unless the live views are what this code folds."""
    _check_version(
        await connection.fetchval("SELECT view_version FROM generation WHERE status = 'live'")
    )


async def check_partitions(connection: Any, partitions: int) -> None:
    """Remember the journal's partition count; raise `Misconfigured` when it was another before."""
    await connection.execute(
        "UPDATE generation SET journal_partitions = $1 WHERE journal_partitions IS NULL", partitions
    )
    known = await connection.fetchval(
        "SELECT journal_partitions FROM generation WHERE status = 'live'"
    )
    if known is not None and known != partitions:
        raise Misconfigured(
            f"The views were folded from a journal of {known} partitions; now it has {partitions}.",
            hint="A live topic keeps its partition count: a fan's newer records would go to another"
            " partition than the older ones, and their order be lost. Restore the topic with"
            f" {known} partitions, or build a new system with new topics and replay into it.",
        )


def _check_version(live: str | None) -> None:
    if live != VIEW_VERSION:
        raise Misconfigured(
            f"The live views are {live}, this code folds {VIEW_VERSION}.",
            hint="Run `fanmemory rebuild`: it builds the new views beside the live ones.",
        )
