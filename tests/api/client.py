"""The API over real HTTP, and what it is asked with."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import uvicorn

from api.app import App
from api.endpoints import Endpoint
from api.protocol import BoundedHttp
from api.table import ENDPOINTS
from api.tokens import issue_token
from infra.settings import Settings
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from schemas.times import MINUTE_MS

PREFIX = "/api/of-memory"
CREATOR, FAN = "creator_456", "fan_123"
SECONDS_MAX = 30.0
"""Generous: the machine may be busy, and a test that passes never waits for it."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """Asks as one creator's user unless told otherwise."""

    def __init__(
        self, url: str, watched: str, session: aiohttp.ClientSession, settings: Settings
    ) -> None:
        self.url = url
        self.watched = watched
        """Where its metrics are, and its health in detail."""
        self.session = session
        self.settings = settings

    def token(self, creator_id: str = CREATOR) -> str:
        return issue_token(self.settings, creator_id, "user_1", 600)

    async def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        sent = {"Authorization": f"Bearer {self.token()}"} if headers is None else headers
        async with self.session.request(method, self.url + path, headers=sent, **more) as answer:
            is_json = answer.content_type == "application/json"
            body = await (answer.json() if is_json else answer.text())
            return Answer(answer.status, answer.headers, body)

    async def get(self, route: str, **params: str) -> Answer:
        """A read of the fan of these tests."""
        asked = {"fanId": FAN, "creatorId": CREATOR} | params
        return await self.ask("GET", f"{PREFIX}/{route}", params=asked)

    async def metrics(self) -> str:
        async with self.session.get(f"{self.watched}/metrics") as answer:
            assert answer.status == 200
            return await answer.text()

    async def health(self) -> Answer:
        """What readiness stands on."""
        async with self.session.get(f"{self.watched}/health/ready") as answer:
            return Answer(answer.status, answer.headers, await answer.json())

    async def counter(self, name: str) -> float:
        """A number of `/metrics`, by its name with its labels."""
        text = await self.metrics()
        (line,) = [line for line in text.splitlines() if line.startswith(name + " ")]
        return float(line.rpartition(" ")[2])

    async def hit(self, **params: str) -> Answer:
        """A context that the cache answered: after a miss it is filled a moment later."""
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                before = await self.counter("memory_cache_hits_total")
                answer = await self.get("context", **params)
                if await self.counter("memory_cache_hits_total") == before + 1:
                    return answer

    async def until(
        self, question: Callable[[], Awaitable[Answer]], status: int, seconds: float = SECONDS_MAX
    ) -> Answer:
        """Ask until it is answered with that status."""
        deadline = time.monotonic() + seconds
        while (answer := await question()).status != status:
            assert time.monotonic() < deadline, f"still {answer.status}: {answer.body}"
            await asyncio.sleep(0.05)
        return answer

    async def post(self, event: Any, **more: Any) -> Answer:
        return await self.ask("POST", f"{PREFIX}/interaction", json=event, **more)


@asynccontextmanager
async def running_api(
    settings: Settings, endpoints: Sequence[Endpoint] = ENDPOINTS
) -> AsyncIterator[Client]:
    """One API on a free port, in this event loop."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = App(settings, endpoints)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            http=BoundedHttp,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        port = listening.getsockname()[1]
        assert app.exposition is not None
        watched = f"http://127.0.0.1:{app.exposition.port}"
        async with aiohttp.ClientSession() as session:
            yield Client(f"http://127.0.0.1:{port}", watched, session, settings)
    finally:
        server.should_exit = True
        await serving
        listening.close()


def conversation(messages: int = 60, *, now: int | None = None) -> list[JournalEntry]:
    """Fan and creator take turns, a minute apart; then the fan buys something for 20.00."""
    end = time.time_ns() // 1_000_000 if now is None else now
    texts = ["I love this, thank you 😍", "Hey you, how was your day?"]
    features = [
        TextFeatures(
            "positive", 0.9, 0.95, {"love": 0.9}, language="en", emojis=("😍",), length=24
        ),
        TextFeatures(language="en", length=26),
    ]
    entries = [
        JournalEntry(
            f"m{i}",
            "message",
            end - (messages - i + 1) * MINUTE_MS,
            "creator" if i % 2 else "fan",
            content=texts[i % 2],
            text=features[i % 2],
        )
        for i in range(messages)
    ]
    bought = JournalEntry("p0", "purchase", end - MINUTE_MS, amount=2000, content_type="video")
    return [*entries, bought]
