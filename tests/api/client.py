"""The API over real HTTP, and what it is asked with."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import uvicorn

from api.app import create_app
from api.tokens import issue_token
from infra.settings import Settings
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from schemas.times import MINUTE_MS

PREFIX = "/api/of-memory"
CREATOR, FAN = "creator_456", "fan_123"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """Asks as one creator's user unless told otherwise."""

    def __init__(self, url: str, session: aiohttp.ClientSession, settings: Settings) -> None:
        self.url = url
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

    async def post(self, event: Any, **more: Any) -> Answer:
        return await self.ask("POST", f"{PREFIX}/interaction", json=event, **more)


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[Client]:
    """One API on a free port, in this event loop."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), log_config=None, access_log=False, lifespan="on")
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.005)
        port = listening.getsockname()[1]
        async with aiohttp.ClientSession() as session:
            yield Client(f"http://127.0.0.1:{port}", session, settings)
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
