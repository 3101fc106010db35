"""Keys: a random 256-bit key per subject, wrapped by a key-encryption key of the keyring.

Destroying the wrapped key destroys everything sealed with it. The keyring has ids so that it can
be rotated: the newest key wraps, every key in it still unwraps, and `stores.rotation` wraps all
again. A key of the ring can itself be wrapped by a key service (`privacy.wrappers`).

A wrapped key is bound to its subject and to the relationship that the subject stands for: what is
authenticated with it names both. A mapping that was swapped or renamed, in the database or in the
cache, therefore opens nothing, instead of one creator's fan for another. Layout: a byte 2, 12-byte
random nonce, ciphertext, 16-byte tag. Keys wrapped by former versions have no such first byte and
know their subject only; `fanmemory keys bind` binds them (`privacy.binding`).
"""

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

from infra.settings import Settings
from privacy.wrappers import NONCE_BYTES, LocalWrapper, VaultTransit, Wrapper
from schemas.errors import Misconfigured, SealBroken
from schemas.relationship import Relationship

KEY_BYTES: Final = 32
_UNBOUND: Final = (
    "All keys were bound before: this one was put back from an older copy. Run `fanmemory verify`."
)
_BOUND: Final = b"\x02"
_TAG_BYTES: Final = 16
BOUND_BYTES: Final = len(_BOUND) + NONCE_BYTES + KEY_BYTES + _TAG_BYTES
"""Length of a bound wrapped key: by it the database tells them from unbound ones."""

