"""Tokens for development: what `fanmemory token` prints. In production your login issues them."""

import time
from collections.abc import Sequence

from joserfc import jwt

from api.auth import ALGORITHM, signing_key
from infra.settings import Settings


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
    what it may do, by default everything. Raises `Misconfigured` when the secret is too short.
    """
    issued = int(time.time()) if now is None else now
    claims: dict[str, str | int | list[str]] = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": user_id,
        "iat": issued,
        "exp": issued + lifetime,
    }
    if isinstance(creator_id, str):
        claims["creatorId"] = creator_id
    else:
        claims["creatorIds"] = list(creator_id)
    if scope is not None:
        claims["scope"] = scope
    return jwt.encode({"alg": ALGORITHM}, claims, signing_key(settings))
