"""Migrations: numbered SQL files, each applied once, in its own transaction, in order.

Migrations run first, and processes of the former release run on beside those of the new one, so a
migration adds and takes nothing away. From 0008 on each says in its first line whom it serves:

    -- readers from: 7

A release whose newest migration is 0007 or later then starts, and starts again, on a database that
has this one; an older one is refused. A migration that takes something away names itself there: it
is for the release after the one that stopped using it.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from infra.postgres import Connection, UndefinedTableError
from infra.sql import load_queries
from schemas.errors import Misconfigured

UP = "Run `fanmemory up`, or `fanmemory migrate` against your own Postgres."
SQL = load_queries(Path(__file__).with_name("migrations.sql"))
_FORM = re.compile(r"(\d{4})_[a-z_]+\.sql")
_READERS = re.compile(r"\A-- readers from: (\d+)\n")


class Migration(NamedTuple):
    """One numbered file of SQL."""

    number: int
    name: str
    text: str
    sha256: str
    readers_from: int | None
    """The oldest code that it serves, by the newest migration that code knows; None: itself."""


def migrations(folder: Path) -> list[Migration]:
    """The migrations of a folder, in order."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FORM.fullmatch(path.name)
        if match is None:
            raise Misconfigured(f"{path.name} is not named like a migration.")
        text = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        readers = _READERS.match(text)
        readers_from = int(readers[1]) if readers else None
        found.append(Migration(int(match[1]), path.name, text, digest, readers_from))
    return found


async def check(connection: Connection, folder: Path) -> None:
    """Raise `Misconfigured` unless all these were applied, and newer ones serve this code."""
    try:
        rows = await connection.fetch(SQL.applied)
    except UndefinedTableError:
        raise Misconfigured("The database has no schema.", hint=UP) from None
    known = migrations(folder)
    _compare(rows, known)
    if not {row["number"] for row in rows} >= {migration.number for migration in known}:
        raise Misconfigured("The database schema is older than this code.", hint=UP)


async def apply(connection: Connection, folder: Path) -> list[str]:
    """Apply what is missing; returns the names. The caller holds a lock against others."""
    await connection.execute(SQL.begin)
    rows = await connection.fetch(SQL.applied)
    known = migrations(folder)
    applied = {row["number"] for row in rows}
    _compare(rows, known)
    names = []
    for migration in known:
        if migration.number in applied:
            continue
        async with connection.transaction():
            await connection.execute(migration.text)
            await connection.execute(
                SQL.remember, migration.number, migration.name, migration.sha256
            )
            if migration.readers_from is not None:
                await connection.execute(SQL.serve, migration.number, migration.readers_from)
        names.append(migration.name)
    return names


def _compare(applied: Sequence[Any], known: list[Migration]) -> None:
    digests = {migration.number: migration.sha256 for migration in known}
    newest = max(digests, default=0)
    for number, digest, readers_from in applied:
        if number in digests:
            if digests[number] != digest:
                raise Misconfigured(f"Migration {number} was edited after it was applied.")
        elif readers_from is None or newest < readers_from:
            raise Misconfigured(
                f"The database has migration {number}, which this code does not know.",
                hint="Run the newer Fan Memory.",
            )
