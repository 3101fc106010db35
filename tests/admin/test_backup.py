"""Backup and restore: nothing that was accepted is missing, nobody who was erased comes back."""

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from admin import topics
from admin.backup import Manifest, back_up, checked, put_back, read_manifest
from admin.backup.database import Programs, Snapshot, dump, reached
from admin.backup.logs import TOPICS, packed, runs, unpacked
from admin.backup.manifest import FILE_NAME, proven, written
from admin.journal import Raw
from admin.verify import verify
from infra.settings import Settings
from ops.services import Endpoints, postgres
from schemas.errors import BackupUnusable, FanMemoryError, Misconfigured, ServiceFailed
from schemas.topics import INTERACTIONS, JOURNAL
from tests import services as helpers
from tests.pipeline import Flow, Pipeline, eraser_of, fresh_pipeline, message, mixed

PROGRAMS = Programs(*(postgres.program(name, embedded=True) for name in ("pg_dump", "pg_restore")))
RELEASE = "9.9.9"
ERASED = ("creator", "erased")
SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
async def pipeline(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    data = tmp_path_factory.mktemp("backup")
    async with fresh_pipeline(services, template_database, data) as made:
        yield made


@pytest.fixture(scope="module")
async def flow(pipeline: Pipeline) -> Flow:
    return Flow(pipeline, "flowing", fans=40)


@pytest.fixture(scope="module")
async def folder(pipeline: Pipeline, flow: Flow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup that was made while events flowed. Then somebody was erased, and all is at rest."""
    to = tmp_path_factory.mktemp("kept") / "backup"
    worker = pipeline.start_worker()
    await pipeline.publish(b"refused", message("erased", 1))
    await pipeline.drained()
    async with flow:
        await flow.more()
        before = len(flow.events)
        made = await back_up(pipeline.settings, to, PROGRAMS, RELEASE)
        await flow.more()
    assert len(flow.events) > before
    assert made.manifest == read_manifest(to)
    await pipeline.caught_up()
    async with eraser_of(pipeline) as eraser:
        assert (await eraser.erase(ERASED, 30.0)).completed_at is not None
    worker.stop()
    pipeline.workers.clear()
    return to


@asynccontextmanager
async def empty_database(pipeline: Pipeline) -> AsyncIterator[Settings]:
    """The same servers and keyring, a database without any table."""
    url = pipeline.settings.postgres_owner_url or pipeline.settings.postgres_url
    name = f"restored_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
        yield helpers.on_database(pipeline.settings, helpers.with_database(url, name))
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@asynccontextmanager
async def folding(settings: Settings, logs: Path) -> AsyncIterator[Pipeline]:
    """The restored system with a worker."""
    restored = Pipeline(settings, logs)
    await helpers.flush_redis(Endpoints("", "", settings.redis_url))
    try:
        restored.start_worker()
        yield restored
        restored.stop_workers()
    finally:
        await restored.end()


async def events_of(pipeline: Pipeline) -> int:
    return sum((await pipeline.history()).values())


def key_of(settings: Settings, folder: Path) -> tuple[Manifest, bytes]:
    manifest = read_manifest(folder)
    return manifest, checked(settings, folder, manifest)


async def test_a_database_that_was_lost_comes_back_and_who_was_erased_since_does_not(
    pipeline: Pipeline, flow: Flow, folder: Path, tmp_path: Path
) -> None:
    async with empty_database(pipeline) as settings:
        done = await put_back(
            settings, folder, *key_of(settings, folder), PROGRAMS, database_only=True
        )
        assert done.forgotten_again == 1
        assert done.to_read > 0
        async with folding(settings, tmp_path) as restored:
            await restored.without_lag()
            history = await restored.history()
            assert "erased" not in history
            assert sum(history.values()) == len(flow.events)
            assert (await verify(settings, processes=1)).found == 0


async def test_a_system_that_was_lost_whole_has_all_that_was_accepted_before_the_backup(
    pipeline: Pipeline, flow: Flow, folder: Path, tmp_path: Path
) -> None:
    ends = await pipeline.ends(INTERACTIONS.name)
    manifest, key = key_of(pipeline.settings, folder)
    logs = {one.name: one for one in manifest.files}
    # What was copied ends before what was published after it.
    reached = sum(log.end for log in logs[INTERACTIONS.name].logs)
    assert 0 < reached < sum(ends.values())
    await topics.recreate(pipeline.settings)
    async with empty_database(pipeline) as settings:
        done = await put_back(settings, folder, manifest, key, PROGRAMS)
        assert done.fans == manifest.fans
        assert done.to_read == logs[INTERACTIONS.name].records
        # Every log goes on where it was, so that each position still means the same record.
        assert await pipeline.ends(INTERACTIONS.name) == {
            p: log.end for p, log in enumerate(logs[INTERACTIONS.name].logs)
        }
        assert await pipeline.ends(JOURNAL.name) == {
            p: log.end for p, log in enumerate(logs[JOURNAL.name].logs)
        }
        async with folding(settings, tmp_path) as restored:
            await restored.publish(*mixed(fans=5, events=20))
            account = await restored.without_lag()
            # The flow's, a dead letter, and the one who was not erased yet.
            assert await events_of(restored) == reached - 1 + 20
            assert account.dead_letters == 1
            assert len(await restored.dead_letters()) == 1
            found = await verify(settings, processes=1)
            assert found.found == 0
            assert found.fans == len(await restored.history())
        with pytest.raises(Misconfigured, match="database is not empty"):
            await put_back(settings, folder, manifest, key, PROGRAMS)
    async with empty_database(pipeline) as settings:
        with pytest.raises(Misconfigured, match="not empty"):
            await put_back(settings, folder, manifest, key, PROGRAMS)


def test_nothing_of_a_fan_stands_in_it_in_clear_and_only_its_owner_may_read_it(
    folder: Path,
) -> None:
    assert {path.name for path in folder.iterdir()} == {
        FILE_NAME,
        "database",
        *(topic.name for topic in TOPICS),
    }
    for path in (folder, *folder.iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    for path in folder.iterdir():
        whole = path.read_bytes()
        assert b"flowing" not in whole and b"creator" not in whole
    assert not (folder.parent / "backup.partial").exists()


def other_ring(settings: Settings, text: str) -> Settings:
    return settings.model_copy(update={"keyring": SecretStr(text)})


def test_another_keyring_is_refused_by_name(pipeline: Pipeline, folder: Path) -> None:
    manifest = read_manifest(folder)
    key = "A" * 43 + "="
    for ring, said in ((f"other:{key}", "lacks"), (f"{manifest.kek}:{key}", "not the one")):
        with pytest.raises(Misconfigured, match=said) as refused:
            checked(other_ring(pipeline.settings, ring), folder, manifest)
        assert manifest.kek in str(refused.value)
        assert "--secrets" in refused.value.advice


@pytest.mark.parametrize("name", ["database", JOURNAL.name, "erasures"])
@pytest.mark.parametrize("harm", ["cut", "altered", "gone"])
def test_a_damaged_file_is_found_before_anything_is_changed(
    pipeline: Pipeline, folder: Path, tmp_path: Path, name: str, harm: str
) -> None:
    copy = copied(folder, tmp_path / "copy")
    path = copy / name
    whole = bytearray(path.read_bytes())
    if harm == "gone":
        path.unlink()
    elif harm == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    else:
        whole[len(whole) // 2] ^= 1
        path.write_bytes(whole)
    with pytest.raises(BackupUnusable, match=name):
        checked(pipeline.settings, copy, read_manifest(copy))


def test_a_manifest_that_leaves_something_out_is_found(
    pipeline: Pipeline, folder: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(folder)
    kept = tuple(one for one in manifest.files if one.name != "erasures")
    for altered in (
        replace(manifest, files=kept),
        proven(replace(manifest, files=kept), b"k" * 32),
    ):
        copy = copied(folder, tmp_path / secrets.token_hex(4))
        (copy / FILE_NAME).write_bytes(written(altered))
        with pytest.raises(BackupUnusable, match="manifest was altered"):
            checked(pipeline.settings, copy, read_manifest(copy))


def test_what_is_no_backup_or_of_another_release_says_so(
    pipeline: Pipeline, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(BackupUnusable, match="not finished"):
        read_manifest(tmp_path)
    (tmp_path / FILE_NAME).write_text("{}")
    with pytest.raises(BackupUnusable, match="can't be read"):
        read_manifest(tmp_path)
    manifest = read_manifest(folder)
    (tmp_path / FILE_NAME).write_bytes(written(replace(manifest, format=2)))
    with pytest.raises(BackupUnusable, match="another release") as refused:
        read_manifest(tmp_path)
    assert RELEASE in refused.value.advice
    with pytest.raises(Misconfigured, match=RELEASE):
        checked(pipeline.settings, folder, replace(manifest, schema="9999_later.sql"))


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def occupy(folder: Path) -> None:
    folder.mkdir()


def made_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_what_fails_half_way_leaves_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    def at_the_journal(_total: int | None, step: str) -> None:
        if step == JOURNAL.name:
            raise asyncio.CancelledError

    cases: list[tuple[Programs, type[BaseException], str]] = [
        (Programs("/bin/false", "/bin/false"), ServiceFailed, "false failed"),
        (Programs("/nowhere/pg_dump", ""), Misconfigured, "does not run here"),
    ]
    for programs, kind, said in cases:
        with pytest.raises(kind, match=said):
            await back_up(pipeline.settings, tmp_path / "new", programs, RELEASE)
    with pytest.raises(asyncio.CancelledError):
        await back_up(pipeline.settings, tmp_path / "new", PROGRAMS, RELEASE, at_the_journal)
    assert made_in(tmp_path) == set()
    occupy(tmp_path / "new")
    with pytest.raises(Misconfigured, match="there already"):
        await back_up(pipeline.settings, tmp_path / "new", PROGRAMS, RELEASE)


async def test_a_full_disk_is_one_sentence(pipeline: Pipeline, tmp_path: Path) -> None:
    full = tmp_path / "new.partial"

    def no_room(_total: int | None, step: str) -> None:
        """The kernel's own word for it, from a file that is always full."""
        if step == INTERACTIONS.name:
            os.write(os.open("/dev/full", os.O_WRONLY), b"x")

    with pytest.raises(Misconfigured, match="no room"):
        await back_up(pipeline.settings, tmp_path / "new", PROGRAMS, RELEASE, no_room)
    assert not full.exists()


async def test_a_copy_that_can_not_be_written_ends_while_more_of_it_waits(tmp_path: Path) -> None:
    program = tmp_path / "writes_on"  # what it leaves behind fills the pipe after it was killed
    program.write_text("#!/bin/sh\nhead -c 2000000 /dev/zero & wait\n")
    program.chmod(0o755)
    of = Snapshot("", datetime.now(UTC), {}, {}, 0, "", 0)

    def full(_piece: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(OSError, match="No space"):
            await dump(str(program), "postgresql://me@db/fan", of, full)


def test_a_password_is_never_an_argument() -> None:
    where, variables = reached("postgresql://me:pass%40word@db/fan?sslmode=verify-full")
    assert where == "postgresql://me@db/fan?sslmode=verify-full"
    assert variables == {"PGPASSWORD": "pass@word"}
    with pytest.raises(FanMemoryError, match="KEY_PASSWORD"):
        reached("postgresql://me@db/fan?sslpassword=secret")


def test_runs_end_at_holes_and_pieces_may_be_cut_anywhere() -> None:
    raws = [Raw(0, offset, b"k", b"v", 5) for offset in (3, 4, 7)]
    assert [(first, len(run)) for first, run in runs(raws)] == [(3, 2), (7, 1)]
    pieces = [(0, first, run) for first, run in runs(raws)]
    whole = b"".join(map(packed, pieces))
    for size in (1, 3, len(whole)):
        cut = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert [(p, first, len(run)) for p, first, run in unpacked(cut)] == [(0, 3, 2), (0, 7, 1)]
    with pytest.raises(BackupUnusable):
        list(unpacked([whole[:-1]]))
