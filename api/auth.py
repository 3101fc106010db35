"""Who asks: HS256 bearer tokens with every claim that matters required.

A token must carry `exp`, `iat`, `sub`, `iss`, `aud` and, for anything of a creator's, `creatorId`.
Without a valid token the answer is 401, without the right `creatorId` 403. With `scope` it may do
what that says, and without it everything. A verified token is kept until it expires, at most
`tokens_cached_max` of them: verifying costs 20 us, looking up 1.
"""

import time
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple
from unicodedata import normalize

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import Request

from infra.settings import Settings
from schemas.errors import Forbidden, Misconfigured, ScopeMissing, Unauthenticated

ALGORITHM: Final = "HS256"
SECRET_BYTES_MIN: Final = 32
"""RFC 7518, 3.2: a key of at least the hash's size."""
TOKEN_LENGTH_MAX: Final = 4096
CLAIM_LENGTH_MAX: Final = 255


Scope = Literal["memory:read", "memory:write"]
"""What an endpoint asks a token for; in a token's `scope`, among others that are not ours."""


class Principal(NamedTuple):
    """Who a verified token speaks for."""

    user_id: str
    creator_id: str | None
    expires: float
    """Seconds since the epoch."""
    scopes: frozenset[str] | None = None
    """None: the token says nothing of scopes, and may do everything."""

    def require(self, creator_id: str) -> None:
        """Raise `Forbidden` unless the principal may see this creator's fans."""
        if self.creator_id is None or normalize("NFC", self.creator_id) != creator_id:
            raise Forbidden

    def require_scope(self, scope: Scope) -> None:
        """Raise `ScopeMissing` unless the token may do this."""
        if self.scopes is not None and scope not in self.scopes:
            raise ScopeMissing(scope)


def signing_key(settings: Settings) -> OctKey:
    """Raises `Misconfigured` for a secret that is too short to sign with."""
    secret = settings.jwt_secret.get_secret_value().encode()
    if len(secret) < SECRET_BYTES_MIN:
        raise Misconfigured(f"FANMEMORY_JWT_SECRET must be at least {SECRET_BYTES_MIN} bytes.")
    return OctKey.import_key(secret)


class Authenticator:
    """Verifies bearer tokens; keeps verified ones."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._key = signing_key(settings)
        self._clock = clock
        self._limit = settings.tokens_cached_max
        self._verified: dict[str, Principal] = {}
        self._claims = jwt.JWTClaimsRegistry(
            now=lambda: int(clock()),
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            iss={"essential": True, "value": settings.jwt_issuer},
            aud={"essential": True, "value": settings.jwt_audience},
        )

    def authenticate(self, authorization: str | None) -> Principal:
        """The principal of an `Authorization` header; raises `Unauthenticated`."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_LENGTH_MAX:
            raise Unauthenticated
        known = self._verified.get(token)
        if known is not None:
            if self._clock() < known.expires:
                return known
            del self._verified[token]
        principal = self._verify(token)
        while len(self._verified) >= self._limit:
            del self._verified[next(iter(self._verified))]
        self._verified[token] = principal
        return principal

    def _verify(self, token: str) -> Principal:
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM]).claims
            self._claims.validate(claims)
            expires = float(claims["exp"])
        except (JoseError, ValueError, TypeError, RecursionError, OverflowError):
            # Whatever is wrong with it: the client learns only that it is.
            raise Unauthenticated from None
        user_id, creator_id = claims["sub"], claims.get("creatorId")
        if not _is_name(user_id) or (creator_id is not None and not _is_name(creator_id)):
            raise Unauthenticated
        return Principal(user_id, creator_id, expires, _scopes(claims))


def _is_name(claim: Any) -> bool:
    return isinstance(claim, str) and 0 < len(claim) <= CLAIM_LENGTH_MAX and not claim.isspace()


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
