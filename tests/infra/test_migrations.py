"""Migrations of a folder: each once and in order, and who may start on what they made."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from infra.migrations import apply, check, migrations
from infra.postgres import connect
from schemas.errors import Misconfigured

TABLE = "ALTER TABLE migration ADD COLUMN readers_from integer;\n"


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Any]:
    """To a database in which nothing was applied yet, as far as these tests' schema goes."""
    made = await connect(postgres_url)
    await made.execute("CREATE SCHEMA IF NOT EXISTS apart; SET search_path TO apart")
    yield made
    await made.execute("DROP SCHEMA apart CASCADE")
    await made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(TABLE)
    (tmp_path / "0002_second.sql").write_text("-- readers from: 1\nCREATE TABLE second ();\n")
    return tmp_path


def test_files_are_in_order_and_say_whom_they_serve(folder: Path) -> None:
    first, second = migrations(folder)
    assert (first.number, first.name, first.readers_from) == (1, "0001_first.sql", None)
    assert (second.number, second.text[:2], second.readers_from) == (2, "--", 1)
    (folder / "3_third.sql").touch()
    with pytest.raises(Misconfigured, match=r"3_third\.sql is not named like a migration"):
        migrations(folder)


async def test_each_is_applied_once(connection: Any, folder: Path) -> None:
    assert await apply(connection, folder) == ["0001_first.sql", "0002_second.sql"]
    assert await apply(connection, folder) == []
    await check(connection, folder)
    (folder / "0003_third.sql").write_text("CREATE TABLE third ();\n")
    with pytest.raises(Misconfigured, match="older than this code"):
        await check(connection, folder)
    assert await apply(connection, folder) == ["0003_third.sql"]
    await check(connection, folder)


async def test_what_fails_leaves_nothing_and_is_tried_again(connection: Any, folder: Path) -> None:
    broken = folder / "0003_third.sql"
    broken.write_text("CREATE TABLE third ();\nSELECT 1 / 0;\n")
    with pytest.raises(Exception, match="division by zero"):
        await apply(connection, folder)
    assert await connection.fetchval("SELECT to_regclass('apart.third')") is None
    broken.write_text("CREATE TABLE third ();\n")
    assert await apply(connection, folder) == ["0003_third.sql"]


async def test_an_edited_one_is_noticed(connection: Any, folder: Path) -> None:
    await apply(connection, folder)
    (folder / "0002_second.sql").write_text("CREATE TABLE other ();\n")
    for doing in (apply, check):
        with pytest.raises(Misconfigured, match="Migration 2 was edited after it was applied"):
            await doing(connection, folder)


async def test_a_former_release_starts_beside_what_serves_it_only(
    connection: Any, folder: Path
) -> None:
    await apply(connection, folder)
    (folder / "0002_second.sql").unlink()
    await check(connection, folder)  # 2 serves whoever knows 1
    newer = folder / "0003_third.sql"
    newer.write_text("-- readers from: 2\nCREATE TABLE third ();\n")
    await apply(connection, folder)
    newer.unlink()
    with pytest.raises(Misconfigured, match="has migration 3, which this code does not know"):
        await check(connection, folder)


async def test_without_a_schema_it_says_what_to_run(connection: Any, folder: Path) -> None:
    with pytest.raises(Misconfigured, match="no schema"):
        await check(connection, folder)
