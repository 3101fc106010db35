"""Each role of Postgres can do its work, and nothing beyond it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner

from infra.postgres import InsufficientPrivilegeError, connect, url_of
from infra.settings import Settings
from ops.cli.processes import roles as command
from ops.doctor import database
from ops.doctor.findings import Note
from ops.services import EmbeddedServices, postgres
from schemas.errors import Misconfigured
from stores import generations, wall
from stores.migrate import migrate
from stores.roles import CREATE, powers
from tests import services as helpers
from tests.documents import COPY_STATES
from tests.releases import unpacked

FORMER = "750f641"
"""The last release whose embedded Postgres had one role."""


@pytest.mark.parametrize("role", ["owner", "writer", "reader"])
async def test_no_role_of_ours_starts_programs_or_reads_the_servers_files(
    store_settings: Settings, role: Any, tmp_path: Path
) -> None:
    connection = await asyncpg.connect(url_of(store_settings, role))
    for attempt in (
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "COPY migration (name) FROM PROGRAM 'id'",
        f"COPY (SELECT 1) TO '{tmp_path}/probe'",
        "SELECT pg_read_file('postgresql.conf')",
        "ALTER SYSTEM SET log_statement = 'all'",
        "ALTER ROLE fanmemory_reader BYPASSRLS",
        "SET ROLE fanmemory",
    ):
        with pytest.raises(InsufficientPrivilegeError):
            await connection.execute(attempt)
    await connection.close()


async def test_the_writer_changes_no_table_and_the_reader_no_row(store_settings: Settings) -> None:
    # A database that is copied from another has not what is granted on that itself.
    assert await migrate(url_of(store_settings, "owner")) == []
    writer, reader = [await connect(url_of(store_settings, role)) for role in ("writer", "reader")]
    for connection in (writer, reader):
        for attempt in (
            "CREATE TABLE mine (a int)",
            "CREATE SCHEMA mine",
            "DROP TABLE subject",
            "ALTER TABLE subject ADD COLUMN mine int",
            "TRUNCATE subject",
            "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
            "UPDATE migration SET name = 'other'",
        ):
            with pytest.raises(InsufficientPrivilegeError):
                await connection.execute(attempt)
    for attempt in (
        "DELETE FROM subject",
        "UPDATE g1.fan_state SET version = 0",
        "INSERT INTO retention VALUES ('ours', 1)",
        "SELECT value FROM outbox_pack",
        "SELECT * FROM erasure",
        "CREATE TEMP TABLE mine (a int)",
    ):
        with pytest.raises(InsufficientPrivilegeError):
            await reader.execute(attempt)
    with pytest.raises(Misconfigured, match="may not change"):
        await migrate(store_settings.postgres_url)
    await writer.execute("VACUUM subject")
    await writer.close()
    await reader.close()


async def test_roles_may_work_on_a_new_generation_and_on_a_new_table(
    store_settings: Settings,
) -> None:
    owner = await connect(url_of(store_settings, "owner"))
    async with owner.transaction():
        await generations.create(owner, 2, "building")
    await owner.execute("CREATE TABLE later (a int)")
    await owner.close()
    writer, reader = [await connect(url_of(store_settings, role)) for role in ("writer", "reader")]
    await writer.execute(COPY_STATES)
    await writer.execute("INSERT INTO later VALUES (1)")
    assert await reader.fetch("SELECT * FROM g2.fan_state") == []
    with pytest.raises(InsufficientPrivilegeError):
        await reader.fetch("SELECT * FROM later")
    await writer.close()
    await reader.close()


async def test_doctor_says_which_role_can_do_more_than_it_needs(store_settings: Settings) -> None:
    assert "each as one" in await database.roles(store_settings)
    one = helpers.as_one_role(store_settings)
    with pytest.raises(Note, match="fanmemory_owner, with which we write, owns the tables"):
        await database.roles(one)
    without = store_settings.model_copy(update={"postgres_reader_url": ""})
    with pytest.raises(Note, match="reads as fanmemory_writer"):
        await database.roles(without)


def test_the_command_prints_what_makes_the_roles() -> None:
    assert CliRunner().invoke(command).output == CREATE


FORMERLY = """
import asyncio, asyncpg, sys
from pathlib import Path
from ops.services import EmbeddedServices
from stores.migrate import migrate

async def fill(url):
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute("INSERT INTO subject VALUES (gen_random_uuid(), 'c', 'f', 'k', 'w')")
    await connection.close()

with EmbeddedServices(Path(sys.argv[1]), names=("postgres",)) as services:
    asyncio.run(fill(services.endpoints.postgres_url))
    services.kill("postgres")
"""


def test_a_data_directory_of_the_former_release_goes_on_with_roles(tmp_path: Path) -> None:
    """Also one whose server was killed; and again, with the passwords that it was given."""
    release = unpacked(FORMER, tmp_path / "former")
    data = tmp_path / "data"
    subprocess.run(
        [sys.executable, "-c", FORMERLY, str(data)],
        cwd=release,
        env=os.environ | {"PYTHONPATH": str(release)},
        check=True,
        timeout=120,
    )
    assert not (data / postgres.NAME / postgres.PASSWORDS).exists()
    for _ in range(2):
        with EmbeddedServices(data, names=("postgres",)) as services:
            asyncio.run(_look(services))


async def _look(services: EmbeddedServices) -> None:
    found = services.endpoints
    owner = await connect(found.postgres_owner_url)
    # As a rebuild does: the views of that release may be others than ours by now.
    await migrate(found.postgres_owner_url)
    assert await migrate(found.postgres_owner_url) == []
    assert (
        await owner.fetchval(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE nspname IN ('public', 'g1') AND relowner <> current_user::regrole"
        )
        == 0
    )
    await owner.close()
    for url in (found.postgres_url, found.postgres_reader_url):
        connection = await connect(url)
        statement = "SELECT fan_id FROM subject"
        assert (await wall.fetch(connection, statement, "c"))[0]["fan_id"] == "f"
        assert not any((await powers(connection))[1:])
        await connection.close()
