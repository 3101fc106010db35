"""What stands for people in logs: a fan's subject, and of a creator a keyed hash.

Neither says who that is. `fanmemory log-id` finds both for whoever has the keyring and the
database; the subject is gone once the fan is erased, so nobody finds the lines of an erased fan any
more.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from privacy.keys import Keyring
from schemas.random_ids import id_text

PURPOSE: Final = b"log-id"
_KEPT: Final = 10_000
"""Creators whose hash one process remembers: 2 us each to make it anew."""


class LogIds:
    """Of one keyring."""

    def __init__(self, keyring: Keyring) -> None:
        key = keyring.derive(PURPOSE)
        self.creator = lru_cache(_KEPT)(lambda creator_id: _hashed(key, creator_id))
        """creatorId -> 16 hexadecimal digits."""


def creators(keyring: Keyring, creator_id: str) -> list[str]:
    """What may stand for a creator in logs, newest first: before a key was retired, and after."""
    return [_hashed(key, creator_id) for key in reversed(keyring.derived(PURPOSE))]


def fan(subject: bytes) -> str:
    """What stands for a fan: the subject."""
    return id_text(subject)


def _hashed(key: bytes, creator_id: str) -> str:
    return blake2b(creator_id.encode(), key=key, digest_size=8, person=PURPOSE).hexdigest()
