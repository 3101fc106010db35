"""Who may ask: every claim that matters is required, and a kept token still expires."""

import base64
import hmac
import json
from typing import Any, get_args

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from joserfc.jws import extract_compact
from pydantic import SecretStr

from api.auth import Authenticator, Scope, key_id
from api.tokens import issue_token
from infra.settings import Settings
from schemas.errors import Forbidden, Misconfigured, ScopeMissing, Unauthenticated
from tests.clock import Clock

SECRET = "s" * 32
NOW = 1_700_000_000
GOOD = {
    "iss": "fanmemory",
    "aud": "fanmemory-api",
    "sub": "u1",
    "creatorId": "c1",
    "iat": NOW,
    "exp": NOW + 60,
}


def settings(**changes: Any) -> Settings:
    return Settings().model_copy(update={"jwt_secret": SecretStr(SECRET), **changes})


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def auth(clock: Clock) -> Authenticator:
    return Authenticator(settings(), clock)


def signed(claims: dict[str, Any], secret: str = SECRET, alg: str = "HS256") -> str:
    key = OctKey.import_key(secret)
    return "Bearer " + jwt.encode({"alg": alg}, claims, key, algorithms=[alg])


def test_a_valid_token_names_its_user_and_creator(auth: Authenticator) -> None:
    principal = auth.authenticate(signed(GOOD))
    assert (principal.user_id, principal.creator_id) == ("u1", "c1")


def test_an_agencys_token_speaks_for_each_of_its_creators(auth: Authenticator) -> None:
    claims = {name: value for name, value in GOOD.items() if name != "creatorId"}
    principal = auth.authenticate(signed(claims | {"creatorIds": ["c1", "cafe\u0301"]}))
    assert principal.speaks
    assert principal.creator_id is None
    assert [principal.speaks_for(one) for one in ("c1", "caf\u00e9", "c2")] == [True, True, False]
    assert principal.about("c1").creator_id == "c1"
    assert principal.about("c2").creator_id is None
    both = auth.authenticate(signed(GOOD | {"creatorIds": ["c2"]}))
    assert both.creator_ids == {"c1", "c2"}


def test_an_issued_token_is_accepted(clock: Clock) -> None:
    chosen = settings()
    token = issue_token(chosen, "c1", "u1", 60, now=NOW)
    principal = Authenticator(chosen, clock).authenticate(f"Bearer {token}")
    assert principal.creator_id == "c1"
    assert principal.expires == NOW + 60


