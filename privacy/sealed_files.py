"""Files that only a keyring opens: what a backup is made of.

A backup has a key of its own, wrapped under the newest key of the ring; each of its files has a key
that is derived from it and the file's name, so that none can stand in for another. A file is a
sequence of chunks: length (4 bytes, big-endian) and AES-256-GCM of up to 1 MiB, compressed by zstd.
The nonce counts the chunks, and its last byte says which is the last one: a chunk that is altered,
missing, moved, or cut off with all behind it opens nothing (the STREAM construction of Hoang,
Reyhanitabar, Rogaway and Vizár, 2015).
"""

import hashlib
import hmac
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

import cramjam
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.keys import KEY_BYTES, Keyring
from schemas.errors import SealBroken

CHUNK_BYTES: Final = 1_048_576
LEVEL: Final = 1
"""Of zstd. Sealed bodies are as good as random, and written as hexadecimal half as large."""
SEALED_BYTES_MAX: Final = CHUNK_BYTES + 65_536
_LENGTH: Final = struct.Struct(">I")
_NONCE: Final = struct.Struct(">3xQB")
_DAMAGED: Final = "A file of the backup was altered, or ends too early."


def file_key(key: bytes, name: str) -> bytes:
    """The key of one file of the backup that has `key`."""
    return hashlib.blake2b(
        name.encode(), key=key, person=b"file of backup", digest_size=KEY_BYTES
    ).digest()


def proof(key: bytes, text: bytes) -> str:
    """What only who has the backup's key can write beside `text`, in hexadecimal."""
    return hmac.new(file_key(key, "proof"), text, hashlib.sha256).hexdigest()


def wrap(keyring: Keyring, key: bytes, backup: str) -> tuple[str, bytes]:
    """The key that wraps, and the backup's own key as it may lie beside its files."""
    return keyring.seal(key, _context(backup))


def unwrap(keyring: Keyring, kek: str, wrapped: bytes, backup: str) -> bytes:
    """The reverse; raises `SealBroken`."""
    return keyring.open(kek, wrapped, _context(backup))


def _context(backup: str) -> bytes:
    return b"key of a backup\0" + backup.encode()


class SealedWriter:
    """Seals what is written into a file; only `close` makes it whole."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        self._file = file
        self._cipher = AESGCM(key)
        self._pending = bytearray()
        self._chunks = 0
        self._sum = hashlib.sha256()
        self.size = 0
        """Bytes of the file until now."""

    @property
    def digest(self) -> str:
        """SHA-256 of the file until now."""
        return self._sum.hexdigest()

    def write(self, plain: bytes) -> None:
        """Raises `OSError` where there is no room."""
        self._pending += plain
        while len(self._pending) > CHUNK_BYTES:
            self._put(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]

    def close(self) -> None:
        self._put(bytes(self._pending), last=True)
        self._pending.clear()

    def _put(self, plain: bytes, *, last: bool) -> None:
        packed = bytes(cramjam.zstd.compress(plain, level=LEVEL))
        sealed = self._cipher.encrypt(_NONCE.pack(self._chunks, last), packed, None)
        self._chunks += 1
        for part in (_LENGTH.pack(len(sealed)), sealed):
            self._file.write(part)
            self._sum.update(part)
            self.size += len(part)


def opened(file: BinaryIO, key: bytes) -> Iterator[bytes]:
    """What was written, in pieces; raises `SealBroken` at the first that is not as it was."""
    cipher = AESGCM(key)
    chunks, last = 0, False
    while not last:
        header = file.read(_LENGTH.size)
        if len(header) < _LENGTH.size:
            raise SealBroken(_DAMAGED)
        (length,) = _LENGTH.unpack(header)
        sealed = file.read(length) if length <= SEALED_BYTES_MAX else b""
        try:
            packed = cipher.decrypt(_NONCE.pack(chunks, False), sealed, None)
        except InvalidTag:
            try:
                packed = cipher.decrypt(_NONCE.pack(chunks, True), sealed, None)
            except InvalidTag:
                raise SealBroken(_DAMAGED) from None
            last = True
        chunks += 1
        yield bytes(cramjam.zstd.decompress(packed))
    if file.read(1):
        raise SealBroken(_DAMAGED)
