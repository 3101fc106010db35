"""Creators' keys: what belongs to a creator, and to none of their fans, is sealed under one.

A `Sealer` seals either way: with the key of a fan's relationship, which erasing the fan destroys,
or with the creator's. What is sealed is bound to its kind and to the row that it stands in.
"""

from hashlib import blake2b
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.postgres import Connection
from infra.sql import load_queries
from privacy.keys import Keyring, new_key
from privacy.seal import seal, unseal
from privacy.subjects import Subject

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "creators.sql")


class Sealer:
    """Seals and opens for one owner. Never logged."""

    __slots__ = ("_cipher", "_owner")

    def __init__(self, key: bytes, owner: bytes) -> None:
        """`owner` is 16 bytes that stand for whose key it is."""
        self._cipher = AESGCM(key)
        self._owner = owner

    @classmethod
    def of(cls, subject: Subject) -> "Sealer":
        return cls(subject.key, subject.id)

    def seal(self, plain: bytes, kind: bytes, place: bytes) -> bytes:
        return seal(self._cipher, plain, kind + b"\0", self._owner, place)

    def open(self, sealed: bytes, kind: bytes, place: bytes) -> bytes:
        """Raises `SealBroken` when anything of it was altered or belongs elsewhere."""
        return unseal(self._cipher, sealed, kind + b"\0", self._owner, place)

    def __repr__(self) -> str:
        return "Sealer(…)"


async def creator_sealer(connection: Connection, keyring: Keyring, creator_id: str) -> Sealer:
    """Seals under the creator's key, which is made where there is none yet.

    Raises `SealBroken` when the keyring lacks the key that it is wrapped under.
    """
    named = creator_context(creator_id)
    while (row := await connection.fetchrow(_QUERIES.find_creator, creator_id)) is None:
        kek, wrapped = keyring.seal(new_key(), named)
        await connection.execute(_QUERIES.create_creator, creator_id, kek, wrapped)
    key = keyring.open(row["kek"], row["wrapped_key"], named)
    return Sealer(key, blake2b(named, digest_size=16).digest())


def rewrapped_creator(
    keyring: Keyring, creator_id: str, kek: str, wrapped: bytes
) -> tuple[str, bytes]:
    """A creator's key under the keyring's newest one. Raises `SealBroken`."""
    named = creator_context(creator_id)
    return keyring.seal(keyring.open(kek, wrapped, named), named)


def creator_context(creator_id: str) -> bytes:
    """What a creator's wrapped key is bound to."""
    return b"creator key\0" + blake2b(creator_id.encode(), digest_size=32).digest()
