"""Tickets: what a browser opens a stream with, since its EventSource can send no header.

A ticket says who asks, what for and until when their token is good, sealed under a key that all API
processes derive from the keyring. So nothing of it is kept; only that it was used is: in Redis, as
the one token of a bucket that takes a minute to fill. While Redis is away no ticket is taken.
"""

import base64
import binascii
import os
import time
from collections.abc import Callable, Container
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from api.auth import Principal
from infra.breaker import Guard
from privacy.keys import Keyring
from privacy.wrappers import NONCE_BYTES
from schemas.errors import Unauthenticated
from stores.cache import Cache
from stores.revocations import Issued

SECONDS: Final = 60
LENGTH_MAX: Final = 8_192
"""Three names of 255 characters take 4 KiB at the most."""
_PURPOSE: Final = b"stream ticket"
_ID_BYTES: Final = 16


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed."""

    id: bytes
    user_id: str
    creator_id: str
    fan_id: str | None
    expires: float
    """The ticket, seconds since the epoch."""
    token_expires: float
    token_issued: Issued | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Ticket).decode


class Tickets:
    """Issues and takes them."""

    def __init__(
        self,
        keyring: Keyring,
        cache: Cache,
        guard: Guard,
        revoked: Container[Issued],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`guard` is the cache's."""
        self._ciphers = [AESGCM(key) for key in keyring.derived(_PURPOSE)]
        self._cache = cache
        self._guard = guard
        self._revoked = revoked
        self._clock = clock

    def issue(self, principal: Principal, creator_id: str, fan_id: str | None) -> tuple[str, float]:
        """A new ticket, and when it ends: with the token, if that is sooner."""
        expires = min(self._clock() + SECONDS, principal.expires)
        ticket = Ticket(
            os.urandom(_ID_BYTES),
            principal.user_id,
            creator_id,
            fan_id,
            expires,
            principal.expires,
            principal.issued,
        )
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._ciphers[-1].encrypt(nonce, _encode(ticket), _PURPOSE)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode(), expires

    async def take(self, text: str) -> tuple[Principal, str | None]:
        """Who asks, and for which fan only. Raises `Unauthenticated` for what is no ticket, too old
        or used; `CacheUnavailable` when that can't be told."""
        ticket = self._open(text)
        if self._clock() >= ticket.expires or ticket.token_issued in self._revoked:
            raise Unauthenticated
        taken, _ = await self._guard.call(
            lambda: self._cache.take(f"ticket\0{ticket.id.hex()}", 1, SECONDS, 1)
        )
        if not taken:
            raise Unauthenticated
        scopes = frozenset(("memory:read",))
        principal = Principal(
            ticket.user_id,
            ticket.creator_id,
            ticket.token_expires,
            scopes,
            issued=ticket.token_issued,
        )
        return principal, ticket.fan_id

    def _open(self, text: str) -> Ticket:
        if len(text) > LENGTH_MAX:
            raise Unauthenticated
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            raise Unauthenticated from None
        for cipher in self._ciphers:
            try:
                return _decode(cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _PURPOSE))
            except (InvalidTag, ValueError, msgspec.DecodeError):
                continue
        raise Unauthenticated
