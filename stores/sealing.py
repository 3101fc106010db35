"""States as Postgres keeps them: the one place that seals and opens their documents.

Sealed with the fan's own key, like the messages, so that who destroys the key destroys the state,
in every backup too. It opens as that fan's only, in that generation, as of those views: what was
copied to another fan or another build opens nothing. It is not bound to its version, which stands
beside it: whoever can write the row can put back an older one of both, and `fanmemory verify` names
that, while `accept-loss` lowers versions of fans whose states it has no reason to open.

1.5 us to seal and 1.1 us to open, and 28 bytes (`fanmemory bench fold`).
"""

from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.seal import seal, unseal
from views.state import STORED_AS, VIEW_VERSION

_STATE: Final = b"stored state"


@lru_cache(maxsize=64)
def _place(generation: int, views: str) -> bytes:
    return b"%d %b" % (generation, views.encode())


def seal_state(
    cipher: AESGCM, subject: bytes, generation: int, document: bytes, nonce: bytes | None = None
) -> bytes:
    """A state's document as it is stored; `nonce` is one of `privacy.seal.nonces`."""
    return seal(cipher, document, _STATE, subject, _place(generation, VIEW_VERSION), nonce)


def open_state(
    cipher: AESGCM, subject: bytes, generation: int, stored: bytes, views: str = VIEW_VERSION
) -> bytes:
    """The document; `views` are those of the generation. Raises `SealBroken` when anything of it
    was altered, or it belongs to another fan, generation or version of the views."""
    return unseal(cipher, stored, _STATE, subject, _place(generation, views))


def are_sealed(views: str) -> bool:
    """Whether a generation of these views has its states sealed: those of former releases stand in
    clear, until `fanmemory rebuild --drop-old`."""
    return STORED_AS in views.split()
