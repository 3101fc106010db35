"""A whole small system for clients: a worker, and an API that is a process of its own."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from api.tokens import issue_token
from infra.settings import Settings
from ops.services import Endpoints
from ops.services.ports import free_port
from tests import forked
from tests.pipeline import Pipeline, fresh_pipeline, known_to

CREATOR = "creator_456"
START_SECONDS_MAX = 30.0
PATIENT = {"own_write_seconds_max": 30.0, "request_seconds_max": 60.0}
"""A busy machine may take longer than 300 ms for what takes 20."""


@dataclass(frozen=True)
class Live:
    """Where a client is pointed to."""

    url: str
    pipeline: Pipeline

    def token(self, creator_id: str = CREATOR, scope: str | None = None) -> str:
        return issue_token(self.pipeline.settings, creator_id, "user_1", 600, scope=scope)


@asynccontextmanager
async def live_system(endpoints: Endpoints, template: str, folder: Path) -> AsyncIterator[Live]:
    async with fresh_pipeline(endpoints, template, folder, **PATIENT) as pipeline:
        pipeline.start_worker()
        await pipeline.claimed()
        await pipeline.vouched()
        async with api_process(pipeline.settings, folder) as url:
            yield Live(url, pipeline)


@asynccontextmanager
async def api_process(settings: Settings, folder: Path) -> AsyncIterator[str]:
    """The URL of `fanmemory api`, which ends with this."""
    async with seen_api_process(settings, folder) as (url, _):
        yield url


@asynccontextmanager
async def seen_api_process(settings: Settings, folder: Path) -> AsyncIterator[tuple[str, int]]:
    """The same, and its process id."""
    port = free_port()
    log = folder / "api.log"
    process = forked.FORKED.start(
        words=["api", "--data", str(folder), "--port", str(port)],
        environment=os.environ | known_to(None, settings),
        directory=str(Path.cwd()),
        streams=[os.devnull, str(log), str(log)],
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(START_SECONDS_MAX):
            while not await _answers(session, url):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.05)
        yield url, process.pid
    finally:
        process.kill()
        process.wait(10)
        print("api:", *log.read_text().splitlines()[-20:], sep="\n")


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health/live"):
            return True
    except aiohttp.ClientConnectionError:
        return False
