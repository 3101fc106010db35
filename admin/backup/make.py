"""Making a backup, while everything goes on."""

import asyncio
import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import uuid4

from admin.backup import database, logs
from admin.backup.database import Programs
from admin.backup.manifest import FILE_NAME, FORMAT, Log, Manifest, Sealed, proven, written
from infra.postgres import url_of
from infra.settings import Settings
from privacy.keys import Keyring, new_key
from privacy.sealed_files import SealedWriter, file_key, wrap
from schemas.errors import Misconfigured
from schemas.times import render_time

PARTIAL: Final = ".partial"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that is there."""

    manifest: Manifest
    seconds: float

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.manifest.files)


async def back_up(
    settings: Settings,
    to: Path,
    programs: Programs,
    release: str,
    begin: Callable[[int | None, str], Any] = lambda _total, _step: None,
    progress: Callable[[int], Any] = lambda _count: None,
) -> Made:
    """Make a backup in the folder `to`, which must not exist: it is there whole, or not at all.

    `begin` is told of each step, with the bytes or records that it will take, `progress` how many
    more there are. Raises `Misconfigured` where it can't be written, `ServiceFailed` when `pg_dump`
    fails, and what the stores raise.
    """
    started = time.monotonic()
    keyring = await asyncio.to_thread(Keyring.of, settings)
    with _folder(to) as folder:
        id, key = str(uuid4()), new_key()
        kek, wrapped = wrap(keyring, key, id)
        files = []
        owner = url_of(settings, "owner")
        async with database.snapshot(owner) as at:
            begin(None, "database")
            with _sealing(folder, database.NAME, key) as file:

                def write(piece: bytes, writer: SealedWriter = file) -> None:
                    writer.write(piece)
                    progress(len(piece))

                await database.dump(programs.dump, owner, at, write)
            files.append(Sealed(database.NAME, file.size, file.digest))
        spans = {topic: await logs.lengths(settings, topic, at) for topic in logs.TOPICS}
        for topic, bounds in spans.items():
            begin(sum(end - first for first, end in bounds.values()), topic.name)
            with _sealing(folder, topic.name, key) as file:
                count = await logs.copy(settings, topic, bounds, file.write, progress)
            kept = tuple(Log(*bounds[partition]) for partition in sorted(bounds))
            files.append(Sealed(topic.name, file.size, file.digest, count, kept))
        manifest = proven(
            Manifest(
                format=FORMAT,
                backup=id,
                made_at=render_time(int(at.taken_at.timestamp() * 1000)),
                release=release,
                schema=at.schema,
                fans=at.fans,
                kek=kek,
                wrapped_key=wrapped,
                files=tuple(files),
            ),
            key,
        )
        with _private(folder / FILE_NAME) as plain:
            plain.write(written(manifest))
    return Made(manifest, time.monotonic() - started)


@contextmanager
def _folder(to: Path) -> Iterator[Path]:
    """Made beside its place, and moved there when it is complete; else nothing is left of it."""
    if to.exists():
        raise Misconfigured(f"{to} is there already.", hint="Name a folder that does not exist.")
    partial = to.with_name(to.name + PARTIAL)
    try:
        partial.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise Misconfigured(
            f"{partial} is there: another backup is being made, or was killed.",
            hint="Wait for it, or remove that folder.",
        ) from None
    except OSError as error:
        raise _unwritable(partial, error) from None
    try:
        yield partial
        _sync(partial)
        partial.rename(to)
        _sync(to.absolute().parent)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _unwritable(partial, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> Misconfigured:
    if error.errno in _FULL:
        return Misconfigured(
            f"There is no room for the backup at {path.parent}; nothing of it is left there.",
            hint="It takes about as much as the database and the journal: docs/backup.md.",
        )
    return Misconfigured(f"{path} can't be written ({type(error).__name__}).")


@contextmanager
def _sealing(folder: Path, name: str, key: bytes) -> Iterator[SealedWriter]:
    with _private(folder / name) as file:
        writer = SealedWriter(file, file_key(key, name))
        yield writer
        writer.close()


@contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner may read, on the disk when it is closed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """What was made in a folder is there after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
