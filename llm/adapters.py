"""What sends a message: the recording adapter, which reaches nobody, and HTTP.

HTTP posts `{creatorId, recipientId, platform, text}` with an `Idempotency-Key` that is the same for
every attempt at the same message. What the answer proves is all that counts:

- 2xx: sent.
- 4xx but 408 and 409, and a host that has no address or refuses the connection: surely not sent.
- anything else, and no answer in time: unknown. That is never tried again by a machine.
"""

import asyncio
from typing import Final, NamedTuple, Protocol

import httpx2

from infra.settings import Settings
from stores.workflows.sending import Outcome, Part

_UNCLEAR: Final = frozenset((408, 409))


class Delivery(NamedTuple):
    """What became of a message, and why."""

    outcome: Outcome
    reason: str | None = None
    """A class of ours."""


class Adapter(Protocol):
    """Belongs to one event loop; `close` it there."""

    @property
    def name(self) -> str: ...

    async def send(self, part: Part) -> Delivery:
        """One attempt; never raises for what the other side does."""
        ...

    async def close(self) -> None: ...


class Recording:
    """Says that it was sent: the record of it is the interaction that comes back."""

    name = "recording"

    async def send(self, part: Part) -> Delivery:
        del part
        return Delivery("sent")

    async def close(self) -> None:
        """It holds nothing."""


class Http:
    """Posts to the address of the settings."""

    name = "http"

    def __init__(self, settings: Settings) -> None:
        self._url = settings.send_url
        self._seconds_max = settings.send_seconds_max
        token = settings.send_token.get_secret_value()
        self._client = httpx2.AsyncClient(
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=httpx2.Timeout(None),
            follow_redirects=False,
        )

    async def send(self, part: Part) -> Delivery:
        body = {
            "creatorId": part.creator_id,
            "recipientId": part.fan_id,
            "platform": part.platform,
            "text": part.text,
        }
        try:
            async with asyncio.timeout(self._seconds_max):
                answer = await self._client.post(
                    self._url, json=body, headers={"idempotency-key": part.key}
                )
        except httpx2.ConnectError:
            return Delivery("unsent", "no_connection")
        except TimeoutError:
            return Delivery("unknown", "timeout")
        except (httpx2.HTTPError, OSError):
            return Delivery("unknown", "no_answer")
        return judged(answer.status_code)

    async def close(self) -> None:
        await self._client.aclose()


def judged(status: int) -> Delivery:
    """What an answer proves."""
    if 200 <= status < 300:
        return Delivery("sent")
    if 400 <= status < 500 and status not in _UNCLEAR:
        return Delivery("unsent", f"answered_{status}")
    return Delivery("unknown", f"answered_{status}")


def open_adapter(settings: Settings) -> Adapter:
    return Http(settings) if settings.send_url else Recording()
