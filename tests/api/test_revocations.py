"""Tokens that are good no more, before they expire: on every way that a token opens."""

import asyncio
import logging
import time
from typing import Any

import pytest
from click.testing import CliRunner
from joserfc import jwt

from api.auth import key_id, signing_key
from api.tokens import issue_token
from infra.postgres import InsufficientPrivilegeError, connect, url_of
from infra.settings import Settings
from ops.cli.revoke import revoke as command
from schemas.errors import Misconfigured
from stores import revocations
from stores.revocations import Issued, Revoked, revoke
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client, running_api
from tests.api.sse import listening


def id_of(token: str, settings: Settings) -> str:
    return str(jwt.decode(token, signing_key(settings)).claims["jti"])


async def ask(api: Client, token: str) -> Answer:
    headers = {"Authorization": f"Bearer {token}"}
    params = {"creatorId": CREATOR, "fanId": FAN}
    return await api.ask("GET", f"{PREFIX}/context", headers=headers, params=params)


async def revoked(api: Client, what: Any, id: str) -> None:
    writer = await connect(api.settings.postgres_url)
    await revoke(writer, what, id)
    await writer.close()


async def test_a_revoked_token_is_refused_and_another_of_the_same_user_is_not(api: Client) -> None:
    stolen, own = (issue_token(api.settings, CREATOR, "somebody", 600) for _ in range(2))
    assert [(await ask(api, one)).status for one in (stolen, own)] == [200, 200]
    await revoked(api, "token", id_of(stolen, api.settings))
    await api.until(lambda: ask(api, stolen), 401)
    assert (await ask(api, own)).status == 200
    async with running_api(api.settings) as other:  # one that starts later knows it at once
        assert (await ask(other, stolen)).status == 401
        assert (await ask(other, own)).status == 200


async def test_all_of_a_users_are_refused_until_they_are_issued_one_again(api: Client) -> None:
    hour_ago = int(time.time()) - 3600
    old = issue_token(api.settings, CREATOR, "lost their phone", 7200, now=hour_ago)
    another = issue_token(api.settings, CREATOR, "kept theirs", 7200, now=hour_ago)
    assert (await ask(api, old)).status == 200
    await revoked(api, "user", "lost their phone")
    await api.until(lambda: ask(api, old), 401)
    assert (await ask(api, another)).status == 200
    await api.until(
        lambda: ask(api, issue_token(api.settings, CREATOR, "lost their phone", 60)), 200
    )
    assert (await ask(api, old)).status == 401


async def test_a_stream_ends_with_its_token_and_a_ticket_of_it_opens_none(api: Client) -> None:
    token = issue_token(api.settings, CREATOR, "listener", 600)
    headers = {"Authorization": f"Bearer {token}"}
    asked = {"creatorId": CREATOR}
    path = f"{PREFIX}/stream/ticket"
    tickets = [
        (await api.ask("POST", path, headers=headers, json=asked)).body["data"]["ticket"]
        for _ in range(2)
    ]
    async with (
        listening(api, token=token) as stream,
        listening(api, ticket=tickets[0]) as by_ticket,
        listening(api) as others,
    ):
        for one in (stream, by_ticket, others):
            await one.place()
        await revoked(api, "token", id_of(token, api.settings))
        assert await stream.event() is None
        assert await by_ticket.event() is None
        assert await api.counter("memory_api_streams_open") == 1
    late = await api.ask(
        "GET", f"{PREFIX}/stream", headers={}, params=asked | {"ticket": tickets[1]}
    )
    assert late.status == 401


@pytest.mark.parametrize("jti", [7, "", " ", ["x"], "x" * 256])
async def test_a_token_whose_id_can_not_be_read_is_refused(api: Client, jti: Any) -> None:
    """Else nobody could revoke it."""
    key, now = signing_key(api.settings), int(time.time())
    claims: dict[str, Any] = {"iss": api.settings.jwt_issuer, "aud": api.settings.jwt_audience}
    claims |= {"sub": "u", "creatorId": CREATOR, "iat": now, "exp": now + 60, "jti": jti}
    token = jwt.encode({"alg": "HS256", "kid": key_id(key)}, claims, key)
    assert (await ask(api, token)).status == 401


async def test_the_command_revokes_one_or_all(store_settings: Settings) -> None:
    reader = await connect(url_of(store_settings, "reader"))
    env = {"FANMEMORY_POSTGRES_URL": store_settings.postgres_url}
    env |= {"FANMEMORY_KAFKA_URL": "kafka:1", "FANMEMORY_REDIS_URL": "redis://cache:1"}
    env |= {"FANMEMORY_KEYRING": store_settings.keyring.get_secret_value()}
    env |= {"FANMEMORY_JWT_SECRET": "x" * 32}
    list_of = Revoked(reader)  # type: ignore[arg-type]  # a connection will do
    token, user = Issued("u", 1.0, "an id"), Issued("another", 1.0, None)
    for words, code in (
        (["--id", "an id"], 0),
        (["--user", "another"], 0),
        (["--user", "another"], 0),
        (["--id", "x", "--user", "y"], 2),
        ([], 2),
    ):
        ran = await asyncio.to_thread(CliRunner().invoke, command, words, env=env)
        assert ran.exit_code == code, ran.output
    assert token not in list_of
    await list_of.look()
    assert token in list_of
    assert user in list_of
    assert Issued("u", 1.0, "another id") not in list_of
    assert Issued("another", time.time() + 60, None) not in list_of
    assert None not in list_of
    with pytest.raises(InsufficientPrivilegeError):
        await revoke(reader, "token", "whoever reads")
    await reader.close()


async def test_the_list_has_a_bound_and_forgets(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "KEPT_MAX", 3)
    writer = await connect(store_settings.postgres_url)
    for number in range(3):
        await revoke(writer, "token", f"t{number}")
    with pytest.raises(Misconfigured, match="3 tokens"):
        await revoke(writer, "token", "one too many")
    await writer.execute("UPDATE revocation SET forgotten_at = now() - interval '1 s'")
    await revoke(writer, "token", "t9")
    assert await writer.fetchval("SELECT count(*) FROM revocation") == 1
    await writer.close()


async def test_what_was_known_counts_while_postgres_is_away(
    store_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    writer = await connect(store_settings.postgres_url)
    await revoke(writer, "token", "t")
    list_of = Revoked(writer)  # type: ignore[arg-type]  # a connection will do
    await list_of.start()
    await writer.close()
    with caplog.at_level(logging.ERROR):
        await list_of._look_again()
    assert Issued("u", 1.0, "t") in list_of
    assert caplog.records == []
    await list_of.close()
