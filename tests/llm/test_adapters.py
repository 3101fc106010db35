"""What the answer of a sending service proves, and how calls that were made count."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from infra.settings import Settings
from llm.adapters import Http, Recording, open_adapter
from llm.composer import Progress, progress
from stores.workflows.sending import Part
from stores.workflows.usage import Made

PART = Part(b"w" * 16, 1, 2, datetime.now(UTC), "creator", "fan", "onlyfans", "Hello!")


@asynccontextmanager
async def answering(reply: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A service that says this to everything, hangs up (empty), or says nothing at all (None)."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65_536))
        if reply is None:
            await asyncio.sleep(30)
        elif reply:
            writer.write(reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/send", heard
    server.close()


async def delivered(url: str, seconds: float = 5.0) -> tuple[str, str | None]:
    adapter = Http(Settings(send_url=url, send_token="secret", send_seconds_max=seconds))
    try:
        found = await adapter.send(PART)
        return found.outcome, found.reason
    finally:
        await adapter.close()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((200, "sent"), (202, "sent"), (302, "unknown"), (400, "unsent"), (404, "unsent")),
        *((408, "unknown"), (409, "unknown"), (429, "unsent"), (500, "unknown"), (503, "unknown")),
    ],
)
async def test_only_a_proof_counts(status: int, outcome: str) -> None:
    reply = f"HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
    async with answering(reply) as (url, heard):
        assert (await delivered(url))[0] == outcome
    assert b"idempotency-key: " + b"77" * 16 + b"-2" in heard[0].lower()
    assert b"Bearer secret" in heard[0]


async def test_nobody_who_listens_proves_that_nothing_was_sent() -> None:
    async with answering(b"") as (url, _):
        assert await delivered(url) == ("unknown", "no_answer")
    assert await delivered(url) == ("unsent", "no_connection")


async def test_no_answer_in_time_is_unknown() -> None:
    async with answering(None) as (url, _):
        assert await delivered(url, 0.2) == ("unknown", "timeout")


async def test_without_an_address_nothing_reaches_anybody() -> None:
    adapter = open_adapter(Settings())
    assert isinstance(adapter, Recording)
    assert (await adapter.send(PART)).outcome == "sent"
    assert "Hello" not in repr(PART)


def test_the_calls_that_were_made_say_who_is_asked_next() -> None:
    assert progress([]) == Progress(None, 0, (), 0)
    lost = [Made("openai", "timeout"), Made("openai", None)]
    assert progress(lost) == Progress("openai", 2, (), 0)
    four = [Made("openai", "network")] * 4
    assert progress([*four, Made("azure", "timeout")]) == Progress("azure", 1, ("openai",), 0)
    assert progress([Made("azure", "auth")]).tried == ("azure",)
    assert progress([Made("openai", "invalid")]) == Progress("openai", 0, (), 1)
