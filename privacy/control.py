"""Signing control records: an HMAC under a key of the keyring's, over the record's key and value.

Whoever may write to `interactions` can copy a signed record, but not make one, nor give it another
key. A copy changes nothing, because an order counts once (`stores.erasure`).
"""

import hmac
from collections.abc import Iterable
from typing import Final

from privacy.keys import Keyring
from schemas.control import HEADER

_PURPOSE: Final = b"control record"


class ControlSigner:
    """Signs and proves with one keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keys = keyring.derived(_PURPOSE)

    def header(self, key: bytes, value: bytes) -> tuple[str, bytes]:
        """What goes along with a control record."""
        return HEADER, _signature(self._keys[-1], key, value)

    def proves(self, headers: Iterable[tuple[str, bytes]], key: bytes, value: bytes) -> bool:
        """Whether one of these proves the record; a key that was retired since proves nothing."""
        return any(
            hmac.compare_digest(_signature(one, key, value), signature)
            for name, signature in headers
            if name == HEADER
            for one in self._keys
        )


def is_control(headers: Iterable[tuple[str, bytes]]) -> bool:
    """Whether a record wants to be an order."""
    return any(name == HEADER for name, _ in headers)


def _signature(secret: bytes, key: bytes, value: bytes) -> bytes:
    length = len(key).to_bytes(4, "big")
    return hmac.digest(secret, length + key + value, "sha256").hex().encode()
