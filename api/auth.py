"""Who asks: bearer tokens with every claim that matters required.

They are signed with the secret (HS256), or the one before it while that is being replaced, or, if
the settings name a JWKS, with one of the issuer's keys (`api.jwks`), and then never with a secret.
A `kid` that names one of ours is held to that one; a login that signs with our secret may have a
name of its own for it.

A token must carry `exp`, `iat`, `sub`, `iss`, `aud` and, for anything of a creator's, `creatorId`,
or `creatorIds` of an agency that works for several. Its life, from `iat` to `exp`, has a longest:
whoever steals one has it for so long at the most. Without a valid token the answer is 401, without
the right creator 403. With `scope` it may do what that says, and without it everything. A verified
token is kept until it expires or is revoked, at most `tokens_cached_max` of them: verifying costs
20 us, looking up 1.
"""

import hashlib
import time
import warnings
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple
from unicodedata import normalize

from joserfc import jwt
from joserfc.errors import BadSignatureError, JoseError, SecurityWarning
from joserfc.jwk import Key, OctKey
from joserfc.jws import extract_compact
from pydantic import SecretStr
from starlette.requests import Request

from api.jwks import IssuerKeys, UnknownKey
from infra.settings import Settings
from schemas.errors import (
    Forbidden,
    KeysUnavailable,
    Misconfigured,
    ScopeMissing,
    Unauthenticated,
)
from stores.revocations import Issued, Revoked

ALGORITHM: Final = "HS256"
SECRET_BYTES_MIN: Final = 32
"""RFC 7518, 3.2: a key of at least the hash's size."""
_KEY_ID: Final = b"fan memory token key\0"
TOKEN_LENGTH_MAX: Final = 12_288
"""Of an agency's, too: it names its creators."""
CREATORS_MAX: Final = 1_000
CLAIM_LENGTH_MAX: Final = 255
CREATORS_KEPT: Final = 10_000

Scope = Literal["memory:read", "memory:write", "memory:erase"]
"""What an endpoint asks a token for; in a token's `scope`, among others that are not ours."""


class Principal(NamedTuple):
    """Who a verified token speaks for."""

    user_id: str
    creator_id: str | None
    """The creator that a request is about, as far as that is known before its body is read."""
    expires: float
    """Seconds since the epoch."""
    scopes: frozenset[str] | None = None
    """None: the token says nothing of scopes, and may do everything."""
    creator_ids: frozenset[str] = frozenset()
    """Of an agency: all its creators, in NFC."""
    issued: Issued | None = None
    """By what its token can be revoked."""

    @property
    def speaks(self) -> bool:
        """Whether it is any creator's."""
        return self.creator_id is not None or bool(self.creator_ids)

    @property
    def creators(self) -> frozenset[str]:
        """All that the token is of, in NFC: beyond them the stores show nothing (`stores.wall`)."""
        if self.creator_ids or self.creator_id is None:
            return self.creator_ids
        return _alone(self.creator_id)

    def about(self, creator_id: str | None) -> "Principal":
        """The same, for a request that names this creator, if it is one of an agency's."""
        return self._replace(creator_id=creator_id if creator_id in self.creator_ids else None)

    def require(self, creator_id: str) -> None:
        """Raise `Forbidden` unless the principal may see this creator's fans."""
        if not self.speaks_for(creator_id):
            raise Forbidden

    def speaks_for(self, creator_id: str) -> bool:
        """Whether it is this creator's."""
        return creator_id in self.creators

    def require_scope(self, scope: Scope) -> None:
        """Raise `ScopeMissing` unless the token may do this."""
        if self.scopes is not None and scope not in self.scopes:
            raise ScopeMissing(scope)


@lru_cache(CREATORS_KEPT)
def _alone(creator_id: str) -> frozenset[str]:
    """The creators of a token of one, in NFC: asked for several times at each request."""
    return frozenset({normalize("NFC", creator_id)})


def key_id(key: OctKey) -> str:
    """What tokens call a secret (`kid`): 64 bits of a hash, of which nobody finds it."""
    return hashlib.sha256(_KEY_ID + key.raw_value).hexdigest()[:16]


def signing_key(settings: Settings) -> OctKey:
    """Raises `Misconfigured` for a secret that is too short to sign with, and where the issuer's
    keys are what counts."""
    if settings.jwt_jwks_url:
        raise Misconfigured(
            "Tokens come from the issuer whose keys FANMEMORY_JWT_JWKS_URL names.",
            hint="Ask your login for one.",
        )
    return _key("FANMEMORY_JWT_SECRET", settings.jwt_secret)


def _key(name: str, value: SecretStr) -> OctKey:
    secret = value.get_secret_value().encode()
    if len(secret) < SECRET_BYTES_MIN:
        raise Misconfigured(f"{name} must be at least {SECRET_BYTES_MIN} bytes.")
    return OctKey.import_key(secret)


def _secrets(settings: Settings) -> dict[str, OctKey]:
    """By `kid`: all that a token may be signed with."""
    keys = [signing_key(settings)]
    if settings.jwt_former_secret.get_secret_value():
        keys.append(_key("FANMEMORY_JWT_FORMER_SECRET", settings.jwt_former_secret))
    return {key_id(key): key for key in keys}


