"""Migrations end at exactly the documented schema, once, whoever runs them and however often."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from ops.services import Endpoints
from schemas.errors import Misconfigured, OtherViews
from stores import migrate as module
from stores.migrate import check, migrate
from tests import services as helpers
from views.state import VIEW_VERSION

SCHEMA = Path(module.__file__).parent / "schema.sql"

CATALOG = """
SELECT 'column' AS what, format('%s.%s.%s', n.nspname, c.relname, a.attname) AS name,
    concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attstorage,
        a.attstattarget, pg_get_expr(d.adbin, d.adrelid)) AS definition
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND c.relkind IN ('r', 'v', 'p', 'm')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT 'relation', format('%s.%s', n.nspname, c.relname),
    concat_ws(' ', c.relkind, c.reloptions::text,
    CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END,
    CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
UNION ALL
SELECT 'constraint', format('%s.%s', conrelid::regclass, conname), pg_get_constraintdef(oid)
FROM pg_constraint WHERE conrelid <> 0
  AND connamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
UNION ALL
SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT 'trigger', format('%s.%s', tgrelid::regclass, tgname), pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal
ORDER BY 1, 2
"""


async def catalog(url: str) -> dict[tuple[str, str], str]:
    """Everything that a database's schema consists of, in Postgres' own words."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(CATALOG)
        return {(row["what"], row["name"]): row["definition"] for row in rows}
    finally:
        await connection.close()


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def empty_url(services: Endpoints) -> AsyncIterator[str]:
    """A database without anything."""
    name = f"empty_{secrets.token_hex(6)}"
    await execute(helpers.owner_url(services), f'CREATE DATABASE "{name}"')
    yield urlunsplit(urlsplit(helpers.owner_url(services))._replace(path=f"/{name}"))
    await execute(helpers.owner_url(services), f'DROP DATABASE "{name}" WITH (FORCE)')


async def test_migrations_end_at_exactly_the_documented_schema(
    postgres_url: str, empty_url: str
) -> None:
    await execute(empty_url, SCHEMA.read_text("utf-8"))
    documented, migrated = await catalog(empty_url), await catalog(postgres_url)
    assert migrated == documented
    assert ("column", "g1.fan_state.state") in migrated


async def test_a_second_run_has_nothing_to_do(postgres_url: str) -> None:
    before = await catalog(postgres_url)
    assert await migrate(postgres_url) == []
    assert await catalog(postgres_url) == before


async def test_starts_at_the_same_time_migrate_once(empty_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_url) for _ in range(4)))
    names = sorted(path.name for path in module.MIGRATIONS.glob("*.sql"))
    assert sorted(name for one in applied for name in one) == names


async def checked(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await check(connection)
    finally:
        await connection.close()


async def test_a_database_without_schema_is_told_apart(empty_url: str, postgres_url: str) -> None:
    await checked(postgres_url)
    with pytest.raises(Misconfigured, match="no schema"):
        await checked(empty_url)


async def test_a_migration_that_was_edited_afterwards_is_refused(postgres_url: str) -> None:
    await execute(postgres_url, "UPDATE migration SET sha256 = 'other' WHERE number = 1")
    for run in (migrate, checked):
        with pytest.raises(Misconfigured, match="edited"):
            await run(postgres_url)


async def test_a_newer_database_is_refused(postgres_url: str) -> None:
    await execute(
        postgres_url, "INSERT INTO migration (number, name, sha256) VALUES (9999, 'x', 'y')"
    )
    for run in (migrate, checked):
        with pytest.raises(Misconfigured, match="9999"):
            await run(postgres_url)


async def test_an_older_database_is_refused_until_it_is_migrated(postgres_url: str) -> None:
    await execute(postgres_url, "DELETE FROM migration")
    with pytest.raises(Misconfigured, match="older"):
        await checked(postgres_url)


async def test_views_of_another_version_are_refused_with_the_command_to_run(
    postgres_url: str,
) -> None:
    await execute(postgres_url, "UPDATE generation SET view_version = 'engagement:0'")
    assert await migrate(postgres_url) == []  # which goes before the rebuild
    with pytest.raises(OtherViews) as refusal:
        await checked(postgres_url)
    assert VIEW_VERSION in str(refusal.value)
    assert "fanmemory rebuild" in refusal.value.advice


async def test_a_migration_that_fails_leaves_nothing_behind(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "0001_broken.sql").write_text("CREATE TABLE half (a int); SELECT 1 / 0;")
    monkeypatch.setattr(module, "MIGRATIONS", tmp_path)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty_url)
    assert ("column", "public.half.a") not in await catalog(empty_url)


FORMER_GENERATION = """
CREATE SCHEMA g1;
CREATE TABLE g1.fan_state (subject uuid PRIMARY KEY, version bigint NOT NULL, state bytea NOT NULL)
    WITH (fillfactor = 70);
CREATE VIEW g1.fan_state_readable AS
SELECT subject, version, convert_from(state, 'UTF8')::jsonb AS state FROM g1.fan_state;
"""


async def test_generations_of_the_former_release_get_the_columns_of_ours(postgres_url: str) -> None:
    documented = await catalog(postgres_url)
    added = [next(module.MIGRATIONS.glob(f"{n}_*.sql")) for n in ("0025", "0038", "0042")]
    await execute(
        postgres_url,
        "DROP SCHEMA g1 CASCADE",
        FORMER_GENERATION,
        *(one.read_text("utf-8") for one in added),
        "DROP VIEW g1.fan_state_readable",  # of states that were not sealed
    )
    assert await catalog(postgres_url) == documented