Use = Literal["wraps", "opens", "derives"]
_MARKS: Final[dict[str, Use]] = {"+": "opens", "=": "derives"}
_SERVICE: Final = "vault:"
_FORM: Final = (
    "The keyring must be `id:base64` of 32 bytes, or `id:vault:…`, several separated by commas."
)


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a ring, as it is written there; `repr` does not show it."""

    id: str
    use: Use
    """`wraps`: it can be the newest. `opens`, written `+id:…`: nothing is wrapped with it yet.
    `derives`, written `=id:…`: what is left of a retired key, which opens nothing."""
    text: str

    def __repr__(self) -> str:
        return f"Entry({self.id!r}, {self.use!r}, …)"

    def __str__(self) -> str:
        mark = {use: mark for mark, use in _MARKS.items()}.get(self.use, "")
        return f"{mark}{self.id}:{self.text}"

    @property
    def by_service(self) -> bool:
        return self.text.startswith(_SERVICE)

    def key(self, service: Wrapper | None) -> bytes:
        """Raises `Misconfigured`, which never repeats the text, `SealBroken`, and what the service
        raises."""
        if not self.by_service:
            return base64.b64decode(self.text)
        if service is None:
            raise Misconfigured(
                f"Key {self.id} of the keyring is wrapped by a key service, and none is set.",
                hint="Set FANMEMORY_KEY_SERVICE_URL and FANMEMORY_KEY_SERVICE_TOKEN.",
            )
        key = service.unwrap(self.text.encode(), _ring_context(self.id))
        if len(key) != KEY_BYTES:
            raise SealBroken
        return key


def parse_ring(text: str) -> list[Entry]:
    """The entries of a ring, newest first; raises `Misconfigured`, which never repeats the text."""
    entries: list[Entry] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        use = _MARKS.get(part[0], "wraps")
        name, _, key = part.removeprefix(part[0] if use != "wraps" else "").partition(":")
        if not name or len(name) > 64 or not _is_key(key):
            raise Misconfigured(_FORM)
        entries = [entry for entry in entries if entry.id != name]
        entries.append(Entry(name, use, key))
    if not any(entry.use == "wraps" for entry in entries):
        raise Misconfigured("The keyring is empty: set FANMEMORY_KEYRING.")
    return entries


def newest_of(entries: Iterable[Entry]) -> str:
    """The id of the key that wraps."""
    return next(entry.id for entry in entries if entry.use == "wraps")


def _is_key(text: str) -> bool:
    if text.startswith(_SERVICE):
        return text.isascii()
    try:
        return len(base64.b64decode(text, validate=True)) == KEY_BYTES
    except ValueError:  # also for what is not ASCII
        return False


def new_entry(id: str, service: Wrapper | None = None) -> Entry:
    """A fresh key for a ring; with a service, only that can open it."""
    key = new_key()
    if service is not None:
        return Entry(id, "wraps", service.wrap(key, _ring_context(id)).decode())
    return Entry(id, "wraps", base64.b64encode(key).decode())


def without(entries: Iterable[Entry], id: str, service: Wrapper | None) -> list[Entry]:
    """A ring without a retired key. Of the oldest what others are derived from stays: it can't be
    turned back into the key."""
    kept = list(entries)
    deriving = [entry for entry in kept if entry.use != "opens"]
    if deriving and deriving[-1].id == id and deriving[-1].use == "wraps":
        root = base64.b64encode(_root(deriving[-1].key(service))).decode()
        kept.append(Entry(id + "-names", "derives", root))
    return [entry for entry in kept if entry.id != id]


def _ring_context(id: str) -> bytes:
    return b"key of a ring\0" + id.encode()


def _root(key: bytes) -> bytes:
    return blake2b(key=key, person=b"root of derived", digest_size=KEY_BYTES).digest()


class Keyring:
    """The key-encryption keys, newest first."""

    def __init__(self, entries: Iterable[Entry], service: Wrapper | None = None) -> None:
        """Of `parse_ring`. Raises `Misconfigured`, and for a key service what that raises."""
        entries = list(entries)
        self.newest = newest_of(entries)
        keys = {entry.id: entry.key(service) for entry in entries}
        self._wrappers = {
            entry.id: LocalWrapper(keys[entry.id]) for entry in entries if entry.use != "derives"
        }
        # What only opens is never the oldest, wherever it stands.
        entries.sort(key=lambda entry: entry.use != "opens")
        self._roots = [
            keys[entry.id] if entry.use == "derives" else _root(keys[entry.id]) for entry in entries
        ]

    @classmethod
    def of(cls, settings: Settings) -> "Keyring":
        """The one that the settings name, opened.

        Raises `Misconfigured`, and `KeyServiceUnavailable` when a key service has to be asked.
        """
        text = settings.keyring.get_secret_value()
        return cls(parse_ring(text), VaultTransit.of(settings))

    @classmethod
    def parse(cls, text: str, service: Wrapper | None = None) -> "Keyring":
        """Of `id:base64,id:base64`; raises `Misconfigured`, which never repeats the text."""
        return cls(parse_ring(text), service)

    @property
    def names(self) -> frozenset[str]:
        """The ids of the keys in it that open something."""
        return frozenset(self._wrappers)

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
        return self.newest, self._wrappers[self.newest].wrap(plain, context)

    def open(self, kek: str, sealed: bytes, context: bytes) -> bytes:
        """Raises `SealBroken` when the keyring lacks `kek` or something was altered."""
        wrapper = self._wrappers.get(kek)
        if wrapper is None:
            raise SealBroken("The keyring lacks the key that this was sealed under.")
        return wrapper.unwrap(sealed, context)

    def derive(self, purpose: bytes) -> bytes:
        """A key for one purpose (at most 16 bytes long), from the oldest key.

        The oldest, because what is derived (names in the cache) should survive a rotation; and
        after that key was retired, from what is left of it in the ring.
        """
        return self.derived(purpose)[-1]

    def derived(self, purpose: bytes) -> list[bytes]:
        """The same from each key, that of `derive` last: what was made before a key was retired may
        be met after it."""
        return [
            blake2b(key=root, person=purpose, digest_size=KEY_BYTES).digest()
            for root in self._roots
        ]


def is_bound(wrapped: bytes) -> bool:
    """Whether a wrapped key is of the form that names its relationship."""
    return len(wrapped) == BOUND_BYTES and wrapped[:1] == _BOUND


def _identity(subject: bytes, who: Relationship) -> bytes:
    """What a wrapped key is bound to. Ids hold no control characters, so NUL parts them."""
    named = "\0".join(who).encode()
    return b"subject key\0" + subject + blake2b(named, digest_size=32).digest()
