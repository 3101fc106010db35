"""POST of what platforms deliver: who may, what is taken, and that it stands in the log."""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import asyncpg
import pytest
from msgspec.structs import replace

from infra.postgres import connecting
from integrations.converted import NO_FAN, UNREAD
from lab.bench.seed import seed
from privacy.keys import Keyring
from schemas.journal import JournalEntry
from schemas.positions import parse_position
from stores import connections
from stores.connections import Ways
from tests.api.client import Answer, Client, running_api
from tests.api.test_writes import record_at
from tests.views.interactions import NOON

CREATOR = "creator_webhooks"
SECRET = "whsec_of_this_connection"
CHARGE = {"id": "ch_1", "amount": 1999, "currency": "usd", "customer": "cus_9"}


def delivery(charge: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    created = time.time_ns() // 10**9
    body = {"id": "evt_1", "type": "charge.succeeded", "created": created}
    return body | {"data": {"object": {"created": created} | CHARGE | (charge or {})}} | more


class Stripe(NamedTuple):
    """A connection, and the platform at its other end."""

    api: Client
    path: str

    async def deliver(
        self, event: Any, *, secret: str = SECRET, age: float = 0, change: bytes = b""
    ) -> Answer:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        stamp = str(int(time.time() - age)).encode()
        signed = hmac.new(secret.encode(), stamp + b"." + body, hashlib.sha256).hexdigest()
        headers = {"Stripe-Signature": f"t={stamp.decode()},v1={signed}"}
        return await self.api.ask("POST", self.path, data=change or body, headers=headers)


async def connect(api: Client, platform: str = "stripe", **ways: Any) -> str:
    keyring = Keyring.of(api.settings)
    async with connecting(api.settings.postgres_url) as db:
        id = await connections.add(db, keyring, platform, CREATOR, Ways(SECRET, **ways))
    return f"/api/webhooks/{platform}/{id}"


@pytest.fixture
async def stripe(api: Client) -> AsyncIterator[Stripe]:
    yield Stripe(api, await connect(api))


async def written(answer: Answer, api: Client) -> dict[str, Any]:
    record = await record_at(api, answer.body["position"])
    value: dict[str, Any] = json.loads(record.value)
    assert record.key == f"{value['creatorId']}:{value.get('fanId', UNREAD)}".encode()
    return value


async def test_a_delivery_is_an_event_of_the_connections_creator(stripe: Stripe) -> None:
    answer = await stripe.deliver(delivery())
    assert answer.status == 200
    assert (answer.body["accepted"], answer.body["leftOut"]) == (1, [])
    event = await written(answer, stripe.api)
    assert (event["creatorId"], event["fanId"]) == (CREATOR, "cus_9")
    assert (event["type"], event["amount"], event["currency"]) == ("purchase", 19.99, "USD")


async def test_two_deliveries_of_one_charge_are_one_event_twice(stripe: Stripe) -> None:
    """Under two ids of Stripe's; views count an identity once."""
    created = time.time_ns() // 10**9
    first = delivery({"created": created})
    second = first | {"id": "evt_2"}
    events = [await written(await stripe.deliver(one), stripe.api) for one in (first, second)]
    assert events[0] == events[1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"secret": "another"}, "another secret"),
        ({"age": 600}, "too long ago"),
        ({"age": -600}, "too far ahead"),
        ({"change": json.dumps(delivery({"amount": 2999})).encode()}, "changed on the way"),
    ],
)
async def test_what_the_platform_did_not_sign_now_is_refused(
    stripe: Stripe, how: dict[str, Any], said: str
) -> None:
    answer = await stripe.deliver(delivery(), **how)
    assert answer.status == 401
    assert said in answer.body["error"]
    assert "position" not in answer.body


async def test_an_unsigned_delivery_is_refused_before_it_is_read(stripe: Stripe) -> None:
    answer = await stripe.api.ask("POST", stripe.path, data=b"no json", headers={})
    assert (answer.status, "not signed" in answer.body["error"]) == (401, True)


async def test_what_can_not_be_read_is_422_with_the_reason(stripe: Stripe) -> None:
    answer = await stripe.deliver(b"no json")
    assert (answer.status, answer.body["error"]) == (422, "The delivery is not JSON.")


async def test_what_the_contract_refuses_is_422_with_the_reason(stripe: Stripe) -> None:
    answer = await stripe.deliver(delivery({"created": 10}))
    assert answer.status == 422
    assert "timestamp" in answer.body["error"]
    assert "cus_9" not in json.dumps(answer.body)


