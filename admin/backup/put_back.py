"""Putting a backup back, where nothing is yet.

1. Everything is looked at first: the keyring and every file's checksum (`checked`), and that the
   target is empty.
2. The logs are written. [a failure leaves topics that are not empty, which a second try refuses]
3. The database is restored, in one transaction, and brought up to date (`stores.migrate`).
   [until here there is no schema, so no process of ours starts]
4. Whoever the ledger says to be erased is erased again, before anything is served.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admin import topics
from admin.backup import database, logs
from admin.backup.database import Programs
from admin.backup.manifest import Manifest, Sealed, check_files, open_key
from admin.journal import open_journal
from admin.ledger import catch_up
from infra import migrations
from infra.postgres import connecting, database_errors, url_of
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.sealed_files import file_key, opened
from privacy.subjects import require_keys
from schemas.errors import BackupUnusable, Misconfigured, SealBroken
from schemas.topics import INTERACTIONS, JOURNAL
from stores import migrate
from stores.positions import POSITION_SQL


@dataclass(frozen=True, slots=True)
class PutBack:
    """A system that is there again, and what its workers will do first."""

    fans: int
    forgotten_again: int
    """Fans who were erased, or of whom something was, since the database's snapshot."""
    to_read: int
    """Records of `interactions` that ingest will read again."""
    to_fold: int
    """Records of the journal that the views will fold again."""


def checked(
    settings: Settings,
    folder: Path,
    manifest: Manifest,
    begin: Callable[[int | None, str], Any] = lambda _total, _step: None,
    progress: Callable[[int], Any] = lambda _count: None,
) -> bytes:
    """The key of a backup that is whole, and that this code and this keyring can put back.

    Raises `Misconfigured` for another keyring, `BackupUnusable` for what is damaged.
    """
    _require_known(manifest)
    key = open_key(manifest, Keyring.of(settings))
    begin(sum(one.size for one in manifest.files), "checking")
    check_files(folder, manifest, progress)
    return key


async def require_empty(
    settings: Settings, manifest: Manifest, *, database_only: bool = False
) -> None:
    """Raise `Misconfigured` unless a backup can be put back there. Changes nothing."""
    async with connecting(url_of(settings, "owner")) as connection:
        if not await database.is_empty(connection):
            raise Misconfigured(
                "The database is not empty: a restore would mix two systems.",
                hint="Name another database, or drop this one first and create it again.",
            )
    if not database_only:
        held = {topic.name: _file(manifest, topic.name).logs for topic in logs.TOPICS}
        await logs.require_empty(settings, held)


async def put_back(
    settings: Settings,
    folder: Path,
    manifest: Manifest,
    key: bytes,
    programs: Programs,
    *,
    database_only: bool = False,
    begin: Callable[[int | None, str], Any] = lambda _total, _step: None,
    progress: Callable[[int], Any] = lambda _count: None,
) -> PutBack:
    """Put it back by settings that have every URL and the keyring; the brokers may lack the topics.

    `key` is what `checked` gives. With `database_only` the logs are there and stay as they are.
    Raises `Misconfigured` before anything but empty topics is made, `ServiceFailed` when
    `pg_restore` fails, and what the stores raise.
    """
    await topics.create(settings)
    await require_empty(settings, manifest, database_only=database_only)
    if not database_only:
        for topic in logs.TOPICS:
            file = _file(manifest, topic.name)
            begin(file.records, topic.name)
            with _opening(folder, file, key) as pieces:
                await logs.put_back(settings, topic, file.logs, logs.unpacked(pieces), progress)
    begin(None, "database")
    owner, file = url_of(settings, "owner"), _file(manifest, database.NAME)

    def read() -> Iterator[bytes]:
        with _opening(folder, file, key) as pieces:
            yield from pieces

    await database.restore(programs.restore, owner, read)
    await migrate.migrate(owner)
    async with connecting(settings.postgres_url) as connection:
        await require_keys(connection, await asyncio.to_thread(Keyring.of, settings))
    forgotten = await catch_up(settings)
    return await _left_to_do(settings, forgotten)


async def _left_to_do(settings: Settings, forgotten: int) -> PutBack:
    async with connecting(settings.postgres_url) as connection, database_errors():
        rows = await connection.fetch(POSITION_SQL.statuses)
        fans = await connection.fetchval(database.SQL.fans)
    left = {}
    for topic in (INTERACTIONS, JOURNAL):
        nexts = {row["partition"]: row["next"] for row in rows if row["topic"] == topic.name}
        async with open_journal(settings, topic.name) as log:
            bounds = await log.bounds()
        left[topic] = sum(max(0, end - nexts.get(p, first)) for p, (first, end) in bounds.items())
    return PutBack(fans, forgotten, left[INTERACTIONS], left[JOURNAL])


def _require_known(manifest: Manifest) -> None:
    """A database that is newer than this code could be restored, and then not be used."""
    known = {one.name for one in migrations.migrations(migrate.MIGRATIONS)}
    if manifest.schema not in known:
        raise Misconfigured(
            f"This backup is of release {manifest.release}, whose database this one does not know.",
            hint="Restore it with that release, or a later one.",
        )


def _file(manifest: Manifest, name: str) -> Sealed:
    found = next((one for one in manifest.files if one.name == name), None)
    if found is None:
        raise BackupUnusable(f"The backup has no {name}.")
    return found


@contextmanager
def _opening(folder: Path, file: Sealed, key: bytes) -> Iterator[Iterator[bytes]]:
    with (folder / file.name).open("rb") as sealed:
        try:
            yield opened(sealed, file_key(key, file.name))
        except SealBroken as error:
            raise BackupUnusable(str(error)) from None
