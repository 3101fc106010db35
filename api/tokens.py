"""Tokens for development: what `fanmemory token` prints. In production your login issues them."""

import secrets
import time
from collections.abc import Sequence

from joserfc import jwt

from api.auth import ALGORITHM, key_id, signing_key
from infra.settings import Settings
from schemas.errors import Misconfigured


def issue_token(
    settings: Settings,
    creator_id: str | Sequence[str],
    user_id: str,
    lifetime: int,
    *,
    scope: str | None = None,
    now: int | None = None,
) -> str:
    """A signed token for one creator, or for those that an agency works for.

    `lifetime` in seconds from `now` (seconds since the epoch; default: the clock's); `scope` says
    what it may do, by default everything. Raises `Misconfigured` when the secret is too short, and
    for a longer life than a token may have.
    """
    if lifetime > settings.jwt_seconds_max:
        raise Misconfigured(
            f"A token may live {settings.jwt_seconds_max} s at the most.",
            hint="FANMEMORY_JWT_SECONDS_MAX says it; ask for a shorter one.",
        )
    issued = int(time.time()) if now is None else now
    claims: dict[str, str | int | list[str]] = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": user_id,
        "iat": issued,
        "exp": issued + lifetime,
        "jti": secrets.token_hex(16),
    }
    if isinstance(creator_id, str):
        claims["creatorId"] = creator_id
    else:
        claims["creatorIds"] = list(creator_id)
    if scope is not None:
        claims["scope"] = scope
    key = signing_key(settings)
    return jwt.encode({"alg": ALGORITHM, "kid": key_id(key)}, claims, key)
