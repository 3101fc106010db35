"""Receipts: signed with Ed25519 over canonical JSON (RFC 8785), checked with a public key alone.

Everything that is told stands in what is signed, the algorithm and the key's id too, and what does
not belong there is refused: whatever of a receipt is altered, the check fails.
"""

import base64
import binascii
import os
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from infra.settings import Settings
from schemas.errors import InvalidInput, Misconfigured
from schemas.receipts import ALGORITHM, Receipt, ReceiptKey, ReceiptKeys, SignedReceipt

SEED_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64


def new_seed() -> str:
    """A fresh private key, as it is written in the settings."""
    return base64.b64encode(os.urandom(SEED_BYTES)).decode()


class Signer:
    """The private keys of the settings: the first signs, all are published."""

    def __init__(self, text: str) -> None:
        """Raises `Misconfigured`, which never repeats the text."""
        seeds = [part.strip() for part in text.split(",") if part.strip()]
        if not seeds:
            raise Misconfigured(
                "There is no key for receipts.",
                hint="Set FANMEMORY_RECEIPT_KEY to 32 random bytes in base64; `fanmemory up` makes"
                " one for development.",
            )
        self._keys = [_private(seed) for seed in seeds]
        self.public = ReceiptKeys([_public(key) for key in self._keys])

    @classmethod
    def of(cls, settings: Settings) -> "Signer":
        """Made once in a process: deriving the public keys costs more than a signature."""
        return _made(settings.receipt_key.get_secret_value())

    @property
    def key_id(self) -> str:
        """Of the key that signs."""
        return self.public.keys[0].key_id

    def sign(self, receipt: Receipt) -> SignedReceipt:
        signature = self._keys[0].sign(canonical(receipt))
        return SignedReceipt(receipt, base64.b64encode(signature).decode())


@lru_cache(maxsize=4)
def _made(text: str) -> Signer:
    return Signer(text)


def canonical(receipt: Receipt) -> bytes:
    """The bytes that are signed."""
    return rfc8785.dumps(msgspec.to_builtins(receipt))


def read_receipt(text: bytes) -> SignedReceipt:
    """Raises `InvalidInput` for what is no receipt, or holds more than one does."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("$", "is no receipt") from None


def verify(signed: SignedReceipt, keys: Iterable[ReceiptKey]) -> bool:
    """Whether one of these keys has signed exactly this. Needs nothing else, and no network."""
    receipt = signed.receipt
    for key in keys:
        if key.key_id != receipt.key_id or key.algorithm != receipt.algorithm:
            continue
        try:
            raw = base64.b64decode(key.public_key, validate=True)
            signature = base64.b64decode(signed.signature, validate=True)
            if len(signature) != _SIGNATURE_BYTES or _key_id(raw) != key.key_id:
                continue
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, canonical(receipt))
        except (binascii.Error, ValueError, InvalidSignature):
            continue
        # Base64 has spare bits: the same signature is to have one spelling.
        return base64.b64encode(signature).decode() == signed.signature
    return False


def _private(seed: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(seed, validate=True))
    except ValueError:  # also of base64
        raise Misconfigured("FANMEMORY_RECEIPT_KEY must be 32 bytes in base64.") from None


def _public(key: Ed25519PrivateKey) -> ReceiptKey:
    raw = key.public_key().public_bytes_raw()
    return ReceiptKey(_key_id(raw), ALGORITHM, base64.b64encode(raw).decode())


def _key_id(raw: bytes) -> str:
    return blake2b(raw, digest_size=8, person=b"receipt key").hexdigest()


_decode: Final = msgspec.json.Decoder(SignedReceipt).decode
