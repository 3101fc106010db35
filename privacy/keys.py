"""Keys: a random 256-bit key per subject, wrapped by a key-encryption key of the keyring.

Destroying the wrapped key destroys everything sealed with it. The keyring has ids so that it can
be rotated: the newest key wraps, every key in it still unwraps. `wrap` and `unwrap` are all that
a key management service would have to offer in its place.
"""

import base64
import os
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.errors import Misconfigured, SealBroken

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


class Keyring:
    """The key-encryption keys, newest first."""

    def __init__(self, keys: dict[str, bytes]) -> None:
        if not keys:
            raise Misconfigured("The keyring is empty: set FANMEMORY_KEYRING.")
        self.newest = next(iter(keys))
        self._wrappers = {name: AESGCM(key) for name, key in keys.items()}
        self._keys = keys

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """Read `id:base64,id:base64`; raises `Misconfigured`, which never repeats the text."""
        keys: dict[str, bytes] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, encoded = part.partition(":")
            try:
                key = base64.b64decode(encoded, validate=True)
            except ValueError:  # also for what is not ASCII
                key = b""
            if not name or len(name) > 64 or len(key) != KEY_BYTES:
                raise Misconfigured(
                    "The keyring must be `id:base64` of 32 bytes, several separated by commas."
                )
            keys[name] = key
        return cls(keys)

    def wrap(self, subject: bytes, key: bytes) -> tuple[str, bytes]:
        """Wrap a subject's key with the newest key; returns that key's id and the wrapped key."""
        return self.seal(key, subject)

    def unwrap(self, subject: bytes, kek: str, wrapped: bytes) -> bytes:
        """Raises `SealBroken` when the keyring lacks `kek` or the wrapped key was altered."""
        return self.open(kek, wrapped, subject)

    def seal(self, plain: bytes, context: bytes) -> tuple[str, bytes]:
        """Seal under the newest key, bound to `context`: a subject's key, or a refused record."""
        nonce = os.urandom(NONCE_BYTES)
        return self.newest, nonce + self._wrappers[self.newest].encrypt(nonce, plain, context)

    def open(self, kek: str, sealed: bytes, context: bytes) -> bytes:
        """Raises `SealBroken` when the keyring lacks `kek` or something was altered."""
        wrapper = self._wrappers.get(kek)
        if wrapper is None:
            raise SealBroken("The keyring lacks the key that this was sealed under.")
        try:
            return wrapper.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            raise SealBroken from None

    def derive(self, purpose: bytes) -> bytes:
        """A key for one purpose (at most 16 bytes long), from the oldest key.

        The oldest, because what is derived (names in the cache) should survive a rotation.
        """
        oldest = next(reversed(self._keys.values()))
        return blake2b(key=oldest, person=purpose, digest_size=KEY_BYTES).digest()
