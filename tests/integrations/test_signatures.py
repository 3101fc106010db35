"""Who may post: each platform's own signature, one changed byte, another secret, an old time."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from integrations.platforms import PLATFORMS
from integrations.signatures import MISSING, OLD, WRONG

NOW = 1_795_200_000_000
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes, so").decode()
BODY = b'{"type": "charge.succeeded", "verification_token": "' + SECRET.encode() + b'"}'

Signed = tuple[dict[str, str], bytes]


def hexadecimal(secret: str, body: bytes, digest: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, digest).hexdigest()


def signature(secret: str, at: int) -> Signed:
    return {"signature": hexadecimal(secret, BODY)}, BODY


def svix(secret: str, at: int) -> Signed:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b"msg_1." + str(at // 1000).encode() + b"." + BODY
    sent = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    stamp = {"svix-id": "msg_1", "svix-timestamp": str(at // 1000)}
    return stamp | {"svix-signature": f"v1,AAAA v1,{sent}"}, BODY


def like_stripe(header: str) -> Callable[[str, int], Signed]:
    def sign(secret: str, at: int) -> Signed:
        sent = hexadecimal(secret, str(at // 1000).encode() + b"." + BODY)
        return {header: f"t={at // 1000},v1={'0' * 64},v1={sent},v0=ff"}, BODY

    return sign


def patreon(secret: str, at: int) -> Signed:
    return {"x-patreon-signature": hexadecimal(secret, BODY, "md5")}, BODY


def meta(secret: str, at: int) -> Signed:
    return {"x-hub-signature-256": "sha256=" + hexadecimal(secret, BODY)}, BODY


def kofi(secret: str, at: int) -> Signed:
    data = json.dumps({"type": "Donation", "verification_token": secret})
    return {}, urlencode({"data": data}).encode()


SIGNING = {
    "onlyfans": signature,
    "fansly": signature,
    "patreon": patreon,
    "instagram": meta,
    "kofi": kofi,
    "stripe": like_stripe("stripe-signature"),
    "streamlabs": like_stripe("x-fanmemory-signature"),
    "generic": like_stripe("x-fanmemory-signature"),
}
TIMED = {"stripe", "streamlabs", "generic"}
SCHEMES = [*SIGNING.items(), ("onlyfans", svix), ("fansly", svix)]


@pytest.mark.parametrize(("name", "sign"), SCHEMES)
def test_only_what_its_secret_signed_is_taken(
    name: str, sign: Callable[[str, int], Signed]
) -> None:
    verify = PLATFORMS[name].verify
    headers, body = sign(SECRET, NOW)
    assert verify(headers, body, SECRET, NOW) is None
    other = "whsec_" + base64.b64encode(b"another of thirty-two bytes, too").decode()
    assert verify(headers, body, other, NOW) == WRONG
    assert verify({}, b"{}", SECRET, NOW) == MISSING
    assert verify(headers, body, "", NOW) in (WRONG, MISSING), "no secret opens nothing"


@pytest.mark.parametrize(("name", "sign"), [one for one in SCHEMES if one[0] != "kofi"])
def test_one_changed_byte_is_noticed(name: str, sign: Callable[[str, int], Signed]) -> None:
    headers, body = sign(SECRET, NOW)
    for place in range(len(body)):
        changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert PLATFORMS[name].verify(headers, changed, SECRET, NOW) == WRONG


@pytest.mark.parametrize(("name", "sign"), SCHEMES)
def test_an_old_delivery_is_refused_where_its_time_is_signed(
    name: str, sign: Callable[[str, int], Signed]
) -> None:
    headers, body = sign(SECRET, NOW)
    timed = name in TIMED or sign is svix
    for later in (NOW + 301_000, NOW - 301_000):
        assert PLATFORMS[name].verify(headers, body, SECRET, later) == (OLD if timed else None)
    assert PLATFORMS[name].verify(headers, body, SECRET, NOW + 299_000) is None


@pytest.mark.parametrize("name", PLATFORMS)
def test_no_header_makes_it_raise(name: str) -> None:
    for sent in ("", "é", "t=,v1=", "t=٣,v1=x", "t=1", ",,,,", "v1," * 99, "sha256=", "\x00"):
        headers = dict.fromkeys(
            ("signature", "stripe-signature", "x-patreon-signature", "x-hub-signature-256",
             "x-fanmemory-signature", "svix-signature", "svix-timestamp", "svix-id"), sent,
        )  # fmt: skip
        for secret in ("whsec_not base64", "é", SECRET):
            assert PLATFORMS[name].verify(headers, b"\xff", secret, NOW) is not None


@pytest.mark.parametrize("name", ["telegram", "whatsapp"])
def test_what_only_exports_takes_no_delivery(name: str) -> None:
    assert PLATFORMS[name].verify({}, b"{}", SECRET, NOW) is not None
