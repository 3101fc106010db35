"""The manifest: what a backup holds, how large, with which checksums, and under which key.

It names no creator and no fan. Who has the keyring can tell whether it was altered (`proof`), and
whoever has not, whether a copy is whole.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from privacy.keys import Keyring
from privacy.sealed_files import proof, unwrap
from schemas.errors import BackupUnusable, Misconfigured, SealBroken

FORMAT: Final = 1
FILE_NAME: Final = "manifest.json"
READ_BYTES: Final = 1_048_576


class Log(msgspec.Struct, frozen=True):
    """One partition of a topic: its records are those of the offsets from `first` to `end`."""

    first: int
    end: int


class Sealed(msgspec.Struct, frozen=True, rename="camel"):
    """One file of a backup."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    records: int = 0
    logs: tuple[Log, ...] = ()
    """By partition; none for the database."""


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """What `manifest.json` says."""

    format: int
    backup: str
    """A random id."""
    made_at: str
    """When the database's snapshot was taken: what came later is in the logs alone."""
    release: str
    schema: str
    """The newest migration of the database."""
    fans: int
    kek: str
    """The id of the key that opens this backup."""
    wrapped_key: bytes
    files: tuple[Sealed, ...]
    proof: str = ""
    """What only the keyring's owner can write beside all the rest."""


def proven(manifest: Manifest, key: bytes) -> Manifest:
    """The same with its proof."""
    bare = msgspec.structs.replace(manifest, proof="")
    return msgspec.structs.replace(manifest, proof=proof(key, msgspec.json.encode(bare)))


def written(manifest: Manifest) -> bytes:
    """As the file has it."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Raises `BackupUnusable` for what is none, or of a later release."""
    try:
        manifest = msgspec.json.decode((folder / FILE_NAME).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupUnusable(f"{folder} is no backup, or was not finished.") from None
    except (OSError, msgspec.MsgspecError):
        raise BackupUnusable(f"{folder / FILE_NAME} can't be read.") from None
    if manifest.format != FORMAT:
        raise BackupUnusable(
            "This backup is of another release's form.",
            hint=f"Restore it with release {manifest.release}.",
        )
    return manifest


def check_files(
    folder: Path, manifest: Manifest, progress: Callable[[int], Any] = lambda _bytes: None
) -> None:
    """Raise `BackupUnusable` unless every file is as long as it was, and has the same bytes."""
    for one in manifest.files:
        path, found = folder / one.name, hashlib.sha256()
        try:
            size = path.stat().st_size
            if size != one.size:
                raise BackupUnusable(f"{path} has {size} bytes of {one.size}.")
            for block in _blocks(path):
                found.update(block)
                progress(len(block))
        except OSError as error:
            raise BackupUnusable(f"{path} can't be read ({type(error).__name__}).") from None
        if found.hexdigest() != one.sha256:
            raise BackupUnusable(f"{path} is not as it was when the backup was made.")


def open_key(manifest: Manifest, keyring: Keyring) -> bytes:
    """The key of a backup; raises `Misconfigured` for another keyring, `BackupUnusable` for a
    manifest that was altered."""
    if manifest.kek not in keyring.names:
        raise Misconfigured(
            f"This backup is sealed under the key {manifest.kek}, which this keyring lacks.",
            hint="Give the keyring of its time: --secrets FILE, or FANMEMORY_KEYRING.",
        )
    try:
        key = unwrap(keyring, manifest.kek, manifest.wrapped_key, manifest.backup)
    except SealBroken:
        raise Misconfigured(
            f"The key {manifest.kek} of this keyring is not the one that the backup was made with.",
            hint="Give the keyring of its time: --secrets FILE, or FANMEMORY_KEYRING.",
        ) from None
    if proven(manifest, key).proof != manifest.proof:
        raise BackupUnusable("The backup's manifest was altered.")
    return key


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            yield block