class Authenticator:
    """Verifies bearer tokens; keeps verified ones."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        """Raises `Misconfigured` for a secret that is too short, if there is no JWKS."""
        self._verified: dict[str, Principal] = {}
        """By the `Authorization` header that they came in."""
        url = settings.jwt_jwks_url
        self.issuer = IssuerKeys(url, self._verified.clear) if url else None
        self._secrets = {} if url else _secrets(settings)
        self._clock = clock
        self._seconds_max = settings.jwt_seconds_max
        self._revoked: Container[Issued] = ()
        self._limit = settings.tokens_cached_max
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock()),
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            iss={"essential": True, "value": settings.jwt_issuer},
            aud={"essential": True, "value": settings.jwt_audience},
        )

    def start(self) -> None:
        """Begin to fetch the issuer's keys, if there is one."""
        if self.issuer is not None:
            self.issuer.start()

    def follow(self, revoked: Revoked) -> None:
        """Accept none of these from here on."""
        self._revoked = revoked
        revoked.told.append(self._verified.clear)

    async def close(self) -> None:
        if self.issuer is not None:
            await self.issuer.close()

    async def authenticate_after_looking(self, authorization: str | None) -> Principal:
        """The same for a token whose key is not known: have it looked for first.

        Raises `KeysUnavailable` while there are no keys at all.
        """
        if self.issuer is not None:
            await self.issuer.look()
            if not self.issuer.known:
                raise KeysUnavailable
        try:
            return self.authenticate(authorization)
        except UnknownKey:
            raise Unauthenticated from None

    def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an `Authorization` header; raises `Unauthenticated`.

        Raises `UnknownKey` for a token of a key that may be there by now.
        """
        authorization = authorization or ""
        known = self._verified.get(authorization)
        if known is not None:
            if self._clock() < known.expires:
                return known
            del self._verified[authorization]
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_LENGTH_MAX:
            raise Unauthenticated
        principal = self._verify(token)
        while len(self._verified) >= self._limit:
            del self._verified[next(iter(self._verified))]
        self._verified[authorization] = principal
        return principal

    def _keys_of(self, token: str) -> tuple[str, Sequence[Key]]:
        """(algorithm, keys) of which its signature has to be of one."""
        header = extract_compact(token.encode()).headers()
        kid = header.get("kid")
        if not (kid is None or isinstance(kid, str)):
            raise Unauthenticated
        if self.issuer is None:
            named = self._secrets.get(kid or "")
            return ALGORITHM, tuple(self._secrets.values()) if named is None else (named,)
        allowed, key = self.issuer.key(kid)
        return _algorithm(dict(header), allowed), (key,)

    def _verify(self, token: str) -> Principal:
        try:
            algorithm, keys = self._keys_of(token)
            claims = _decoded(token, keys, algorithm)
            self._claims.validate(claims)
            expires = float(claims["exp"])
            if not expires - float(claims["iat"]) <= self._seconds_max:  # nor what is no number
                raise Unauthenticated
        except (JoseError, ValueError, TypeError, RecursionError, OverflowError):
            # Whatever is wrong with it: the client learns only that it is.
            raise Unauthenticated from None
        user_id, creator_id = claims["sub"], claims.get("creatorId")
        token_id = claims.get("jti")
        if not _is_name(user_id) or not all(
            one is None or _is_name(one) for one in (creator_id, token_id)
        ):
            raise Unauthenticated
        issued = Issued(user_id, float(claims["iat"]), token_id)
        if issued in self._revoked:
            raise Unauthenticated
        several = _several(claims)
        if several and creator_id is not None:
            several |= {normalize("NFC", creator_id)}
        return Principal(
            user_id, None if several else creator_id, expires, _scopes(claims), several, issued
        )


def _is_name(claim: Any) -> bool:
    return isinstance(claim, str) and 0 < len(claim) <= CLAIM_LENGTH_MAX and not claim.isspace()


def _several(claims: dict[str, Any]) -> frozenset[str]:
    """Of `creatorIds`. A claim that can't be read refuses the token."""
    if "creatorIds" not in claims:
        return frozenset()
    names = claims["creatorIds"]
    if not isinstance(names, list) or not 0 < len(names) <= CREATORS_MAX:
        raise Unauthenticated
    if not all(map(_is_name, names)):
        raise Unauthenticated
    return frozenset(normalize("NFC", name) for name in names)


def _decoded(token: str, keys: Sequence[Key], algorithm: str) -> dict[str, Any]:
    """Raises `JoseError` unless the signature is of one of these."""
    *others, last = keys
    for key in others:
        with suppress(BadSignatureError):
            return _opened(token, key, algorithm)
    return _opened(token, last, algorithm)


def _opened(token: str, key: Key, algorithm: str) -> dict[str, Any]:
    if algorithm != "EdDSA":
        return jwt.decode(token, key, algorithms=[algorithm]).claims
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # RFC 9864 calls it Ed25519
        return jwt.decode(token, key, algorithms=[algorithm]).claims


def _algorithm(header: dict[str, Any], allowed: str) -> str:
    said = header.get("alg")
    if said not in (allowed, "Ed25519" if allowed == "EdDSA" else allowed):
        raise Unauthenticated
    return str(said)


def _scopes(claims: dict[str, Any]) -> frozenset[str] | None:
    """Of `scope`, words with spaces between them (RFC 9068, 2.2.3). One that is there and can't be
    read refuses the token: to take it for none would let it do everything."""
    if "scope" not in claims:
        return None
    scope = claims["scope"]
    if not isinstance(scope, str):
        raise Unauthenticated
    return frozenset(scope.split())


def principal_of(request: Request) -> Principal:
    """Whom `api.dispatch` has let in."""
    principal: Principal = request.scope["principal"]
    return principal
