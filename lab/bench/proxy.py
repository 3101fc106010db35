"""A TCP proxy that makes a server look slower by a factor, for measuring what its users do then.

It times each answer, from the last byte asked to the first byte answered, and holds that byte back
until the factor is reached; what follows in the same answer passes at once.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

CHUNK_BYTES: Final = 65_536


@asynccontextmanager
async def slowed(host: str, port: int, factor: float) -> AsyncIterator[int]:
    """Listen on a free port of 127.0.0.1 for `host:port`, `factor` times as slow; yields the port.

    `factor` 1 passes everything on as it is.
    """
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        try:
            server = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        await _Link((reader, writer), server, factor).run()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        factor: float,
    ) -> None:
        self._client = client
        self._server = server
        self._factor = factor
        self._asked_at: float | None = None

    async def run(self) -> None:
        """Pass both ways until either side ends."""
        ways = [asyncio.ensure_future(self._ask()), asyncio.ensure_future(self._answer())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self._client[1].close()
            self._server[1].close()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _ask(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := await self._client[0].read(CHUNK_BYTES):
                self._server[1].write(chunk)
                self._asked_at = time.monotonic()
                await self._server[1].drain()

    async def _answer(self) -> None:
        with contextlib.suppress(OSError):
            while chunk := await self._server[0].read(CHUNK_BYTES):
                asked_at, self._asked_at = self._asked_at, None
                if asked_at is not None:
                    took = time.monotonic() - asked_at
                    await asyncio.sleep(took * (self._factor - 1))
                self._client[1].write(chunk)
                await self._client[1].drain()
