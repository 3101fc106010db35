"""Tokens of an issuer: whose keys count, how they change, and what is forged."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from pydantic import SecretStr

from api.auth import Authenticator
from api.jwks import LOOK_SECONDS, STALE_SECONDS_MAX, IssuerKeys, UnknownKey, keys_of
from api.tokens import issue_token
from infra.settings import Settings
from infra.web import Unfetched, fetch
from ops.services.ports import free_port
from schemas.errors import Misconfigured, Unauthenticated
from tests.api.client import CREATOR, FAN, PREFIX, Client, running_api
from tests.clock import Clock

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa"})
SECRET = "s" * 32
BY_KEY: list[tuple[Key, str]] = [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA"), (ED, "Ed25519")]


def document(*keys: Key) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": "fanmemory", "aud": "fanmemory-api", "sub": "u1", "creatorId": CREATOR}
    return made | {"iat": now, "exp": now + 600} | changes


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def signed(key: Key, alg: str, kid: str | None = "", **changes: Any) -> str:
    header: dict[str, Any] = {"alg": alg}
    if kid is not None:
        header["kid"] = kid or key.kid
    text = json.dumps(claims(**changes)).encode()
    return jws.serialize_compact(header, text, key, algorithms=[alg])


class Issuer:
    """Publishes keys on a real address; counts who asks."""

    def __init__(self) -> None:
        self.body = document(RSA, EC, ED)
        self.status = b"200 OK"
        self.more = b""
        self.asked = 0
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        writer.write(
            b"HTTP/1.1 %s\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s"
            % (self.status, self.more, len(self.body), self.body)
        )
        await writer.drain()
        writer.close()


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    made = Issuer()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    async with server:
        yield made


def settings(url: str) -> Settings:
    return Settings(_env_file=None, jwt_jwks_url=url, jwt_secret=SecretStr(SECRET))


@asynccontextmanager
async def authenticating(issuer: Issuer) -> AsyncIterator[Authenticator]:
    made = Authenticator(settings(issuer.url))
    made.start()
    assert made.issuer is not None
    async with asyncio.timeout(30):
        while not made.issuer.known:
            await asyncio.sleep(0.005)
    yield made
    await made.close()


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_a_token_of_each_kind_of_key_is_accepted() -> None:
    async with issuing() as issuer, authenticating(issuer) as auth:
        for key, alg in BY_KEY:
            principal = auth.authenticate(f"Bearer {signed(key, alg, scope='memory:read')}")
            assert (principal.user_id, principal.creator_id) == ("u1", CREATOR)
            assert principal.scopes == {"memory:read"}


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def hs256(secret: bytes, header: dict[str, Any] | None = None) -> str:
    """By hand: no library signs with what it takes for a public key."""
    text = f"{part(header or {'alg': 'HS256', 'kid': 'rsa'})}.{part(claims())}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"


def forged() -> list[str]:
    """None of these was signed with a key that was published for it."""
    public = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    good = signed(RSA, "RS256")
    head, body, signature = good.split(".")
    other = part(claims(creatorId="creator_other"))
    tokens = [
        signed(STRANGER, "RS256"),
        signed(STRANGER, "RS256", "nobody"),
        signed(STRANGER, "RS256", None),
        signed(ECKey.generate_key("P-256"), "ES256", "ec"),
        signed(ECKey.generate_key("P-256"), "ES256", "rsa"),
        signed(EC, "ES256", "rsa"),
        signed(RSA, "RS256", "ec"),
        signed(RSA, "RS256", None),
        *(hs256(secret) for secret in (SECRET.encode(), public, public.strip(), document(RSA))),
        hs256(str(RSA.as_dict(private=False)["n"]).encode()),
        hs256(SECRET.encode(), {"alg": "HS256"}),
        hs256(SECRET.encode(), {"alg": "RS256", "kid": "rsa"}),
        f"{head}.{other}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{part({'alg': 'none'})}.{body}.",
        f"{part({'alg': 'none', 'kid': 'rsa'})}.{body}.{signature}",
        f"{part({'alg': 'RS512', 'kid': 'rsa'})}.{body}.{signature}",
        f"{part({'alg': 'PS256', 'kid': 'rsa'})}.{body}.{signature}",
        f"{part({'kid': 'rsa'})}.{body}.{signature}",
        f"{part({'alg': ['RS256'], 'kid': 'rsa'})}.{body}.{signature}",
        f"{part({'alg': 'RS256', 'kid': ['rsa']})}.{body}.{signature}",
        f"{part({'alg': 'RS256', 'kid': {'a': 1}})}.{body}.{signature}",
        f"{part({'alg': 'RS256', 'kid': 'rsa', 'crit': ['x'], 'x': 1})}.{body}.{signature}",
        f"{part({'alg': 'RS256', 'kid': '../rsa'})}.{body}.{signature}",
        f"{part({'alg': 'RS256', 'jwk': STRANGER.as_dict(private=False)})}.{body}.{signature}",
        f"{part({'alg': 'RS256', 'jku': 'http://localhost/', 'kid': 'x'})}.{body}.{signature}",
        f"{part([])}.{body}.{signature}",
        f"{part(b'[' * 500)}.{body}.{signature}",
        f"{part(b'{')}.{body}.{signature}",
        f"{part(bytes(range(256)))}.{body}.{signature}",
        f".{body}.{signature}",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        "é.é.é",
        "=.=.=",
        signed(RSA, "RS256", iss="somebody"),
        signed(RSA, "RS256", aud="another"),
        signed(RSA, "RS256", exp=int(time.time()) - 1),
        signed(RSA, "RS256", exp=10**400),
        signed(RSA, "RS256", scope=7),
        signed(RSA, "RS256", sub=""),
    ]
    assert len(set(tokens)) >= 40
    return tokens


async def test_none_of_many_forged_tokens_is_accepted() -> None:
    async with issuing() as issuer, authenticating(issuer) as auth:
        assert auth.authenticate(f"Bearer {signed(RSA, 'RS256')}").creator_id == CREATOR
        for token in forged():
            with pytest.raises((Unauthenticated, UnknownKey)):
                auth.authenticate(f"Bearer {token}")
            with pytest.raises(Unauthenticated):
                await auth.authenticate_after_looking(f"Bearer {token}")
        assert issuer.asked <= 2, "whatever strangers send"


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_only_keys_that_may_sign_are_taken() -> None:
    def listed(key: Key, **more: Any) -> dict[str, Any]:
        return {**key.as_dict(private=False), **more}

    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
    refused = [
        listed(RSA, use="enc"),
        listed(RSA, alg="RS512"),
        listed(RSA, alg="HS256"),
        listed(RSA, key_ops=["encrypt"]),
        listed(RSA, kid=7),
        listed(RSA, kid="x" * 256),
        listed(RSA, n="!"),
        listed(EC, x=""),
        {"kty": "RSA", "kid": "a"},
        {"kty": "oct", "k": part(SECRET.encode()), "kid": "a"},
        {"kty": ["RSA"], "kid": "a"},
        {"kid": "a"},
        ECKey.generate_key("P-384", {"kid": "a"}).as_dict(private=False),
        OKPKey.generate_key("X25519", {"kid": "a"}).as_dict(private=False),
        RSAKey.import_key(small).as_dict(private=False) | {"kid": "a"},
        "RSA",
        None,
    ]
    taken = [listed(RSA, use="sig", alg="RS256", key_ops=["verify"]), listed(EC), listed(ED)]
    found = keys_of(json.dumps({"keys": refused + taken}).encode())
    assert {kid: alg for kid, (alg, _) in found.items()} == {
        "rsa": "RS256",
        "ec": "ES256",
        "ed": "EdDSA",
    }
    for nothing in (b"", b"{}", b"[]", b"\xff", b"[" * 10_000, b'{"keys": 7}', b'{"keys": {}}'):
        assert keys_of(nothing) == {}


class Published:
    """What a fetch gives, without a network: for what only time shows."""

    def __init__(self, *keys: Key) -> None:
        self.body: bytes | None = document(*keys)
        self.asked = 0
        self.changes = 0

    async def get(self, _url: str, _bytes_max: int) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.body is None:
            raise Unfetched
        return self.body

    def changed(self) -> None:
        self.changes += 1


async def test_an_unknown_key_is_looked_for_once_for_all_and_not_again_for_a_while() -> None:
    clock, published = Clock(1e6), Published(RSA)
    keys = IssuerKeys("u", published.changed, get=published.get, clock=clock)
    await asyncio.gather(*(keys.look() for _ in range(50)))
    assert (published.asked, keys.known) == (1, True)
    assert keys.key("rsa")[0] == "RS256"
    assert keys.key(None)[0] == "RS256", "there is only one"
    published.body = document(RSA, EC)
    clock.now += LOOK_SECONDS - 0.001
    await asyncio.gather(*(keys.look() for _ in range(50)))
    with pytest.raises(UnknownKey):
        keys.key("ec")
    clock.now += 0.001
    await asyncio.gather(*(keys.look() for _ in range(50)))
    assert published.asked == 2
    assert keys.key("ec")[0] == "ES256"
    with pytest.raises(UnknownKey):
        keys.key(None)
    assert published.changes == 0
    clock.now += LOOK_SECONDS
    published.body = document(EC)
    await keys.look()
    assert published.changes == 1, "what was verified by a key that has gone is to be forgotten"


async def test_old_keys_serve_while_the_issuer_is_away_but_not_for_ever() -> None:
    clock, published = Clock(1e6), Published(RSA)
    keys = IssuerKeys("u", published.changed, get=published.get, clock=clock)
    await keys.look()
    for gone in (None, b"{}", b'{"keys": []}', b"<html>"):
        published.body = gone
        clock.now += LOOK_SECONDS
        await keys.look()
        assert keys.key("rsa")[0] == "RS256"
    clock.now += STALE_SECONDS_MAX - 4 * LOOK_SECONDS
    assert keys.known
    clock.now += 1
    with pytest.raises(UnknownKey):
        keys.key("rsa")


async def test_a_document_is_fetched_only_from_where_it_was_said_to_be() -> None:
    async with issuing() as issuer:
        assert await fetch(issuer.url, 10_000) == issuer.body
        with pytest.raises(Unfetched):
            await fetch(issuer.url, len(issuer.body) - 1)
        issuer.status, issuer.more = b"302 Found", f"Location: {issuer.url}\r\n".encode()
        asked = issuer.asked
        with pytest.raises(Unfetched):
            await fetch(issuer.url, 10_000)
        assert issuer.asked == asked + 1
        issuer.status = b"500 Oops"
        with pytest.raises(Unfetched):
            await fetch(issuer.url, 10_000)
    with pytest.raises(Unfetched) as refused:
        await fetch(f"http://127.0.0.1:{free_port()}/secret", 10_000)
    assert "secret" not in str(refused.value)


def test_with_an_issuer_nobody_signs_here() -> None:
    with pytest.raises(Misconfigured, match="FANMEMORY_JWT_JWKS_URL"):
        issue_token(settings("https://localhost/keys"), CREATOR, "u1", 60)
    for url in ("file:///etc/passwd", "ftp://localhost/x", "localhost"):
        with pytest.raises(ValueError, match="must begin with"):
            settings(url)


# Over HTTP.


async def ask(api: Client, token: str) -> int:
    answer = await api.ask(
        "GET",
        f"{PREFIX}/engagement-score",
        params={"fanId": FAN, "creatorId": CREATOR},
        headers={"Authorization": f"Bearer {token}"},
    )
    return answer.status


async def test_keys_change_under_load_and_no_token_is_lost(api: Client) -> None:
    async with issuing() as issuer:
        patient = {"jwt_jwks_url": issuer.url, "request_seconds_max": 60.0}
        issuer.body = document(RSA)
        async with running_api(api.settings.model_copy(update=patient)) as trusting:
            first = signed(RSA, "RS256")
            assert await ask(trusting, first) == 200
            issuer.body = document(EC)
            tokens = [first, signed(EC, "ES256"), signed(EC, "ES256", sub="u2")] * 10
            statuses = await asyncio.gather(*(ask(trusting, token) for token in tokens))
            assert {
                status for status, token in zip(statuses, tokens, strict=True) if token != first
            } == {200}
            # The key is gone: what it had signed, and was remembered, is nothing any more.
            assert await ask(trusting, first) == 401
            asked = issuer.asked
            statuses = await asyncio.gather(
                *(ask(trusting, signed(STRANGER, "RS256", f"k{n}")) for n in range(20))
            )
            assert set(statuses) == {401}
            assert issuer.asked == asked
            secretly = api.token()
            assert await ask(trusting, secretly) == 401


async def test_without_any_keys_it_is_not_the_token_that_is_wrong(api: Client) -> None:
    gone = f"http://127.0.0.1:{free_port()}/keys"
    async with running_api(api.settings.model_copy(update={"jwt_jwks_url": gone})) as lost:
        assert await ask(lost, signed(RSA, "RS256")) == 503
        assert (await lost.ask("GET", "/health/live", headers={})).status == 200
