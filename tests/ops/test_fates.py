"""Every event's fate, on a running system: what was sent is applied, or something says why not."""

import json
from typing import Any

import aiohttp

from api.tokens import issue_token
from tests.cli import Running

CREATOR, FAN = "fates", "fan"
TIP = {"creatorId": CREATOR, "fanId": FAN, "type": "tip", "timestamp": "2024-05-01T10:00:00Z"}


async def test_what_became_of_each_event_until_its_fan_is_erased(demonstrated: Running) -> None:
    token = issue_token(demonstrated.pipeline.settings, CREATOR, "user", 600)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(demonstrated.api_url, headers=headers) as session:

        async def ask(path: str, method: str = "GET", **params: str) -> tuple[int, Any]:
            asked = {"creatorId": CREATOR, "fanId": FAN} | params
            url = f"/api/of-memory/{path}"
            async with session.request(method, url, params=asked) as answer:
                return answer.status, await answer.json()

        async def post(**event: Any) -> str:
            url = "/api/of-memory/interaction"
            async with session.post(url, json=TIP | event) as answer:
                assert answer.status == 200
                position: str = (await answer.json())["position"]
                return position

        async def fate(id: str, **params: str) -> str:
            status, body = await ask(f"events/{id}", **params)
            assert status == 200, body
            told: str = body["data"]["fate"]
            return told

        first = await post(eventId="t1", amount=5)
        again = await post(eventId="t1", amount=5)
        other = await post(eventId="t1", amount=7)
        await demonstrated.emit(TIP | {"eventId": "t2", "amount": -1})
        await demonstrated.drained()
        assert [await fate("t1", position=one) for one in (first, again, other)] == [
            *("applied", "duplicate", "conflict")
        ]
        assert await fate("t1") == "applied"
        _, body = await ask("events/t2")
        told = body["data"]
        assert (told["fate"], told["field"]) == ("refused", "amount")
        refused_at = told["position"]
        assert await fate("t2", position=refused_at) == "refused"
        assert await fate("t3") == "unknown"
        _, body = await ask("refused")
        kinds = {(one["eventId"], one["fate"]) for one in body["data"]["refused"]}
        assert kinds == {("t1", "conflict"), ("t2", "refused")}
        status, body = await ask("context", minPosition=refused_at)
        assert (status, told["reason"] in body["error"]) == (400, True)
        # A memory's version, an update's and the event's are one thing.
        _, body = await ask("context")
        version = body["data"]["version"]
        _, body = await ask("events/t1")
        assert body["data"]["version"] == version
        assert (await ask("context", minPosition=version))[0] == 200

        listed = demonstrated.json("dlq", "--newest", "10000", "--reason", "amount", "--open")
        (letter,) = [one for one in listed["deadLetters"] if one.get("creatorId") == CREATOR]
        assert (letter["fanId"], letter["eventId"], letter["type"]) == (FAN, "t2", "tip")

        status, body = await ask("clear", "DELETE")
        assert status in (200, 202), body
        await demonstrated.drained()
        places = {"t1": first, "t2": refused_at}
        for id, place in places.items():
            assert (await fate(id), await fate(id, position=place)) == ("unknown", "unknown")
        _, body = await ask("refused")
        assert body["data"]["refused"] == []
        assert FAN not in json.dumps(body["data"])
