"""What became of an event, and what of a creator's was refused."""

import json
import time
from functools import partial
from typing import Any

import pytest

from infra.postgres import connecting
from privacy.keys import Keyring
from schemas.dead_letters import CONFLICT_REASON
from schemas.positions import Position, parse_position
from schemas.times import render_time
from stores import refused
from stores.letters import Letters
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client
from tests.api.test_writes import EVENT, record_at

NOW = int(time.time() * 1000)


async def refuse(api: Client, id: str, place: int, reason: str = "no", **more: Any) -> None:
    """As ingest does."""
    value = json.dumps({"creatorId": CREATOR, "fanId": FAN, "eventId": id, "type": "tip"} | more)
    letters = Letters(Keyring.of(api.settings))
    async with connecting(api.settings.postgres_url) as db:
        (sealing,) = await letters.sealings(db, [(CREATOR, FAN)])
        source = Position("interactions", 0, place)
        letter = letters.letter(source, value.encode(), "amount", reason, NOW, sealing)
        await refused.write(db, [letter.row])


async def fate(api: Client, id: str, **params: str) -> Any:
    """Asked until it is answered: this API gives a request one second, and the machine is busy."""
    answer = await api.until(lambda: api.get(f"events/{id}", **params), 200)
    return answer.body["data"]


async def test_of_an_id_it_tells_what_counts_and_what_does_not(api: Client) -> None:
    applied = await fate(api, "m0")
    assert (applied["fate"], applied["type"], applied["refusals"]) == ("applied", "message", [])
    assert applied["version"].startswith("journal-")
    assert (await fate(api, "m0", type="tip"))["fate"] == "unknown"
    assert (await fate(api, "never"))["fate"] == "unknown"
    await refuse(api, "bad", 1_000_001)
    told = await fate(api, "bad")
    assert (told["fate"], told["field"], told["reason"]) == ("refused", "amount", "no")
    assert (told["type"], told["position"]) == ("tip", "interactions-0:1000001")
    await refuse(api, "m0", 1_000_002, CONFLICT_REASON, type="message")
    told = await fate(api, "m0")
    assert told["fate"] == "applied"
    assert told["refusals"] == [
        {
            "fate": "conflict",
            "position": "interactions-0:1000002",
            "field": "amount",
            "reason": CONFLICT_REASON,
            "refusedAt": render_time(NOW),
            "fanId": FAN,
            "eventId": "m0",
            "type": "message",
        }
    ]
    assert (await fate(api, "m0", position="interactions-0:1000002"))["fate"] == "conflict"


async def test_what_is_on_its_way_is_accepted_and_its_place_is_no_other_events(api: Client) -> None:
    """Nobody ingests here."""
    posted = await api.post(EVENT | {"eventId": "coming"})
    position = posted.body["position"]
    for params in ({}, {"position": position}):
        told = await fate(api, "coming", **params)
        assert (told["fate"], told["position"]) == ("accepted", position)
    for id, params in (
        ("another", {}),
        ("coming", {"fanId": "another"}),
        ("coming", {"type": "tip"}),
    ):
        asked = partial(api.get, f"events/{id}", position=position, **params)
        answer = await api.until(asked, 400)
        assert "position: is not" in answer.body["error"]
    unnamed = (await api.post(EVENT)).body["position"]
    assert (await fate(api, unnamed, position=unnamed))["fate"] == "accepted"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"position": "journal-0:1"}, "position"),
        ({"position": "x"}, "position"),
        ({"type": "wink"}, "type"),
    ],
)
async def test_a_wrong_parameter_is_named(api: Client, params: dict[str, str], field: str) -> None:
    answer = await api.get("events/m0", **params)
    assert (answer.status, answer.body["error"].partition(":")[0]) == (400, field)


async def listed(api: Client, **params: str) -> Answer:
    headers = {"Authorization": f"Bearer {api.token()}"}
    return await api.ask("GET", f"{PREFIX}/refused", headers=headers, params=params)


async def test_a_creators_refusals_come_page_by_page_the_newest_first(api: Client) -> None:
    for n in range(5):
        await refuse(api, f"paged{n}", 2_000_000 + n)
    found: list[str] = []
    cursor: dict[str, str] = {}
    while len(found) < 5:
        page = (await listed(api, limit="2", **cursor)).body["data"]
        found += [one["eventId"] for one in page["refused"]]
        cursor = {"cursor": page["nextCursor"]}
    assert found[:5] == [f"paged{n}" for n in (4, 3, 2, 1, 0)]
    assert (await listed(api, limit="200")).body["data"]["nextCursor"] is None
    for wrong in ({"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"cursor": "made up"}):
        assert (await listed(api, **wrong)).status == 400, wrong
    others = {"Authorization": f"Bearer {api.token('creator_other')}"}
    answer = await api.ask("GET", f"{PREFIX}/refused", headers=others)
    assert answer.body["data"]["refused"] == []


async def test_min_position_of_what_was_refused_says_why_at_once(api: Client) -> None:
    """Also of what only ingest could refuse, as a correction that comes too late."""
    position = (await api.post(EVENT | {"eventId": "too late"})).body["position"]
    place = parse_position(position)
    value = (await record_at(api, position)).value
    letters = Letters(Keyring.of(api.settings))
    async with connecting(api.settings.postgres_url) as db:
        (sealing,) = await letters.sealings(db, [(CREATOR, FAN)])
        letter = letters.letter(place, value, "refersTo", "the fan has too many", NOW, sealing)
        await refused.write(db, [letter.row])
    answer = await api.until(partial(api.get, "context", minPosition=position), 400)
    assert "was refused: refersTo: the fan has too many" in answer.body["error"]


async def test_a_version_is_a_position_that_a_read_can_ask_for(api: Client) -> None:
    version = (await api.get("context")).body["data"]["version"]
    for route in ("context", "engagement-score"):
        answer = await api.until(partial(api.get, route, minPosition=version), 200)
        assert answer.body["data"]["version"] == version
    place = parse_position(version)
    ahead = f"journal-{place.partition}:{place.offset + 1000}"
    assert (await api.get("context", minPosition=ahead)).status == 504
    other = f"journal-{(place.partition + 1) % api.settings.journal_partitions}:0"
    answer = await api.until(partial(api.get, "context", minPosition=other), 400)
    assert "not a version of this fan" in answer.body["error"]
    assert (await api.get("context", minPosition="intents-0:0")).status == 400
