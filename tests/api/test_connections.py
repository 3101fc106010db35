"""A creator's connections to platforms, over HTTP: their own only, and never the secret."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.postgres import connecting
from stores import connections
from stores.connections import OWN_MAX
from tests.api.client import Answer, Client

PATH = "/api/webhooks/connections"
CREATOR = "creator_of_connections"
OTHER = "creator_of_others"
SECRET = "whsec_never_told_again"
STRIPE = {"platform": "stripe", "secret": SECRET}


class Creator:
    """One creator's user."""

    def __init__(self, api: Client, creator: str) -> None:
        self._api = api
        self._headers = {"Authorization": f"Bearer {api.token(creator)}"}

    async def ask(self, method: str, id: str = "", given: Any = None) -> Answer:
        path = f"{PATH}/{id}" if id else PATH
        body = given if isinstance(given, bytes) or given is None else json.dumps(given).encode()
        return await self._api.ask(method, path, headers=self._headers, data=body)

    async def ids(self) -> list[str]:
        found = (await self.ask("GET")).body["data"]["connections"]
        return [one["connection"] for one in found]


@pytest.fixture
async def creator(api: Client) -> AsyncIterator[Creator]:
    yield Creator(api, CREATOR)
    async with connecting(api.settings.postgres_url) as db:
        await db.execute("DELETE FROM platform_connection")


def new_id() -> str:
    return secrets.token_hex(16)


async def deliver(api: Client, path: str, secret: str) -> int:
    now = int(time.time())
    charge = {"id": "ch", "amount": 100, "currency": "usd", "customer": "c", "created": now}
    event = {"type": "charge.succeeded", "created": now, "data": {"object": charge}}
    body = json.dumps(event).encode()
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={now},v1={digest}"}
    return (await api.ask("POST", path, data=body, headers=headers)).status


async def test_what_is_put_takes_deliveries_until_it_is_deleted(
    api: Client, creator: Creator
) -> None:
    id = new_id()
    made = await creator.ask("PUT", id, STRIPE)
    assert made.status == 200
    shown = made.body["data"]
    assert set(shown) == {"connection", "platform", "creatorId", "path", "createdAt"}
    assert (shown["connection"], shown["creatorId"]) == (id, CREATOR)
    assert await deliver(api, shown["path"], SECRET) == 200
    # Sent again it is the same; another secret takes its place.
    assert (await creator.ask("PUT", id, STRIPE)).body["data"] == shown
    assert (await creator.ask("PUT", id, STRIPE | {"secret": "another"})).body["data"] == shown
    assert await deliver(api, shown["path"], SECRET) == 401
    assert await deliver(api, shown["path"], "another") == 200
    assert (await creator.ask("GET", id)).body["data"] == shown
    assert await creator.ids() == [id]
    assert (await creator.ask("DELETE", id)).body["success"] is True
    assert await deliver(api, shown["path"], "another") == 404
    assert [(await creator.ask(method, id)).status for method in ("GET", "DELETE")] == [404, 404]


async def test_the_secret_is_told_nowhere(api: Client, creator: Creator) -> None:
    id = new_id()
    answers = [
        await creator.ask("PUT", id, STRIPE),
        await creator.ask("GET", id),
        await creator.ask("GET"),
        await creator.ask("PUT", id, STRIPE | {"zone": "Nowhere/Land"}),
        await creator.ask("PUT", id, STRIPE | {"unknown": 1}),
    ]
    assert not [one for one in answers if SECRET in json.dumps(one.body)]
    async with connecting(api.settings.postgres_url) as db:
        row = await db.fetchrow("SELECT * FROM platform_connection WHERE connection = $1", id)
    assert SECRET not in repr(dict(row or {}))


async def test_another_creators_connection_is_not_there_and_stays_as_it_is(
    api: Client, creator: Creator
) -> None:
    id, other = new_id(), Creator(api, OTHER)
    path = (await creator.ask("PUT", id, STRIPE)).body["data"]["path"]
    assert (await other.ask("GET", id)).status == 404
    assert (await other.ask("DELETE", id)).status == 404
    assert (await other.ask("PUT", id, STRIPE | {"secret": "theirs"})).status == 409
    assert await other.ids() == []
    assert await creator.ids() == [id]
    assert await deliver(api, path, SECRET) == 200


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (b"no json", "$"),
        ([], "$"),
        ({"platform": "stripe"}, "secret"),
        (STRIPE | {"secret": ""}, "secret"),
        (STRIPE | {"secret": "x" * 1_001}, "secret"),
        (STRIPE | {"platform": "telegram"}, "platform"),
        (STRIPE | {"platform": "myspace"}, "platform"),
        (STRIPE | {"me": "Luna"}, "me"),
        (STRIPE | {"me": ["x"] * 21}, "me"),
        (STRIPE | {"zone": "../etc/passwd"}, "zone"),
        (STRIPE | {"currency": "ducats"}, "currency"),
        (STRIPE | {"options": {"a": 1}}, "options"),
        (STRIPE | {"mapping": {}}, "mapping"),
        (STRIPE | {"platform": "generic"}, "mapping"),
        (STRIPE | {"platform": "generic", "mapping": {"rules": []}}, "rules"),
        (STRIPE | {"creatorId": OTHER}, "$"),
    ],
)
async def test_what_makes_no_connection_is_named(creator: Creator, given: Any, named: str) -> None:
    answer = await creator.ask("PUT", new_id(), given)
    assert answer.status == 400
    assert answer.body["error"].startswith(f"{named}: ")
    assert await creator.ids() == []


@pytest.mark.parametrize("id", ["1", "A" * 32, "g" * 32, "a" * 33, "a" * 31])
async def test_an_id_is_32_digits(creator: Creator, id: str) -> None:
    assert (await creator.ask("PUT", id, STRIPE)).status == 400


async def test_a_creator_has_so_many_and_no_more(api: Client, creator: Creator) -> None:
    ids = [new_id() for _ in range(OWN_MAX)]
    first = await creator.ask("PUT", ids[0], STRIPE)
    assert first.status == 200
    async with connecting(api.settings.postgres_url) as db:
        await db.executemany(
            "INSERT INTO platform_connection SELECT $1, platform, creator_id, kek, sealed"
            " FROM platform_connection WHERE connection = $2",
            [(id, ids[0]) for id in ids[1:]],
        )
        assert len(await connections.list_own(db, CREATOR)) == OWN_MAX
    assert (await creator.ask("PUT", new_id(), STRIPE)).status == 409
    assert (await creator.ask("PUT", ids[0], STRIPE)).status == 200, "it is there already"
    assert (await Creator(api, OTHER).ask("PUT", new_id(), STRIPE)).status == 200