@pytest.mark.parametrize("claim", ["exp", "iat", "sub", "iss", "aud"])
def test_a_token_without_a_required_claim_is_refused(auth: Authenticator, claim: str) -> None:
    with pytest.raises(Unauthenticated):
        auth.authenticate(signed({k: v for k, v in GOOD.items() if k != claim}))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "somebody"},
        {"aud": "another-api"},
        {"aud": []},
        {"exp": NOW},
        {"exp": NOW - 1},
        {"exp": "soon"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"iat": NOW + 3600},
        {"nbf": NOW + 3600},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 256},
        {"creatorId": 7},
        {"creatorId": " "},
        {"creatorId": ["c1"]},
        {"creatorIds": []},
        {"creatorIds": "c1"},
        {"creatorIds": {"c1": 1}},
        {"creatorIds": ["c1", 7]},
        {"creatorIds": ["c1", ""]},
        {"creatorIds": ["c"] * 1_001},
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(auth: Authenticator, change: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        auth.authenticate(signed(GOOD | change))


LIFE = 3600


@pytest.mark.parametrize(
    ("iat", "exp", "accepted"),
    [
        (NOW, NOW + LIFE, True),
        (NOW, NOW + LIFE + 1, False),
        (NOW - LIFE + 30, NOW + 30, True),
        (NOW - LIFE - 30, NOW + 30, False),
        (NOW, float("nan"), False),
        (float("nan"), NOW + 60, False),
        (float("-inf"), NOW + 60, False),
        (NOW, float("inf"), False),
        (NOW + 10 * LIFE, NOW + 11 * LIFE, False),  # one that is kept for later
    ],
)
def test_a_token_of_a_longer_life_than_any_may_have_is_refused(
    clock: Clock, iat: float, exp: float, accepted: bool
) -> None:
    auth = Authenticator(settings(jwt_seconds_max=LIFE), clock)
    token = signed(GOOD | {"iat": iat, "exp": exp})
    if accepted:
        assert auth.authenticate(token).user_id == "u1"
    else:
        with pytest.raises(Unauthenticated):
            auth.authenticate(token)


def test_none_is_issued_that_would_be_refused() -> None:
    chosen = settings(jwt_seconds_max=LIFE)
    assert issue_token(chosen, "c1", "u1", LIFE)
    with pytest.raises(Misconfigured, match="3600 s at the most"):
        issue_token(chosen, "c1", "u1", LIFE + 1)


FORMER = "f" * 32


def of_key(secret: str, kid: Any) -> str:
    key = OctKey.import_key(secret)
    header = {"alg": "HS256"} if kid is None else {"alg": "HS256", "kid": kid}
    return "Bearer " + jwt.encode(header, GOOD, key)


def test_while_a_secret_is_replaced_tokens_of_both_are_accepted_and_then_of_the_new_one(
    clock: Clock,
) -> None:
    ours, former = (key_id(OctKey.import_key(one)) for one in (SECRET, FORMER))
    both = Authenticator(settings(jwt_former_secret=SecretStr(FORMER)), clock)
    after = Authenticator(settings(), clock)
    for token in (of_key(SECRET, ours), of_key(SECRET, None), of_key(SECRET, "a login's own")):
        assert both.authenticate(token).user_id == after.authenticate(token).user_id == "u1"
    for token in (of_key(FORMER, former), of_key(FORMER, None), of_key(FORMER, "a login's own")):
        assert both.authenticate(token).user_id == "u1"
        with pytest.raises(Unauthenticated):
            after.authenticate(token)
    issued = issue_token(settings(jwt_former_secret=SecretStr(FORMER)), "c1", "u1", 60, now=NOW)
    assert after.authenticate(f"Bearer {issued}").user_id == "u1"


@pytest.mark.parametrize("kid", [7, ["x"], {"x": 1}, True])
def test_a_kid_that_is_no_name_refuses_the_token(auth: Authenticator, kid: Any) -> None:
    key = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": kid}).encode())
    body = base64.urlsafe_b64encode(json.dumps(GOOD).encode())
    said = key.rstrip(b"=") + b"." + body.rstrip(b"=")
    signature = hmac.digest(SECRET.encode(), said, "sha256")
    made = said + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
    with pytest.raises(Unauthenticated):
        auth.authenticate(f"Bearer {made.decode()}")


def test_a_kid_of_ours_is_held_to_its_own_secret(clock: Clock) -> None:
    ours, former = (key_id(OctKey.import_key(one)) for one in (SECRET, FORMER))
    both = Authenticator(settings(jwt_former_secret=SecretStr(FORMER)), clock)
    for token in (of_key(SECRET, former), of_key(FORMER, ours)):
        with pytest.raises(Unauthenticated):
            both.authenticate(token)
    issued = issue_token(settings(), "c1", "u1", 9)
    assert extract_compact(issued.encode()).headers()["kid"] == ours


def test_a_former_secret_that_is_too_short_is_a_misconfiguration() -> None:
    with pytest.raises(Misconfigured, match="FORMER"):
        Authenticator(settings(jwt_former_secret=SecretStr("short")))


def test_a_token_of_another_secret_is_refused(auth: Authenticator) -> None:
    with pytest.raises(Unauthenticated):
        auth.authenticate(signed(GOOD, secret="t" * 32))


def test_a_token_of_another_algorithm_is_refused(auth: Authenticator) -> None:
    with pytest.raises(Unauthenticated):
        auth.authenticate(signed(GOOD, secret=SECRET * 2, alg="HS512"))


def test_an_unsigned_token_is_refused(auth: Authenticator) -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for alg in ("none", "None", "HS256"):
        with pytest.raises(Unauthenticated):
            auth.authenticate(f"Bearer {part({'alg': alg})}.{part(GOOD)}.")


def test_a_token_with_altered_claims_is_refused(auth: Authenticator) -> None:
    head, _, tail = signed(GOOD).removeprefix("Bearer ").split(".")
    other = signed(GOOD | {"creatorId": "c2"}).removeprefix("Bearer ").split(".")[1]
    with pytest.raises(Unauthenticated):
        auth.authenticate(f"Bearer {head}.{other}.{tail}")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dTpw",
        "Bearer a",
        "Bearer a.b.c",
        "Bearer " + "a" * 5000,
    ],
)
def test_anything_else_is_refused(auth: Authenticator, header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        auth.authenticate(header)


def test_a_kept_token_is_refused_once_it_has_expired(auth: Authenticator, clock: Clock) -> None:
    header = signed(GOOD)
    auth.authenticate(header)
    clock.now = NOW + 59.9
    auth.authenticate(header)
    clock.now = NOW + 60.0
    with pytest.raises(Unauthenticated):
        auth.authenticate(header)


def test_no_more_tokens_are_kept_than_allowed(clock: Clock) -> None:
    auth = Authenticator(settings(tokens_cached_max=5), clock)
    for user in range(20):
        auth.authenticate(signed(GOOD | {"sub": f"u{user}"}))
    assert len(auth._verified) == 5


def test_a_principal_may_see_its_own_creator_only(auth: Authenticator) -> None:
    principal = auth.authenticate(signed(GOOD))
    principal.require("c1")
    with pytest.raises(Forbidden):
        principal.require("c2")


def test_a_token_without_a_creator_is_valid_and_may_see_nobody(auth: Authenticator) -> None:
    principal = auth.authenticate(signed({k: v for k, v in GOOD.items() if k != "creatorId"}))
    assert principal.creator_id is None
    with pytest.raises(Forbidden):
        principal.require("c1")


def test_a_short_secret_is_a_misconfiguration() -> None:
    with pytest.raises(Misconfigured):
        Authenticator(settings(jwt_secret=SecretStr("short")))


@pytest.mark.parametrize("scope", [7, None, ["memory:read"], {"memory:read": True}, True])
def test_a_scope_that_can_not_be_read_refuses_the_token(auth: Authenticator, scope: Any) -> None:
    """To take it for no scope would let it do everything."""
    with pytest.raises(Unauthenticated):
        auth.authenticate(signed(GOOD | {"scope": scope}))


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("memory:read memory:write", {"memory:read", "memory:write"}),
        ("openid  memory:read profile", {"memory:read"}),
        ("memory:write", {"memory:write"}),
        ("memory:*", set()),
        ("memory:READ", set()),
        ("xmemory:read", set()),
        ("memory:read,memory:write", set()),
        ("", set()),
    ],
)
def test_a_token_may_do_what_its_scope_says_word_by_word(
    auth: Authenticator, scope: str, may: set[str]
) -> None:
    principal = auth.authenticate(signed(GOOD | {"scope": scope}))
    for one in get_args(Scope):
        if one in may:
            principal.require_scope(one)
        else:
            with pytest.raises(ScopeMissing):
                principal.require_scope(one)


def test_a_token_without_a_scope_may_do_everything(auth: Authenticator) -> None:
    principal = auth.authenticate(signed(GOOD))
    for one in get_args(Scope):
        principal.require_scope(one)
