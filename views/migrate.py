"""Migrations: numbered SQL, each applied once, in its own transaction, under one lock.

The first start also makes generation 1 of the views. A start with views of another version than
the live generation's is refused: changing a fold is a rebuild, never an edit in place.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, Final

import asyncpg

from schemas.errors import Misconfigured
from schemas.sql import load_queries
from views.postgres import schema_name, translated
from views.state import VIEW_VERSION

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_GENERATION_SQL: Final = Path(__file__).parent / "sql" / "generation.sql"
_FORM = re.compile(r"(\d{4})_[a-z_]+\.sql")
_LOCK: Final = 0x66616E6D656D  # "fanmem": one migration at a time in a database


async def migrate(url: str, *, for_rebuild: bool = False) -> list[str]:
    """Bring a database up to date; returns the names of the migrations that it applied.

    Raises `Misconfigured` when an applied migration was edited afterwards, when the database is
    newer than this code, or when the live views have another version, unless it is `for_rebuild`,
    which is about to replace them; `DatabaseUnavailable`.
    """
    async with translated():
        connection = await asyncpg.connect(url, timeout=10, command_timeout=300)
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
            applied = await _apply(connection)
            if not for_rebuild:
                await _ensure_generation(connection)
        finally:
            await connection.close()
    return applied


async def check(connection: Any) -> None:
    """Raise `Misconfigured` unless the database is what this code expects."""
    try:
        rows = await connection.fetch("SELECT number, sha256 FROM migration")
    except asyncpg.UndefinedTableError:
        raise Misconfigured("The database has no schema.", hint=_UP) from None
    known = {number: digest for number, _, _, digest in _files()}
    _compare({row["number"]: row["sha256"] for row in rows}, known)
    if len(rows) < len(known):
        raise Misconfigured("The database schema is older than this code.", hint=_UP)
    live = await connection.fetchval("SELECT view_version FROM generation WHERE status = 'live'")
    _check_version(live)


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


_UP: Final = "Run `fanmemory up`, or `fanmemory migrate` against your own Postgres."


def _files() -> list[tuple[int, str, str, str]]:
    found = []
    for path in sorted(MIGRATIONS.glob("*.sql")):
        match = _FORM.fullmatch(path.name)
        if match is None:
            raise Misconfigured(f"{path.name} is not named like a migration.")
        text = path.read_text(encoding="utf-8")
        found.append((int(match[1]), path.name, text, hashlib.sha256(text.encode()).hexdigest()))
    return found


def _compare(applied: dict[int, str], known: dict[int, str]) -> None:
    for number, digest in applied.items():
        if number not in known:
            raise Misconfigured(
                f"The database has migration {number}, which this code does not know.",
                hint="Run the newer Fan Memory.",
            )
        if known[number] != digest:
            raise Misconfigured(f"Migration {number} was edited after it was applied.")


async def _apply(connection: Any) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY, name text NOT NULL,"
        " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch("SELECT number, sha256 FROM migration")
    files = _files()
    applied = {row["number"]: row["sha256"] for row in rows}
    _compare(applied, {number: digest for number, _, _, digest in files})
    names = []
    for number, name, text, digest in files:
        if number in applied:
            continue
        async with connection.transaction():
            await connection.execute(text)
            await connection.execute(
                "INSERT INTO migration (number, name, sha256) VALUES ($1, $2, $3)",
                number,
                name,
                digest,
            )
        names.append(name)
    return names


async def _ensure_generation(connection: Any) -> None:
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
    statements = load_queries(_GENERATION_SQL, generation=schema_name(generation))
    await connection.execute(statements.create)


def _check_version(live: str | None) -> None:
    if live != VIEW_VERSION:
        raise Misconfigured(
            f"The live views are {live}, this code folds {VIEW_VERSION}.",
            hint="Run `fanmemory rebuild`: it builds the new views beside the live ones.",
        )
