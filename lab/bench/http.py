"""A small HTTP/1.1 client for load: keep-alive connections, requests made beforehand.

Measuring with a general client would measure the client: this one costs about 15 us a request.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.errors import ServiceFailed

_HEAD_END: Final = b"\r\n\r\n"


def get_request(path: str, token: str, host: str) -> bytes:
    lines = (f"GET {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {token}")
    return "\r\n".join(lines).encode() + _HEAD_END


def post_request(path: str, token: str, host: str, media: str, body: bytes) -> bytes:
    lines = (f"POST {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {token}")
    about = (f"Content-Type: {media}", f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, *about)).encode() + _HEAD_END + body


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None  # uvloop's are no asyncio.Transport
        self._received = bytearray()
        self._answered: asyncio.Future[tuple[int, int]] | None = None
        self.body = b""
        """Of the last answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        mark = head.index(b"content-length:") + 15
        length = int(head[mark:].split(b"\r\n", 1)[0])
        if len(self._received) < end + 4 + length:
            return
        status = int(head[9:12])
        self.body = bytes(self._received[end + 4 : end + 4 + length])
        self._received.clear()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result((status, length))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ServiceFailed("The API closed a connection."))

    async def ask(self, request: bytes) -> tuple[int, int]:
        """(status, bytes of the body)."""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        self._transport.close()


async def connect(host: str, port: int, count: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Connection, host, port) for _ in range(count)]
    return [connection for _, connection in made]


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of requests met."""

    seconds: float
    latencies: list[float]
    """Seconds, in the order of answers."""
    statuses: dict[int, int]
    body_bytes: int

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3)

    def summary(self) -> dict[str, object]:
        return {
            "requests": len(self.latencies),
            "perSecond": round(len(self.latencies) / self.seconds, 1),
            "p50Ms": self.percentile_ms(0.5),
            "p99Ms": self.percentile_ms(0.99),
            "maxMs": self.percentile_ms(1.0),
            "statuses": self.statuses,
        }


async def open_loop(
    connections: Sequence[Connection], requests: Sequence[bytes], rate: float
) -> Load:
    """Send each request at its appointed time, `rate` a second, whatever the answers do.

    Latency runs from the appointed time, so a stall counts for all that it delays.
    """
    clock = time.perf_counter
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    largest = 0
    began = clock() + 0.05

    async def one(due: float, request: bytes) -> None:
        nonlocal largest
        connection = await free.get()
        status, length = await connection.ask(request)
        latencies.append(clock() - due)
        free.put_nowait(connection)
        statuses[status] = statuses.get(status, 0) + 1
        largest = max(largest, length)

    tasks = []
    for number, request in enumerate(requests):
        due = began + number / rate
        if (ahead := due - clock()) > 0:
            await asyncio.sleep(ahead)
        tasks.append(asyncio.create_task(one(due, request)))
    await asyncio.gather(*tasks)
    return Load(clock() - began, latencies, statuses, largest)


async def closed_loop(
    connections: Sequence[Connection], requests: Sequence[bytes], seconds: float
) -> Load:
    """Every connection asks again as soon as it is answered: the most that comes through."""
    clock = time.perf_counter
    latencies: list[float] = []
    statuses: dict[int, int] = {}
    largest = 0
    began = clock()

    async def drive(offset: int, connection: Connection) -> None:
        nonlocal largest
        number = offset
        while (sent := clock()) < began + seconds:
            status, length = await connection.ask(requests[number % len(requests)])
            latencies.append(clock() - sent)
            statuses[status] = statuses.get(status, 0) + 1
            largest = max(largest, length)
            number += 7

    await asyncio.gather(*(drive(n * 13, one) for n, one in enumerate(connections)))
    return Load(clock() - began, latencies, statuses, largest)
