"""The client: asks the API to erase somebody and to show them, as often as it takes.

What an answer may be while things are killed: what was asked for; 503 or 504, and none at all, when
something is away. Anything else is counted and fails the run.
"""

import asyncio
import time
from collections import Counter
from typing import Any, Final

import aiohttp
import msgspec

from api.table import PREFIX
from api.tokens import issue_token
from infra.settings import Settings
from schemas.errors import DeadlineExceeded
from schemas.relationship import Relationship

ANSWER_SECONDS_MAX: Final = 15.0
REPEAT_SECONDS: Final = 0.05
PATIENCE_SECONDS_MAX: Final = 120.0
SEEN_SECONDS_MAX: Final = 10.0
TOKEN_SECONDS: Final = 6 * 3600
AWAY: Final = frozenset({0, 503, 504})


class Client:
    """One session; `statuses` counts the answers by (what was asked, status)."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens: dict[str, str] = {}
        url = f"http://{settings.api_host}:{settings.api_port}"
        self._session = aiohttp.ClientSession(
            url, timeout=aiohttp.ClientTimeout(ANSWER_SECONDS_MAX)
        )
        self.statuses: Counter[tuple[str, int]] = Counter()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def erase(self, who: Relationship) -> str:
        """The id of an erasure that was accepted."""
        status, body = await self._until("DELETE", "clear", who, {200, 202})
        return str(body["erasureId"] if status == 200 else body["data"]["erasureId"])

    async def erase_once(self, who: Relationship, seconds: float) -> int:
        """The status of one request, whatever it is; 0 when nobody answers for so many seconds, as
        where the API was killed just now."""
        deadline = time.monotonic() + seconds
        while not (status := (await self._ask("DELETE", "clear", who))[0]):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(REPEAT_SECONDS)
        return status

    async def forget(self, who: Relationship, event_id: str) -> None:
        """Return when a message is forgotten. Raises `DeadlineExceeded`."""
        status, body = await self._until("DELETE", f"messages/{event_id}", who, {200, 202})
        if status == 202:
            await self._complete(who[0], f"forgettings/{body['data']['forgettingId']}")

    async def completed(self, creator_id: str, erasure: str) -> None:
        """Return when the erasure is complete. Raises `DeadlineExceeded`."""
        await self._complete(creator_id, f"erasures/{erasure}")

    async def _complete(self, creator_id: str, path: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS_MAX
        while True:
            _, body = await self._until("GET", path, (creator_id, ""), {200})
            if body["data"]["completed"] is not None:
                return
            if time.monotonic() > deadline:
                waits = ", ".join(body["data"]["waitsFor"])
                raise DeadlineExceeded(f"An order is not completed; it waits for {waits}.")
            await asyncio.sleep(REPEAT_SECONDS)

    async def context_once(self, who: Relationship) -> tuple[int, bytes]:
        """Status and body of one read, whatever they are."""
        return await self._ask("GET", "context", who)

    async def context(self, who: Relationship) -> Any:
        """What is shown of a fan; None when there is nobody. Without what could be missing."""
        status, body = await self._until("GET", "context", who, {200, 404}, strict="true")
        return body["data"] if status == 200 else None

    async def seen(self, who: Relationship, seconds: float = SEEN_SECONDS_MAX) -> bool:
        """Wait until something is shown of a fan: then the cache holds it. False: not in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if await self.context(who) is not None:
                return True
            await asyncio.sleep(REPEAT_SECONDS)
        return False

    async def _until(
        self, method: str, path: str, who: Relationship, wanted: set[int], **query: str
    ) -> tuple[int, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS_MAX
        while True:
            status, body = await self._ask(method, path, who, **query)
            if status in wanted:
                return status, msgspec.json.decode(body)
            if time.monotonic() > deadline:
                raise DeadlineExceeded(f"{method} {path.split('/')[0]} answers {status}.")
            await asyncio.sleep(REPEAT_SECONDS)

    async def _ask(
        self, method: str, path: str, who: Relationship, **query: str
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._token(who[0])}"}
        named = {"creatorId": who[0], "fanId": who[1]} | query if who[1] else query
        try:
            url = f"{PREFIX}/{path}"
            async with self._session.request(method, url, params=named, headers=headers) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            status, body = 0, b""
        self.statuses[f"{method} {path.split('/')[0]}", status] += 1
        return status, body

    def _token(self, creator_id: str) -> str:
        token = self._tokens.get(creator_id)
        if token is None:
            token = issue_token(self._settings, creator_id, "chaos", TOKEN_SECONDS)
            self._tokens[creator_id] = token
        return token
