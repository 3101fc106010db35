"""The ways in which platforms sign. Each gives the reason why a delivery is refused, or None."""

import base64
import hmac
import re
from collections.abc import Mapping
from typing import Final

OLD_MS_MAX: Final = 5 * 60 * 1000
"""How far a signed time may lie from now: what Stripe and Svix advise."""

MISSING: Final = "is not signed"
WRONG: Final = "is signed by another secret, or was changed on the way"
OLD: Final = "was signed too long ago, or too far ahead"

_SIGNATURES_MAX: Final = 16
_epoch = re.compile(r"\d{1,15}").fullmatch


def hexadecimal(
    sent: str | None, body: bytes, secret: str, digest: str = "sha256", prefix: str = ""
) -> str | None:
    """HMAC of the body in hexadecimal."""
    if not sent:
        return MISSING
    if not secret or not sent.startswith(prefix):
        return WRONG
    return None if _same(sent.removeprefix(prefix), _hex(secret.encode(), body, digest)) else WRONG


def timed(sent: str | None, body: bytes, secret: str, now: int) -> str | None:
    """Stripe's: `t=seconds,v1=hexadecimal`, where `seconds.body` is signed; one of several v1."""
    if not sent:
        return MISSING
    parts = [part.strip().partition("=") for part in sent.split(",")[:_SIGNATURES_MAX]]
    stamp = next((value for name, _, value in parts if name == "t"), "")
    if not secret or not _epoch(stamp):
        return WRONG
    expected = _hex(secret.encode(), stamp.encode() + b"." + body)
    if not any(_same(value, expected) for name, _, value in parts if name == "v1"):
        return WRONG
    return None if _in_time(stamp, now) else OLD


def svix(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    """Svix's and Standard Webhooks': `id.seconds.body` is signed, in base64 behind `v1,`."""
    found = {
        name: headers.get(f"svix-{name}") or headers.get(f"webhook-{name}") or ""
        for name in ("id", "timestamp", "signature")
    }
    if not found["signature"]:
        return MISSING
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:  # also for what is not ASCII
        return WRONG
    if not key or not _epoch(found["timestamp"]):
        return WRONG
    signed = b".".join((found["id"].encode(), found["timestamp"].encode(), body))
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    sent = found["signature"].split()[:_SIGNATURES_MAX]
    if not any(_same(one.removeprefix("v1,"), expected) for one in sent if one[:3] == "v1,"):
        return WRONG
    return None if _in_time(found["timestamp"], now) else OLD


def token(sent: str | None, secret: str) -> str | None:
    """A secret that stands in the delivery itself."""
    if not sent:
        return MISSING
    return None if secret and _same(sent, secret) else WRONG


def _hex(key: bytes, body: bytes, digest: str = "sha256") -> str:
    return hmac.digest(key, body, digest).hex()


def _same(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode(), expected.encode())


def _in_time(stamp: str, now: int) -> bool:
    return abs(now - int(stamp) * 1000) <= OLD_MS_MAX
