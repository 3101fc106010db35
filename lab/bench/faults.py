"""How late answers are while a store is at fault: "no request over its deadline by 10 %".

Runs the real API process on real, embedded services of its own, with a TCP proxy before Redis and
one before Postgres, and breaks each in each way while contexts are asked for, known fans' and
unknown ones' (the latter are in no cache) in turns, at `rate` a second whatever the answers do:

- **black hole**: connections are taken, nothing passes;
- **reset**: every connection breaks as soon as something is to pass;
- **drip**: answers come byte by byte;
- **delay**: answers come 3 s late.

Latency is from the appointed time. Then the proxy is mended, and the time is taken until the API
says that all circuits are closed. Before that, **stalled**: what a Redis that hangs costs those
whose memory is in it.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from api.tokens import issue_token
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.http import Connection, Load, connect, get_request, open_loop
from lab.bench.seed import seed
from lab.bench.serving import REQUESTS_PER_MINUTE, api_process
from ops.system import environment, running_services
from schemas.errors import ServiceFailed

FAULTS: Final = ("black hole", "reset", "drip", "delay")
CREATOR: Final = "bench"
FANS: Final = 50
CONNECTIONS: Final = 300
"""More than a deadline's worth of requests at the rates that are asked for here."""
CHUNK_BYTES: Final = 65_536
DRIP_SECONDS: Final = 0.05
DELAY_SECONDS: Final = 3.0
LATE: Final = 1.1
MENDED_SECONDS_MAX: Final = 60.0
PREFIX: Final = "/api/of-memory"


class Faulty:
    """A TCP proxy before a server. `fault` may change at any time; "" passes everything on."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._links: set[asyncio.Task[None]] = set()
        self._mended = asyncio.Event()
        self.fault = ""
        self.port = 0

    def before(self, url: str) -> str:
        """A URL of the same server, through here."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{self.port}"))

    def begin(self, fault: str) -> None:
        self.fault = fault
        self._mended.clear()

    def mend(self) -> None:
        self.fault = ""
        self._mended.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        if task is not None:
            self._links.add(task)
            task.add_done_callback(self._links.discard)
        try:
            theirs = await asyncio.open_connection(self._server.hostname, self._server.port)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.ensure_future(self._pass(reader, theirs[1], writer, answers=False)),
            asyncio.ensure_future(self._pass(theirs[0], writer, writer, answers=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.close()
            theirs[1].close()

    async def stop(self) -> None:
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self.fault == "reset":
                    client.transport.abort()
                    return
                if self.fault == "black hole":
                    await self._mended.wait()
                if answers and self.fault == "delay":
                    await asyncio.sleep(DELAY_SECONDS)
                while answers and self.fault == "drip" and chunk:
                    writer.write(chunk[:1])
                    chunk = chunk[1:]
                    await asyncio.sleep(DRIP_SECONDS)
                writer.write(chunk)
                await writer.drain()


@asynccontextmanager
async def faulty(url: str) -> AsyncIterator[Faulty]:
    made = Faulty(url)
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listener.close()
        made.mend()
        await made.stop()


async def measure(
    settings: Settings, rate: float, seconds: float, faults: Sequence[str] = FAULTS
) -> dict[str, Any]:
    """All figures; raises `ServiceFailed` when a circuit stays open."""
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(settings, Path(folder)) as (complete, *_):
            await seed(complete, {(CREATOR, f"fan-{n}"): interactions(80, n) for n in range(FANS)})
            async with (
                faulty(complete.redis_url) as redis,
                faulty(complete.postgres_url) as postgres,
                api_process(
                    complete, Path(folder), environment(_through(complete, redis, postgres))
                ) as (port, _),
            ):
                token = issue_token(complete, CREATOR, "bench", 3600)
                bench = _Bench(complete, port, token, await connect(complete.api_host, port, 1))
                stalled = await bench.stalled(redis, rate, seconds)
                found = [
                    {"of": name} | await bench.broken(proxy, fault, rate, seconds)
                    for name, proxy in (("redis", redis), ("postgres", postgres))
                    for fault in faults
                ]
                return {"rate": rate, "stalled": stalled, "faults": found}


def _through(settings: Settings, redis: Faulty, postgres: Faulty) -> Settings:
    """As the API process has them."""
    reader = settings.postgres_reader_url
    return settings.model_copy(
        update={
            "redis_url": redis.before(settings.redis_url),
            "postgres_url": postgres.before(settings.postgres_url),
            "postgres_reader_url": postgres.before(reader) if reader else "",
            "postgres_owner_url": "",
            "postgres_owner_password": SecretStr(""),
            "user_requests_per_minute": REQUESTS_PER_MINUTE,
            "creator_requests_per_minute": REQUESTS_PER_MINUTE,
        }
    )


class _Bench:
    def __init__(
        self, settings: Settings, port: int, token: str, one: Sequence[Connection]
    ) -> None:
        self._settings = settings
        self._port = port
        self._token = token
        self._one = one[0]

    def _request(self, route: str, fan: str) -> bytes:
        path = f"{PREFIX}/{route}?creatorId={CREATOR}&fanId={fan}"
        return get_request(path, self._token, self._settings.api_host)

    async def _load(self, requests: Sequence[bytes], rate: float) -> Load:
        connections = await connect(self._settings.api_host, self._port, CONNECTIONS)
        try:
            return await open_loop(connections, requests, rate)
        finally:
            for connection in connections:
                connection.close()

    async def stalled(self, redis: Faulty, rate: float, seconds: float) -> dict[str, Any]:
        """What is cached, while Redis hangs."""
        known = [self._request("context", f"fan-{n}") for n in range(FANS)]
        await self._load(known, max(rate, 50.0))
        redis.begin("black hole")
        try:
            load = await self._load([known[n % FANS] for n in range(int(rate * seconds))], rate)
        finally:
            redis.mend()
        return load.summary() | {"mendedSeconds": await self._mended()}

    async def broken(
        self, proxy: Faulty, fault: str, rate: float, seconds: float
    ) -> dict[str, Any]:
        requests = [
            self._request("context", f"nobody-{n}" if n % 2 else f"fan-{n % FANS}")
            for n in range(int(rate * seconds))
        ]
        proxy.begin(fault)
        try:
            load = await self._load(requests, rate)
        finally:
            proxy.mend()
        allowed = self._settings.request_seconds_max * LATE
        late = sum(latency > allowed for latency in load.latencies)
        counted = {"fault": fault, "late": late}
        return counted | load.summary() | {"mendedSeconds": await self._mended()}

    async def _mended(self) -> float:
        """Seconds until all circuits are closed."""
        began = time.perf_counter()
        asked = get_request(f"{PREFIX}/stats", self._token, self._settings.api_host)
        while time.perf_counter() - began < MENDED_SECONDS_MAX:
            status, _ = await self._one.ask(asked)
            circuits = json.loads(self._one.body)["data"] if status == 200 else {}
            if circuits and all(one["state"] == "CLOSED" for one in circuits.values()):
                return round(time.perf_counter() - began, 2)
            await asyncio.sleep(0.1)
        raise ServiceFailed("A circuit stays open although its store is back.")
