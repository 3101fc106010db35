"""No tenant takes the places of the others, whether it is served or waits."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints import Access, Endpoint
from api.envelopes import plain
from api.places import Places, Room, waiting
from api.table import ENDPOINTS
from privacy.keys import Keyring
from schemas.errors import Overloaded
from stores.cache import open_cache
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client, running_api

PLACES = 16
SHARE = 4
UNREACHED = "interactions-0:99999"


class Gate:
    """An endpoint that answers once it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = 0

    async def handle(self, _request: Request) -> Response:
        self.inside += 1
        try:
            await self.open.wait()
        finally:
            self.inside -= 1
        return plain({})


async def other(api: Client, **params: str) -> Answer:
    """Another tenant reads its own fan of the same name."""
    return await api.ask(
        "GET",
        f"{PREFIX}/context",
        params={"fanId": FAN, "creatorId": "creator_other"} | params,
        headers={"Authorization": f"Bearer {api.token('creator_other')}"},
    )


async def until(api: Client, gate: Gate, count: int) -> None:
    async with asyncio.timeout(30):
        while gate.inside < count:
            await asyncio.sleep(0.005)


async def test_a_creator_is_served_in_a_quarter_of_the_places_at_the_most(api: Client) -> None:
    gate, doors = Gate(), Gate()
    endpoints = (
        *ENDPOINTS,
        Endpoint("/extra/gate", "GET", gate.handle, "gate"),
        Endpoint("/extra/doors", "GET", doors.handle, "doors", access=Access.PUBLIC),
    )
    changes = {"requests_in_flight_max": PLACES, "request_seconds_max": 60.0}
    async with running_api(api.settings.model_copy(update=changes), endpoints) as small:
        held = [asyncio.create_task(small.ask("GET", "/extra/gate")) for _ in range(SHARE)]
        await until(small, gate, SHARE)
        refused = await small.get("context")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert refused.body["error"] == "Too many requests of this creator are in flight."
        assert (await other(small)).status == 200
        # Whoever has no token is one of many, too.
        public = [
            asyncio.create_task(small.ask("GET", "/extra/doors", headers={})) for _ in range(SHARE)
        ]
        await until(small, doors, SHARE)
        assert (await small.ask("GET", "/extra/doors", headers={})).status == 503
        assert (await other(small)).status == 200
        assert (await small.ask("GET", "/health/live")).status == 200
        gate.open.set()
        doors.open.set()
        assert {answer.status for answer in await asyncio.gather(*held, *public)} == {200}
        assert (await small.get("context")).status == 200


async def test_those_who_wait_for_a_position_keep_nobody_from_being_served(api: Client) -> None:
    changes = {"requests_in_flight_max": PLACES, "request_seconds_max": 60.0}
    async with running_api(api.settings.model_copy(update=changes)) as small:
        await small.hit()

        async def wait() -> Answer:
            return await small.get("context", minPosition=UNREACHED)

        asked = [asyncio.create_task(wait()) for _ in range(SHARE * 10)]
        refused: set[asyncio.Task[Answer]] = set()
        async with asyncio.timeout(30):
            while len(refused) < SHARE * 9:
                done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                refused |= done
                asked = [one for one in asked if one not in done]
        assert {one.result().status for one in refused} == {503}
        # The same tenant's other requests, and another tenant's, whatever they ask.
        assert (await small.get("context")).status == 200
        assert (await small.get("engagement-score")).status == 200
        assert (await wait()).status == 503
        assert (await other(small)).status == 200
        assert (await other(small, minPosition="interactions-0:0")).status == 200
        # Until what they wait for has come; then their places are others'.
        cache = open_cache(small.settings, Keyring.of(small.settings))
        for partition in range(small.settings.journal_partitions):
            await cache.adopt(1, partition, 10**6, {0: 99_999}, seconds=600)
        await cache.close()
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        assert (await wait()).status == 200


async def test_no_more_than_all_places_are_taken(api: Client) -> None:
    gate = Gate()
    endpoints = (*ENDPOINTS, Endpoint("/extra/gate", "GET", gate.handle, "gate"))
    changes = {"requests_in_flight_max": 2, "request_seconds_max": 60.0}
    async with running_api(api.settings.model_copy(update=changes), endpoints) as small:
        tokens = [small.token(f"creator_{number}") for number in range(3)]
        asked = [
            asyncio.create_task(
                small.ask("GET", "/extra/gate", headers={"Authorization": f"Bearer {token}"})
            )
            for token in tokens[:2]
        ]
        await until(small, gate, 2)
        answer = await small.ask(
            "GET", "/extra/gate", headers={"Authorization": f"Bearer {tokens[2]}"}
        )
        assert (answer.status, answer.body["error"]) == (503, "Too many requests are in flight.")
        assert (await small.ask("GET", "/health/live")).status == 200
        gate.open.set()
        assert {one.status for one in await asyncio.gather(*asked)} == {200}


def test_a_room_forgets_who_has_left() -> None:
    room = Room(8)
    for _ in range(3):
        room.enter("a")
        room.enter("a")
        with pytest.raises(Overloaded, match="this creator"):
            room.enter("a")
        room.leave("a")
        room.leave("a")
    assert room._by == {}
    assert not room.full


def test_whoever_is_refused_to_wait_keeps_the_place() -> None:
    places = Places(4)
    scope = {"places": places, "place": CREATOR}
    places.served.enter(CREATOR)
    with waiting(scope):
        assert places.served._by == {}
        places.served.enter(CREATOR)
        with pytest.raises(Overloaded), waiting(scope):
            raise AssertionError
        places.served.leave(CREATOR)
    assert places.served._by == {CREATOR: 1}
    assert places.waiting._by == {}
