"""The public keys of whoever issues tokens: a JWKS (RFC 7517) that is fetched in the background.

Kept for `KEPT_SECONDS`, then fetched again. A token that names a key which we have not seen has it
fetched at once, for everybody who waits, but not more than once in `LOOK_SECONDS`, whatever
strangers send. While the issuer is away the keys that we have serve on, for `STALE_SECONDS_MAX`.

Only what may sign is taken: RSA of 2048 bits and more for RS256, P-256 for ES256, Ed25519 for
EdDSA. A secret in it (`oct`) is none: whoever can read the address could sign with it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from infra.retry import outage, worth_saying
from infra.web import Unfetched, fetch

KEPT_SECONDS: Final = 300.0
LOOK_SECONDS: Final = 30.0
STALE_SECONDS_MAX: Final = 86_400.0
BYTES_MAX: Final = 262_144
KEYS_MAX: Final = 100
KID_LENGTH_MAX: Final = 255
RSA_BITS_MIN: Final = 2048
WAITING_MAX: Final = 256
"""Requests that wait for keys to be fetched; more are answered without."""
RETRY: Final = outage(LOOK_SECONDS)

Fetch = Callable[[str, int], Awaitable[bytes]]

_PUBLIC: Final = ("kty", "crv", "n", "e", "x", "y")
"""Of a key: what else it has, a private part for one, is not looked at."""
_ALIASES: Final = {"EdDSA": "Ed25519"}
"""RFC 9864's name of the same."""

log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class UnknownKey(Exception):
    """A token names a key that we have not seen."""


class IssuerKeys:
    """Belongs to one event loop; `start` it and `close` it there."""

    def __init__(
        self,
        url: str,
        changed: Callable[[], None],
        *,
        get: Fetch = fetch,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`changed` is called when a key has gone or another one has taken its name."""
        self._url = url
        self._changed = changed
        self._get = get
        self._clock = clock
        self._keys: dict[str, tuple[str, Key]] = {}
        self._fetched_at = -STALE_SECONDS_MAX
        self._looked_at = -LOOK_SECONDS
        self._waiting = 0
        self._fetching: asyncio.Task[bool] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        tasks = [task for task in (self._task, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def known(self) -> bool:
        """Whether there are keys that may be used."""
        return bool(self._keys) and self._clock() - self._fetched_at <= STALE_SECONDS_MAX

    def key(self, kid: str | None) -> tuple[str, Key]:
        """(algorithm, key) of that name, or of the only one there is; raises `UnknownKey`."""
        if self.known:
            if kid is None and len(self._keys) == 1:
                return next(iter(self._keys.values()))
            found = self._keys.get(kid) if kid is not None else None
            if found is not None:
                return found
        raise UnknownKey

    async def look(self) -> None:
        """Have a name looked for that we don't know, if it is time."""
        due = self._clock() - self._looked_at >= LOOK_SECONDS
        if (self._fetching is None and not due) or self._waiting >= WAITING_MAX:
            return
        if self._fetching is None:
            self._looked_at = self._clock()
        self._waiting += 1
        try:
            await asyncio.shield(self._begin())
        finally:
            self._waiting -= 1

    async def _keep(self) -> None:
        failures = 0
        while True:
            failures = 0 if await asyncio.shield(self._begin()) else failures + 1
            if failures and worth_saying(failures):
                log.warning("the keys of tokens can't be fetched", extra={"count": failures})
            await asyncio.sleep(RETRY.seconds(failures) if failures else KEPT_SECONDS)

    def _begin(self) -> "asyncio.Task[bool]":
        """One fetch for everybody who waits."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> bool:
        try:
            keys = keys_of(await self._get(self._url, BYTES_MAX))
        except Unfetched:
            return False
        finally:
            self._fetching = None
        if not keys:
            return False  # nobody means to lock everybody out
        before, self._keys = self._keys, keys
        self._fetched_at = self._clock()
        if any(name not in keys or not _same(key, keys[name]) for name, key in before.items()):
            self._changed()
        return True


def keys_of(document: bytes) -> dict[str, tuple[str, Key]]:
    """(algorithm, key) by name, of those that may sign tokens. Nothing for what is no JWKS."""
    try:
        listed = _decode(document).get("keys")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    found: dict[str, tuple[str, Key]] = {}
    for one in listed[:KEYS_MAX] if isinstance(listed, list) else ():
        key = _usable(one)
        if key is not None:
            found[one.get("kid", "")] = key
    return found


def _usable(listed: Any) -> tuple[str, Key] | None:
    if not isinstance(listed, Mapping) or listed.get("use", "sig") != "sig":
        return None
    kid = listed.get("kid", "")
    if not isinstance(kid, str) or len(kid) > KID_LENGTH_MAX:
        return None
    if "verify" not in listed.get("key_ops", ("verify",)):
        return None
    public = {name: listed[name] for name in _PUBLIC if name in listed}
    try:
        found = _imported(public)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if found is None or listed.get("alg", found[0]) not in (found[0], _ALIASES.get(found[0])):
        return None
    return found


def _imported(public: dict[str, Any]) -> tuple[str, Key] | None:
    if public["kty"] == "RSA":
        rsa = RSAKey.import_key(public)
        return ("RS256", rsa) if rsa.public_key.key_size >= RSA_BITS_MIN else None
    if public["kty"] == "EC" and public["crv"] == "P-256":
        return "ES256", ECKey.import_key(public)
    if public["kty"] == "OKP" and public["crv"] == "Ed25519":
        return "EdDSA", OKPKey.import_key(public)
    return None


def _same(one: tuple[str, Key], other: tuple[str, Key]) -> bool:
    return one[0] == other[0] and one[1].thumbprint() == other[1].thumbprint()
