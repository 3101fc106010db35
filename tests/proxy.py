"""A TCP proxy before a real server, that can be told to hold everything back, or to be gone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """`url` leads to the server; while `held`, nothing passes in either direction."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._passing = asyncio.Event()
        self._passing.set()
        self._links: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        user, at, _ = self._server.netloc.rpartition("@")
        return urlunsplit(self._server._replace(netloc=f"{user}{at}127.0.0.1:{self._port}"))

    def hold(self) -> None:
        """As a server that hangs: connections are taken, nothing is answered."""
        self._passing.clear()

    def go_on(self) -> None:
        self._passing.set()

    async def vanish(self) -> None:
        """As a server that died: what is open breaks, and nobody listens."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def return_(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        task.add_done_callback(self._links.discard)
        theirs = None
        try:
            theirs = await asyncio.open_connection(self._server.hostname, self._server.port)
            await asyncio.wait(
                [
                    asyncio.ensure_future(self._pass(reader, theirs[1])),
                    asyncio.ensure_future(self._pass(theirs[0], writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except (OSError, asyncio.CancelledError):
            return
        finally:
            writer.close()
            if theirs is not None:
                theirs[1].close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                await self._passing.wait()
                writer.write(chunk)
                await writer.drain()


@asynccontextmanager
async def before(url: str) -> AsyncIterator[Proxy]:
    made = Proxy(url)
    await made.return_()
    try:
        yield made
    finally:
        made.go_on()
        await made.vanish()
