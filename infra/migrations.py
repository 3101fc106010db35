"""Migrations: numbered SQL files, each applied once, in its own transaction, in order."""

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg

from schemas.errors import Misconfigured

UP = "Run `fanmemory up`, or `fanmemory migrate` against your own Postgres."
_FORM = re.compile(r"(\d{4})_[a-z_]+\.sql")


class Migration(NamedTuple):
    """One numbered file of SQL."""

    number: int
    name: str
    text: str
    sha256: str


def migrations(folder: Path) -> list[Migration]:
    """The migrations of a folder, in order."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FORM.fullmatch(path.name)
        if match is None:
            raise Misconfigured(f"{path.name} is not named like a migration.")
        text = path.read_text(encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        found.append(Migration(int(match[1]), path.name, text, digest))
    return found


async def check(connection: Any, folder: Path) -> None:
    """Raise `Misconfigured` unless exactly these migrations were applied."""
    try:
        rows = await connection.fetch("SELECT number, sha256 FROM migration")
    except asyncpg.UndefinedTableError:
        raise Misconfigured("The database has no schema.", hint=UP) from None
    known = migrations(folder)
    _compare({row["number"]: row["sha256"] for row in rows}, known)
    if len(rows) < len(known):
        raise Misconfigured("The database schema is older than this code.", hint=UP)


async def apply(connection: Any, folder: Path) -> list[str]:
    """Apply what is missing; returns the names. The caller holds a lock against others."""
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS migration (number integer PRIMARY KEY, name text NOT NULL,"
        " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    rows = await connection.fetch("SELECT number, sha256 FROM migration")
    known = migrations(folder)
    applied = {row["number"]: row["sha256"] for row in rows}
    _compare(applied, known)
    names = []
    for migration in known:
        if migration.number in applied:
            continue
        async with connection.transaction():
            await connection.execute(migration.text)
            await connection.execute(
                "INSERT INTO migration (number, name, sha256) VALUES ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.sha256,
            )
        names.append(migration.name)
    return names


def _compare(applied: dict[int, str], known: list[Migration]) -> None:
    digests = {migration.number: migration.sha256 for migration in known}
    for number, digest in applied.items():
        if number not in digests:
            raise Misconfigured(
                f"The database has migration {number}, which this code does not know.",
                hint="Run the newer Fan Memory.",
            )
        if digests[number] != digest:
            raise Misconfigured(f"Migration {number} was edited after it was applied.")
