"""A client of server-sent events, as the standard has it: ids are kept, comments are counted."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from infra import kafka
from infra.settings import Settings
from schemas.topics import MEMORY_UPDATES, WORKFLOW_TRACES
from schemas.updates import MemoryUpdate, encode_update
from tests.api.client import CREATOR, PREFIX, SECONDS_MAX, Client


class Event(NamedTuple):
    name: str
    data: Any
    id: str


class Listener:
    """One open stream."""

    def __init__(self, answer: aiohttp.ClientResponse, last: str | None) -> None:
        self.answer = answer
        self.last = last
        """What a browser would send as `Last-Event-ID`."""
        self.comments = 0

    async def event(self) -> Event | None:
        """The next one; None at the end."""
        async with asyncio.timeout(SECONDS_MAX):
            while (block := await self._block()) is not None:
                if "data" in block:
                    name = block.get("event", "message")
                    return Event(name, json.loads(block["data"]), str(self.last))
        return None

    async def events(self, count: int) -> list[Event]:
        found: list[Event] = []
        for _ in range(count):
            one = await self.event()
            assert one is not None, f"it ended after {found}"
            found.append(one)
        return found

    async def place(self) -> str:
        """The id that it gives without an event."""
        async with asyncio.timeout(SECONDS_MAX):
            while (block := await self._block()) is not None:
                assert "data" not in block, block
                if "id" in block:
                    return str(self.last)
        raise AssertionError("it ended")

    async def _block(self) -> dict[str, str] | None:
        fields: dict[str, str] = {}
        while line := await self.answer.content.readline():
            text = line.decode().rstrip("\n")
            if not text:
                self.last = fields.get("id", self.last)
                return fields
            name, _, value = text.partition(":")
            self.comments += not name
            fields[name] = value.removeprefix(" ")
        return None


@asynccontextmanager
async def listening(
    api: Client,
    creator: str = CREATOR,
    *,
    last: str | None = None,
    token: str | None = None,
    **query: str,
) -> AsyncIterator[Listener]:
    headers = {"Authorization": f"Bearer {token or api.token(creator)}"}
    if "ticket" in query:
        del headers["Authorization"]
    if last is not None:
        headers["Last-Event-ID"] = last
    asked = {"creatorId": creator} | query
    url = f"{api.url}{PREFIX}/stream"
    timeout = aiohttp.ClientTimeout(sock_connect=SECONDS_MAX)
    async with api.session.get(url, params=asked, headers=headers, timeout=timeout) as answer:
        assert answer.status == 200, await answer.text()
        yield Listener(answer, last)


def update(number: int, fan: str = "fan", creator: str = CREATOR, **more: Any) -> MemoryUpdate:
    at = f"journal-0:{number}"
    return MemoryUpdate(
        creator, fan, ("engagementMetrics",), at, 0.5, "2026-01-01T00:00:00Z", **more
    )


async def tell(settings: Settings, *updates: MemoryUpdate | bytes) -> None:
    """Write these on `memory-updates`, as a relay does."""
    producer = kafka.producer(settings)
    await kafka.connect(producer)
    try:
        sends: Sequence[Any] = [
            await producer.send(MEMORY_UPDATES.name, one, partition=0)
            if isinstance(one, bytes)
            else await producer.send(
                MEMORY_UPDATES.name,
                encode_update(one),
                key=kafka.relationship_key(one.creator_id, one.fan_id),
            )
            for one in updates
        ]
        await asyncio.gather(*sends)
    finally:
        await kafka.disconnect(producer)


async def tell_of_workflows(settings: Settings, values: Sequence[bytes]) -> None:
    """Write these on `workflow-traces`, one behind the other."""
    producer = kafka.producer(settings)
    await kafka.connect(producer)
    try:
        for value in values:
            await producer.send_and_wait(WORKFLOW_TRACES.name, value, partition=0)
    finally:
        await kafka.disconnect(producer)


def numbers(events: Sequence[Event]) -> list[int]:
    """Which updates these are."""
    return [int(one.data["version"].rpartition(":")[2]) for one in events]
