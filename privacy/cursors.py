"""Cursors: where a list goes on, sealed, so that nobody can read one or make one up.

A cursor is bound to what it was made for: whoever sends it with another list, or with one bit of it
changed, is refused. It holds no id of a fan, and is no secret: it opens nothing but its own list.
"""

import base64
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.keys import Keyring
from privacy.wrappers import NONCE_BYTES
from schemas.errors import InvalidInput

LENGTH_MAX: Final = 512
_PURPOSE: Final = b"cursors"
_FIX: Final = "must be nextCursor of a page of the same list: begin again without it"


class Cursors:
    """Makes and opens them; every process with this keyring opens what another has made."""

    def __init__(self, keyring: Keyring) -> None:
        self._ciphers = [AESGCM(key) for key in keyring.derived(_PURPOSE)]
        """That which seals last."""

    def seal(self, place: bytes, bound_to: bytes) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._ciphers[-1].encrypt(nonce, place, bound_to)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, cursor: str, bound_to: bytes) -> bytes:
        """Raises `InvalidInput` for `cursor` unless it was sealed for the same."""
        if len(cursor) <= LENGTH_MAX:
            try:
                sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
            except ValueError:  # also for what is not ASCII
                sealed = b""
            # Of two spellings of the same bytes only ours is one that we have made.
            if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() == cursor:
                for cipher in reversed(self._ciphers):
                    try:
                        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
                    except (InvalidTag, ValueError):
                        continue
        raise InvalidInput("cursor", _FIX)
