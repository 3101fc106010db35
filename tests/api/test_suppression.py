"""Suppression over HTTP: who may, and that nothing of the fan is taken afterwards."""

import json
from typing import Any

from api.tokens import issue_token
from tests.api.client import CREATOR, PREFIX, Client
from tests.api.test_batches import lines, send
from tests.api.test_webhooks import CREATOR as DELIVERED
from tests.api.test_webhooks import Stripe, connect, delivery
from tests.api.test_writes import EVENT

FAN = "fan who asked"
OWN = EVENT | {"fanId": FAN}


async def ask(api: Client, method: str, **more: Any) -> Any:
    asked = {"fanId": FAN, "creatorId": CREATOR} | more
    return await api.ask(method, f"{PREFIX}/suppression", params=asked)


async def test_a_suppressed_fans_events_are_refused_until_it_is_lifted(api: Client) -> None:
    assert (await ask(api, "GET")).body["data"] == {"suppressed": False, "since": None}
    assert (await api.post(OWN)).status == 200
    first = await ask(api, "PUT")
    assert (first.status, first.body["data"]["suppressed"]) == (200, True)
    assert (await ask(api, "PUT")).body["data"] == first.body["data"]  # twice changes nothing
    assert (await ask(api, "GET")).body["data"] == first.body["data"]
    refused = await api.post(OWN)
    assert refused.status == 403
    assert FAN not in json.dumps(refused.body)
    batch = await send(api, lines(OWN, EVENT))
    assert batch.body["accepted"] == 1
    assert batch.body["data"][0]["field"] == "fanId"
    assert "position" in batch.body["data"][1]
    assert (await api.post(EVENT)).status == 200  # another fan
    assert (await ask(api, "DELETE")).body["data"] == {"suppressed": False, "since": None}
    assert (await ask(api, "DELETE")).status == 200
    assert (await api.post(OWN)).status == 200


async def test_only_the_creator_may_and_by_a_token_that_may_erase(api: Client) -> None:
    assert (await ask(api, "PUT", creatorId="creator_other")).status == 403
    assert (await ask(api, "PUT", fanId="")).status == 400
    for scope, status in (("memory:write", 403), ("memory:erase", 200)):
        token = issue_token(api.settings, CREATOR, "user", 600, scope=scope)
        answer = await api.ask(
            "DELETE",
            f"{PREFIX}/suppression",
            params={"fanId": FAN, "creatorId": CREATOR},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert answer.status == status


async def test_a_delivery_leaves_a_suppressed_fan_out(api: Client) -> None:
    """With 200: a platform would send it for days, and then stop sending anything."""
    headers = {"Authorization": f"Bearer {api.token(DELIVERED)}"}
    asked = {"fanId": "cus_9", "creatorId": DELIVERED}
    path = f"{PREFIX}/suppression"
    assert (await api.ask("PUT", path, params=asked, headers=headers)).status == 200
    answer = await Stripe(api, await connect(api)).deliver(delivery())
    assert (answer.status, answer.body["accepted"], len(answer.body["leftOut"])) == (200, 0, 1)
    assert "position" not in answer.body
    assert (await api.ask("DELETE", path, params=asked, headers=headers)).status == 200
