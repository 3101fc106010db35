"""A rolling update needs no downtime: migrations run first, the former release goes on."""

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from infra import migrations
from infra.settings import Settings
from ops.services import Endpoints
from schemas.errors import Misconfigured
from stores import migrate as module
from tests import services as helpers
from tests.documented import ROOT, shell_of
from tests.pipeline import Flow, Pipeline, known_to
from tests.releases import unpacked

FORMER = "7a5c488"
"""The release before migration 0008."""
FORMER_SESSION_SECONDS = 6
FIRST_WITH_READERS = 7


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The former release's code, for this environment's Python."""
    return unpacked(FORMER, tmp_path_factory.mktemp("former"))


@pytest.fixture
async def system(services: Endpoints, tmp_path: Path) -> AsyncIterator[Settings]:
    """An empty database and fresh topics: nobody has migrated yet."""
    name = f"rolling_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(helpers.owner_url(services))
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
        url = helpers.with_database(helpers.owner_url(services), name)
        settings = await helpers.fresh_settings(services, url, tmp_path, kafka=True)
        settings = helpers.as_one_role(settings)  # the former release knows of no other
        # The suite's own session is shorter than what the former release accepts.
        yield settings.model_copy(update={"session_seconds": FORMER_SESSION_SECONDS})
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


def run(release: Path, settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *words],
        cwd=release,
        env=os.environ | known_to(release, settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_the_former_releases_worker_goes_on_while_the_schema_comes_and_a_rebuild_moves_on(
    former: Path, system: Settings, tmp_path: Path
) -> None:
    ran = run(former, system, "migrate")
    assert ran.returncode == 0, ran.stderr
    pipeline = Pipeline(system, tmp_path)
    try:
        old = pipeline.start_worker(former)
        await pipeline.claimed()
        async with Flow(pipeline, "rolling") as flow:
            await flow.more()
            for line in shell_of(ROOT / "docs" / "upgrade.md")[2]:
                done = run(ROOT, system, *line.split()[1:])
                assert done.returncode == 0, (line, done.stderr)
            assert "applied 0008_outbox_pack.sql" in done.stdout
            assert "after `fanmemory rebuild`" in done.stdout
            await flow.more()
            assert old.alive
            assert old.stop() == 0
            # The views of this release are others: its workers begin once they are built.
            built = run(ROOT, system, "rebuild")
            assert built.returncode == 0, built.stderr
            pipeline.start_worker()
            await flow.more()
        await pipeline.wait_for(lambda: all_read(pipeline))
        wanted = Counter(event["fanId"] for event in flow.events)
        assert await pipeline.history() == wanted
        assert not await pipeline.fetch("SELECT FROM quarantine")
    finally:
        await pipeline.end()

    # Its views are no longer the live ones: it is refused by one sentence, not by a fault.
    ran = run(former, system, "worker")
    assert ran.returncode == 1
    assert "after a rebuild by other code run that code" in ran.stderr


async def all_read(pipeline: Pipeline) -> bool:
    """By the live generation: the former one's counters stand still."""
    return not any((await pipeline.lag()).values())


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Path, Path]:
    """The migrations of this release, and of a next one that has one more."""
    now, later = tmp_path / "now", tmp_path / "later"
    shutil.copytree(module.MIGRATIONS, now)
    shutil.copytree(module.MIGRATIONS, later)
    return now, later


async def serves(url: str, now: Path, later: Path) -> None:
    """Migrate to the next release; then this one checks and migrates on what it left."""
    connection = await asyncpg.connect(url)
    try:
        await migrations.apply(connection, later)
        await migrations.check(connection, now)
        assert await migrations.apply(connection, now) == []
    finally:
        await connection.close()


async def test_this_release_starts_on_a_newer_schema_that_says_it_serves_it(
    postgres_url: str, releases: tuple[Path, Path]
) -> None:
    now, later = releases
    added = f"-- readers from: {FIRST_WITH_READERS}\nCREATE TABLE added (a int);"
    (later / "9001_added.sql").write_text(added)
    await serves(postgres_url, now, later)


@pytest.mark.parametrize("first", ["-- readers from: 9001\n", "-- nothing said\n"])
async def test_this_release_is_refused_by_a_newer_schema_that_does_not(
    postgres_url: str, releases: tuple[Path, Path], first: str
) -> None:
    now, later = releases
    (later / "9001_taken.sql").write_text(f"{first}CREATE TABLE taken (a int);")
    with pytest.raises(Misconfigured, match="9001"):
        await serves(postgres_url, now, later)


def test_every_later_migration_says_which_code_it_serves_and_takes_nothing_away() -> None:
    for migration in migrations.migrations(module.MIGRATIONS):
        if migration.number <= FIRST_WITH_READERS:
            continue
        assert migration.readers_from is not None, migration.name
        if migration.readers_from < migration.number:
            taken = re.findall(r"\b(?:DROP(?! INDEX)|RENAME)\b", migration.text.upper())
            assert not taken, f"{migration.name} takes away what older code may use"
