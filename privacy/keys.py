"""Keys: a random 256-bit key per subject, wrapped by a key-encryption key of the keyring.

Destroying the wrapped key destroys everything sealed with it. The keyring has ids so that it can
be rotated: the newest key wraps, every key in it still unwraps. `wrap` and `unwrap` are all that
a key management service would have to offer in its place.

A wrapped key is bound to its subject and to the relationship that the subject stands for: what is
authenticated with it names both. A mapping that was swapped or renamed, in the database or in the
cache, therefore opens nothing, instead of one creator's fan for another. Layout: a byte 2, 12-byte
random nonce, ciphertext, 16-byte tag. Keys wrapped by former versions have no such first byte and
know their subject only; `fanmemory keys bind` binds them (`privacy.binding`).
"""

import base64
import os
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.settings import Settings
from schemas.errors import Misconfigured, SealBroken
from schemas.relationship import Relationship

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_UNBOUND: Final = (
    "All keys were bound before: this one was put back from an older copy. Run `fanmemory verify`."
)
_BOUND: Final = b"\x02"
_TAG_BYTES: Final = 16
BOUND_BYTES: Final = len(_BOUND) + NONCE_BYTES + KEY_BYTES + _TAG_BYTES
"""Length of a bound wrapped key: by it the database tells them from unbound ones."""


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
    def of(cls, settings: Settings) -> "Keyring":
        """The one that the settings name; raises `Misconfigured`."""
        return cls.parse(settings.keyring.get_secret_value())

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

    @property
    def names(self) -> frozenset[str]:
        """The ids of the keys in it."""
        return frozenset(self._keys)

    def wrap(self, subject: bytes, who: Relationship, key: bytes) -> tuple[str, bytes]:
        """Wrap a subject's key with the newest key; returns that key's id and the wrapped key."""
        kek, sealed = self.seal(key, _identity(subject, who))
        return kek, _BOUND + sealed

    def wrap_unbound(self, subject: bytes, key: bytes) -> tuple[str, bytes]:
        """As former versions wrapped: only while they still run beside this one."""
        return self.seal(key, subject)

    def unwrap(
        self,
        subject: bytes,
        who: Relationship,
        kek: str,
        wrapped: bytes,
        *,
        unbound_opens: bool = False,
    ) -> bytes:
        """The subject's key. `unbound_opens` is what the database says of former wrappings.

        Raises `SealBroken` when the keyring lacks `kek`, when the wrapped key was altered, or when
        it belongs to another subject or relationship.
        """
        if is_bound(wrapped):
            return self.open(kek, wrapped[1:], _identity(subject, who))
        if unbound_opens:
            return self.open(kek, wrapped, subject)
        raise SealBroken("A fan's key is not bound to its relationship.", hint=_UNBOUND)

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
        return self.derived(purpose)[-1]

    def derived(self, purpose: bytes) -> list[bytes]:
        """The same from each key, the newest first: what was made before a key was retired may be
        met after it."""
        return [
            blake2b(key=key, person=purpose, digest_size=KEY_BYTES).digest()
            for key in self._keys.values()
        ]


def is_bound(wrapped: bytes) -> bool:
    """Whether a wrapped key is of the form that names its relationship."""
    return len(wrapped) == BOUND_BYTES and wrapped[:1] == _BOUND


def _identity(subject: bytes, who: Relationship) -> bytes:
    """What a wrapped key is bound to. Ids hold no control characters, so NUL parts them."""
    named = "\0".join(who).encode()
    return b"subject key\0" + subject + blake2b(named, digest_size=32).digest()
