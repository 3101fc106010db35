"""What slow strangers, and a tenant far beyond its limits, cost everybody else.

A real API process on embedded services of its own. A creator's clients ask for cached contexts at
a fixed rate, alone; then beside `connections` of each kind of slow connection at once (`KINDS`),
each made anew as soon as the API closes it; and then beside another creator, whose users together
ask ten times as often as the creator may (`FANMEMORY_CREATOR_REQUESTS_PER_MINUTE`).

Latency is from the appointed time, and anything but a 200 counts as refused. Strangers and the
other creator's users are processes of their own, so that the client's latencies hold nothing of
what it costs to be them.
"""

import asyncio
import contextlib
import os
import resource
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from api.tokens import issue_token
from infra.settings import Settings
from lab.bench.fold import interactions
from lab.bench.http import Load, connect, get_request, open_loop
from lab.bench.seed import seed
from lab.bench.serving import api_process
from ops.system import environment, running_services

FANS: Final = 100
ENTRIES: Final = 80
CLIENT, NOISY = "bench", "noisy"
CLIENT_USERS: Final = 20
"""Below what each of them may ask."""
CLIENT_CONNECTIONS: Final = 20
NOISY_USERS: Final = 200
NOISY_CONNECTIONS: Final = 64
TIMES: Final = 10
"""How much more often than it may the noisy creator asks."""
PAUSE_SECONDS: Final = 1.0
"""Between two bytes of a stranger."""
AGAIN_SECONDS: Final = 0.2
"""Before a stranger who was thrown out comes back."""
SETTLE_SECONDS: Final = 2.0
PREFIX: Final = "/api/of-memory"
_POST: Final = (
    b"POST /api/of-memory/interaction HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
)
_PROBE: Final = b"GET /health/ready HTTP/1.1\r\nHost: bench\r\n\r\n"
KINDS: Final[dict[str, tuple[bytes, bytes]]] = {
    "silent": (b"", b""),
    "a head byte by byte": (b"GET /health/live HTTP/1.1\r\nX-Slow: ", b"a"),
    "idle, with line breaks": (b"GET /health/live HTTP/1.1\r\nHost: bench\r\n\r\n", b"\r\n"),
    "a body byte by byte": (_POST + b"Content-Length: 100000\r\n\r\n{", b" "),
    "a chunk byte by byte": (_POST + b"Transfer-Encoding: chunked\r\n\r\nfff0\r\n{", b" "),
    "trailers without end": (_POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: 1\r\n"),
    "answers that nobody reads": (b"GET /openapi.json HTTP/1.1\r\nHost: bench\r\n\r\n" * 50, b""),
    "requests by the thousands": (b"GET /x HTTP/1.1\r\nHost: bench\r\n\r\n" * 5000, b""),
    "probes": (_PROBE, _PROBE),
}
"""What each says at first, and then again and again; who says nothing more reads nothing."""


class Strangers:
    """Connections of every kind, for as long as it is entered."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self._words = [host, str(port), str(connections)]
        self.opened = 0
        """How often one was made; more than there are were thrown out, and came back."""

    @asynccontextmanager
    async def at_it(self) -> AsyncIterator[None]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, *self._words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if process.stdout is not None:
            await process.stdout.readline()  # all are there
        try:
            yield
        finally:
            said, _ = await process.communicate(b"")  # at the end of its input it ends
            self.opened = int(said)


class _Crowd:
    """The same, in the process that does it."""

    def __init__(self, host: str, port: int) -> None:
        self._where = host, port
        self.opened = 0
        self._wanted = 0
        self._all = asyncio.Event()

    async def stay(self, connections: int, ended: Awaitable[object]) -> None:
        self._wanted = connections * len(KINDS)
        tasks = [
            asyncio.create_task(self._be(first, more))
            for first, more in KINDS.values()
            for _ in range(connections)
        ]
        await self._all.wait()
        print("begins", flush=True)
        await ended
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _be(self, first: bytes, more: bytes) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(*self._where)
                self.opened += 1
                if self.opened >= self._wanted:
                    self._all.set()
                try:
                    writer.write(first)
                    if not more:
                        writer.transport.pause_reading()  # type: ignore[attr-defined]
                    while not writer.is_closing() and not reader.at_eof():
                        await asyncio.sleep(PAUSE_SECONDS)
                        if more:
                            writer.write(more)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(AGAIN_SECONDS)


async def crowd(host: str, port: int, connections: int) -> int:
    """Be strangers until the standard input ends; how often a connection was made."""
    many = _Crowd(host, port)
    await many.stay(connections, asyncio.to_thread(sys.stdin.read))
    return many.opened


class Noise(msgspec.Struct):
    """What the other creator's users do."""

    host: str
    port: int
    tokens: list[str]
    rate: float
    seconds: float
    connections: int
    fans: int

    async def make(self) -> Load:
        count = int(self.rate * self.seconds)
        requests = _requests(NOISY, self.tokens, count, self.host, self.fans)
        made = await connect(self.host, self.port, self.connections)
        print("begins", flush=True)
        try:
            return await open_loop(made, requests, self.rate)
        finally:
            for one in made:
                one.close()


def make_noise(words: str) -> None:
    """In a process of its own; prints what the users met."""
    noise = msgspec.json.decode(words, type=Noise)
    load = asyncio.run(noise.make())
    print(msgspec.json.encode(load.summary()).decode())


@asynccontextmanager
async def _noisy(noise: Noise) -> AsyncIterator[dict[str, Any]]:
    """While it is entered somebody makes it; afterwards what they met is in what it gives."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, msgspec.json.encode(noise).decode()),
        stdout=asyncio.subprocess.PIPE,
    )
    met: dict[str, Any] = {}
    if process.stdout is not None:
        await process.stdout.readline()  # it begins
    try:
        yield met
    finally:
        said, _ = await process.communicate()
    met |= msgspec.json.decode(said)
    met["statuses"] = {int(status): count for status, count in met["statuses"].items()}


async def measure(
    settings: Settings, rate: float, seconds: float, connections: int
) -> dict[str, Any]:
    """The client's latencies in each company, and the most memory that the API took."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with running_services(settings, Path(folder)) as (complete, *_):
            histories = {
                (creator, f"fan-{n}"): interactions(ENTRIES, n)
                for creator in (CLIENT, NOISY)
                for n in range(FANS)
            }
            await seed(complete, histories)
            variables = environment(complete.model_copy(update={"postgres_owner_url": ""}))
            async with api_process(complete, Path(folder), variables, limited=True) as (port, pid):
                bench = _Bench(complete, port)
                await bench.load(CLIENT, CLIENT_USERS, 50, 2 * FANS / 50, CLIENT_CONNECTIONS)
                alone = await bench.client(rate, seconds)
                strangers = Strangers(complete.api_host, port, connections)
                memory = {"before": _memory(pid)}
                async with strangers.at_it():
                    await asyncio.sleep(SETTLE_SECONDS)
                    beside = await bench.client(rate, seconds)
                memory["beside"] = _memory(pid)
                await asyncio.sleep(SETTLE_SECONDS)
                calm = await bench.client(rate, seconds)
                loud, noisy = await bench.crowded(rate, seconds)
        return {
            "rate": rate,
            "connections": connections * len(KINDS),
            "opened": strangers.opened,
            "memoryMib": memory,
            "alone": _told(alone),
            "besideStrangers": _told(beside),
            "aloneAgain": _told(calm),
            "besideTenant": _told(loud),
            "tenant": noisy,
        }


class _Bench:
    def __init__(self, settings: Settings, port: int) -> None:
        self._settings = settings
        self._port = port

    async def client(self, rate: float, seconds: float) -> Load:
        return await self.load(CLIENT, CLIENT_USERS, rate, seconds, CLIENT_CONNECTIONS)

    async def crowded(self, rate: float, seconds: float) -> tuple[Load, dict[str, Any]]:
        """What the client met, and what the noisy creator's users did."""
        noise = Noise(
            self._settings.api_host,
            self._port,
            self._tokens(NOISY, NOISY_USERS),
            TIMES * self._settings.creator_requests_per_minute / 60,
            seconds + 2 * SETTLE_SECONDS,
            NOISY_CONNECTIONS,
            FANS,
        )
        async with _noisy(noise) as met:
            await asyncio.sleep(SETTLE_SECONDS)
            client = await self.client(rate, seconds)
        return client, met

    async def load(
        self, creator: str, users: int, rate: float, seconds: float, connections: int
    ) -> Load:
        tokens = self._tokens(creator, users)
        count = int(rate * seconds)
        requests = _requests(creator, tokens, count, self._settings.api_host, FANS)
        made = await connect(self._settings.api_host, self._port, connections)
        try:
            return await open_loop(made, requests, rate)
        finally:
            for one in made:
                one.close()

    def _tokens(self, creator: str, users: int) -> list[str]:
        return [issue_token(self._settings, creator, f"user-{n}", 3600) for n in range(users)]


def _requests(
    creator: str, tokens: Sequence[str], count: int, host: str, fans: int
) -> Sequence[bytes]:
    return [
        get_request(
            f"{PREFIX}/context?creatorId={creator}&fanId=fan-{n % fans}",
            tokens[n % len(tokens)],
            host,
        )
        for n in range(count)
    ]


def _told(load: Load) -> dict[str, object]:
    refused = sum(count for status, count in load.statuses.items() if status != 200)
    return load.summary() | {"refused": refused}


def _memory(pid: int) -> float:
    """MiB that a process has in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576, 1)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        make_noise(sys.argv[1])
    else:
        print(asyncio.run(crowd(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
