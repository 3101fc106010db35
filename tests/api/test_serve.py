"""The API as a process: started, asked, stopped by a signal."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from api.serve import serve
from api.tokens import issue_token
from infra.settings import Settings
from ops.services.ports import free_port
from schemas.errors import ServiceFailed
from tests.services import kafka_variables


@dataclass
class Process:
    url: str
    process: asyncio.subprocess.Process


@asynccontextmanager
async def api_process(settings: Settings, folder: Path) -> AsyncIterator[Process]:
    port = free_port()
    environment = os.environ | {
        **kafka_variables(settings),
        "FANMEMORY_POSTGRES_URL": settings.postgres_url,
        "FANMEMORY_REDIS_URL": settings.redis_url,
        "FANMEMORY_KEYRING": settings.keyring.get_secret_value(),
        "FANMEMORY_JWT_SECRET": settings.jwt_secret.get_secret_value(),
        "FANMEMORY_REQUEST_SECONDS_MAX": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops.cli", "api", "--data", str(folder), "--port", str(port)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Process(f"http://127.0.0.1:{port}", process)
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                try:
                    async with session.get(f"{running.url}/health/live"):
                        break
                except aiohttp.ClientConnectionError:
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_requests_finish_and_ends_the_process_with_0(
    store_settings: Settings, tmp_path: Path, number: signal.Signals
) -> None:
    async with api_process(store_settings, tmp_path) as running:
        token = issue_token(store_settings, "c1", "u1", 60)
        query = "fanId=f1&creatorId=c1&minPosition=interactions-0:99999"
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            waiting = asyncio.create_task(
                session.get(f"{running.url}/api/of-memory/context?{query}")
            )
            await asyncio.sleep(0.3)
            running.process.send_signal(number)
            answer = await waiting
            assert answer.status == 504  # its own deadline, not a broken connection
            answer.release()
        async with asyncio.timeout(10):
            out, err = await running.process.communicate()
        assert running.process.returncode == 0
        assert out == b""
        assert b"Traceback" not in err


async def test_a_port_that_is_taken_is_said_with_what_to_do(store_settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = store_settings.model_copy(update={"api_port": taken.getsockname()[1]})
        with pytest.raises(ServiceFailed, match="Can't listen") as raised:
            await serve(settings)
        assert "--api-port" in raised.value.advice


async def test_answers_are_not_held_back_by_the_network_stack(store_settings: Settings) -> None:
    """On asyncio's own loop: without TCP_NODELAY each of these would take 40 ms."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = store_settings.model_copy(update={"api_port": 0})
    serving = asyncio.create_task(serve(settings, started.set_result))
    url = await started
    try:
        async with aiohttp.ClientSession() as session:
            took = []
            for _ in range(21):
                began = time.perf_counter()
                async with session.get(f"{url}/health/live") as answer:
                    await answer.read()
                took.append(time.perf_counter() - began)
        assert sorted(took)[10] < 0.03
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
