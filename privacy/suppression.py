"""Who is suppressed: known by a keyed hash, so that a list of them names nobody.

The hash's key is random, and kept sealed under the keyring. It is not derived from a key of the
ring: a ring may lose its oldest key, and a hash can't be computed again from nobody's name.
"""

from hashlib import blake2b
from typing import Final

from privacy.keys import Keyring, new_key
from schemas.relationship import Relationship

HASH_BYTES: Final = 16
"""Two of a million suppressed fans share one with a chance of 10^-27."""
_CONTEXT: Final = b"suppression key"


def new_suppression_key(keyring: Keyring) -> tuple[str, bytes]:
    """A fresh key for hashes, sealed: id of the keyring's key, and the sealed bytes."""
    return keyring.seal(new_key(), _CONTEXT)


def open_suppression_key(keyring: Keyring, kek: str, sealed: bytes) -> bytes:
    """Raises `SealBroken` when the keyring lacks the key, or the row was altered."""
    return keyring.open(kek, sealed, _CONTEXT)


def reseal_suppression_key(keyring: Keyring, kek: str, sealed: bytes) -> tuple[str, bytes]:
    """The same key under the keyring's newest."""
    return keyring.seal(open_suppression_key(keyring, kek, sealed), _CONTEXT)


def suppression_hash(key: bytes, who: Relationship) -> bytes:
    """What stands for a suppressed fan of one creator. Ids hold no control characters, so NUL parts
    them."""
    return blake2b(
        "\0".join(who).encode(), key=key, digest_size=HASH_BYTES, person=b"suppressed"
    ).digest()