async def test_what_nobody_knows_is_kept_whole_and_what_is_expected_is_not(stripe: Stripe) -> None:
    odd = delivery(type="moon.risen", note="\ud83d é")
    answer = await stripe.deliver(odd)
    assert (answer.status, answer.body["accepted"]) == (200, 0)
    assert answer.body["leftOut"] == ["is an event that is not known"]
    kept = await written(answer, stripe.api)
    assert (kept["type"], kept["platform"]) == (UNREAD, "stripe")
    assert json.loads(kept["body"].encode("utf-8", "surrogateescape")) == odd
    expected = await stripe.deliver(delivery(type="invoice.paid"))
    assert expected.status == 200
    assert "position" not in expected.body


async def test_no_connection_is_no_route(stripe: Stripe) -> None:
    other = stripe.path.replace("stripe", "patreon")
    for path in (stripe.path[:-1] + "x", other, "/api/webhooks/telegram/x", "/api/webhooks/no/x"):
        answer = await stripe._replace(path=path).deliver(delivery())
        assert answer.status == 404, path


async def test_a_body_that_is_too_large_is_413(stripe: Stripe) -> None:
    answer = await stripe.deliver(b" " * (stripe.api.settings.body_bytes_max + 1))
    assert answer.status == 413


async def test_a_renamed_connection_opens_nothing(stripe: Stripe) -> None:
    id = stripe.path.rpartition("/")[2]
    db = await asyncpg.connect(stripe.api.settings.postgres_url)
    try:
        await db.execute(
            "UPDATE platform_connection SET creator_id = 'thief' WHERE connection = $1", id
        )
    finally:
        await db.close()
    answer = await stripe.deliver(delivery())
    assert (answer.status, answer.body["error"]) == (500, "Internal server error")


async def test_a_form_with_a_token_is_taken_too(api: Client) -> None:
    path = await connect(api, "kofi")
    data = {
        "verification_token": SECRET,
        "type": "Donation",
        "timestamp": "2026-11-21T13:04:30Z",
        "email": "jo@example.com",
        "message": "Keep going",
        "amount": "3.00",
        "currency": "EUR",
        "kofi_transaction_id": "t1",
    }
    answer = await api.ask("POST", path, data={"data": json.dumps(data)}, headers={})
    assert (answer.status, answer.body["accepted"]) == (200, 2)
    wrong = data | {"verification_token": "guessed"}
    answer = await api.ask("POST", path, data={"data": json.dumps(wrong)}, headers={})
    assert answer.status == 401


async def test_options_of_the_connection_count(api: Client) -> None:
    path = await connect(api, "onlyfans", options={"money": "transactions"})
    body = json.dumps({"event": "tips.received", "payload": {"id": 1, "amountGross": 5}}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    answer = await api.ask("POST", path, data=body, headers={"Signature": signature})
    assert answer.body["leftOut"] == ["is told by `transactions.new`, which counts here"]


async def test_a_deletion_that_names_nobody_is_of_the_fan_who_has_the_message(api: Client) -> None:
    """Of the connection's creator's fans only, also among more of them than are looked at in one
    turn; what nobody has is kept, with the reason."""
    said = [JournalEntry(id, "message", NOON, content="hi") for id in ("m1", "m2")]
    many = {(CREATOR, f"fan {number}"): said[1:] for number in range(3)}
    many[CREATOR, "fan 2"] = said[:1]
    await seed(api.settings, many | {("creator_else", "fan"): [replace(said[0], event_id="m3")]})
    path = await connect(api, "onlyfans")

    async def delete(id: str) -> Answer:
        body = json.dumps({"event": "messages.deleted", "payload": {"id": id}}).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        return await api.ask("POST", path, data=body, headers={"Signature": signature})

    event = await written(await delete("m1"), api)
    assert (event["fanId"], event["type"]) == ("fan 2", "delete")
    assert event["refersTo"] == {"type": "message", "eventId": "m1"}
    for id in ("m2", "m3", "m4"):  # of several; of another creator's; of nobody
        answer = await delete(id)
        assert (answer.status, answer.body["leftOut"]) == (200, [NO_FAN]), id
        kept = await written(answer, api)
        assert (kept["type"], kept["reason"]) == (UNREAD, NO_FAN)


async def test_without_a_broker_nothing_is_said_to_be_taken(api: Client) -> None:
    alone = api.settings.model_copy(update={"kafka_url": "127.0.0.1:9"})
    async with running_api(alone) as client:
        answer = await Stripe(client, await connect(api)).deliver(delivery())
        assert answer.status in (503, 504)


async def test_outcomes_are_counted_by_platform(stripe: Stripe) -> None:
    name = 'memory_webhook_events_total{outcome="accepted",platform="stripe"}'
    await stripe.deliver(delivery())
    before = await stripe.api.counter(name)
    await stripe.deliver(delivery())
    assert await stripe.api.counter(name) == before + 1


async def test_positions_are_places_in_the_log(stripe: Stripe) -> None:
    answer = await stripe.deliver(delivery())
    assert parse_position(answer.body["position"]).offset >= 0
