"""Wrappers: what seals a key under another key that it does not show.

Two of them. `LocalWrapper` has the key in memory: it wraps the keys of fans, 2 us each.
`VaultTransit` asks a key service, which never gives its key away: it wraps the key-encryption keys
themselves, so that a ring that was copied, with a backup of the settings, opens nothing without the
service. A process asks it once for each key when it starts; a fan's key would be a request at every
read.
"""

import base64
import binascii
import os
import re
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from infra.settings import Settings
from infra.tls import Files, client_context
from infra.web import Refused, Unfetched, post
from schemas.errors import KeyServiceUnavailable, Misconfigured, SealBroken

NONCE_BYTES: Final = 12
ANSWER_BYTES_MAX: Final = 65_536
PREFIX: Final = "FANMEMORY_KEY_SERVICE"
_transit: Final = re.compile(rb"vault:v[0-9]+:[A-Za-z0-9+/=]+").fullmatch


class Wrapper(Protocol):
    """Seals and opens few bytes, bound to a context: what is moved to another one opens nothing."""

    def wrap(self, plain: bytes, context: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Raises `SealBroken` when something was altered, or belongs to another key or context."""
        ...


class LocalWrapper:
    """AES-256-GCM: 12-byte random nonce, ciphertext, 16-byte tag."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def wrap(self, plain: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        try:
            return self._cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):  # ValueError: too short for a nonce
            raise SealBroken from None


class VaultTransit:
    """The transit engine of Vault, or of what speaks like it: `encrypt` and `decrypt` by HTTP.

    What is wrapped is its own text, `vault:v1:…`. The context travels as `associated_data`, so the
    key has to be of an authenticating type, as `aes256-gcm96` is, Vault's default. Both raise
    `KeyServiceUnavailable` when nobody answers, and `Misconfigured` when the token may not.
    """

    def __init__(self, url: str, token: str, key: str, ca_file: str = "") -> None:
        """`url` ends with the engine's path: `https://vault:8200/v1/transit`."""
        self._url = url.rstrip("/")
        self._token = token
        self._key = quote(key, safe="")
        secure = url.startswith("https://")
        self._tls = client_context(Files(PREFIX, ca=ca_file)) if secure else None

    @classmethod
    def of(cls, settings: Settings) -> "VaultTransit | None":
        """The one that the settings name, if they do."""
        if not settings.key_service_url:
            return None
        return cls(
            settings.key_service_url,
            settings.key_service_token.get_secret_value(),
            settings.key_service_key,
            settings.key_service_ca_file,
        )

    def wrap(self, plain: bytes, context: bytes) -> bytes:
        wrapped = self._ask("encrypt", "ciphertext", plaintext=_text(plain), context=context)
        if _transit(wrapped.encode()) is None:
            raise KeyServiceUnavailable("The key service answers with no ciphertext.")
        return wrapped.encode()

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        if _transit(wrapped) is None:
            raise SealBroken
        try:
            plain = self._ask("decrypt", "plaintext", ciphertext=wrapped.decode(), context=context)
            return base64.b64decode(plain, validate=True)
        except binascii.Error:
            raise SealBroken from None

    def _ask(self, action: str, field: str, *, context: bytes, **given: str) -> str:
        body = msgspec.json.encode(given | {"associated_data": _text(context)})
        url = f"{self._url}/{action}/{self._key}"
        headers = {"X-Vault-Token": self._token, "Content-Type": "application/json"}
        try:
            answer = post(url, body, headers, ANSWER_BYTES_MAX, self._tls)
        except Refused as refused:
            if refused.status in (401, 403, 404):
                raise Misconfigured(
                    f"The key service refused {action}: {refused.status}.",
                    hint=f"Check {PREFIX}_TOKEN, its policy, {PREFIX}_KEY and the path in"
                    f" {PREFIX}_URL.",
                ) from None
            if refused.status == 400:
                raise SealBroken("The key service can't open this.") from None
            raise KeyServiceUnavailable from None
        except Unfetched:
            raise KeyServiceUnavailable from None
        try:
            found: str = _decode(answer).data[field]
        except (msgspec.MsgspecError, KeyError):
            raise KeyServiceUnavailable("The key service answers something else.") from None
        return found


class _Answer(msgspec.Struct):
    data: dict[str, Any]


_decode: Final = msgspec.json.Decoder(_Answer).decode


def _text(plain: bytes) -> str:
    return base64.b64encode(plain).decode("ascii")
