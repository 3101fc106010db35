"""An address of its own for what machines ask a process: metrics, and how it does.

It is not the API's, so that whoever may ask for a fan can't ask for volumes; and workers and the
LLM agent, which have no API, have one too. A few pages, each made when it is asked for, on the
process' own event loop: a loop that hangs is seen as a page that does not come.

A process never stands still for the sake of its metrics: where the wanted port is taken, as by
another process on this machine, it listens on the next free one of `PORTS`, and says on which.
"""

import asyncio
import errno
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

log = logging.getLogger(__name__)

PORTS: Final = 64
"""From the wanted one on, as Jupyter and Spark do it: more processes than a machine has cores."""
CONNECTIONS_MAX: Final = 16
HEAD_BYTES_MAX: Final = 8_192
SECONDS_MAX: Final = 10.0
"""For the head, the page and the answer together; Prometheus itself gives up after as long."""
JSON_TYPE: Final = "application/json"


class Page(NamedTuple):
    """What is answered."""

    type: str
    body: bytes
    status: int = 200


Pages = Mapping[str, Callable[[], Awaitable[Page]]]


def as_json(status: int, body: object) -> Page:
    return Page(JSON_TYPE, msgspec.json.encode(body), status)


async def live() -> Page:
    """Whether the process runs and its event loop turns."""
    return as_json(200, {"status": "live"})


class Exposition:
    """Answers GET and HEAD of some pages; one request a connection."""

    def __init__(self, host: str, port: int, pages: Pages) -> None:
        """With port 0 it does not listen at all."""
        self._host = host
        self._wanted = port
        self._pages = {"/health/live": live, **pages}
        self._server: asyncio.Server | None = None
        self._open = 0

    @property
    def port(self) -> int:
        """On which it listens; 0: it does not."""
        return 0 if self._server is None else int(self._server.sockets[0].getsockname()[1])

    async def open(self) -> None:
        """Listen. Where no port is free it says so, and the process goes on."""
        if not self._wanted:
            return
        for port in range(self._wanted, min(self._wanted + PORTS, 65_536)):
            try:
                self._server = await asyncio.start_server(
                    self._answer, self._host, port, limit=HEAD_BYTES_MAX
                )
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                log.exception(
                    "metrics can't be asked for: FANMEMORY_METRICS_HOST is no address of ours"
                )
                return
            log.info("metrics are served", extra={"port": self.port})
            return
        log.error("metrics can't be asked for: all ports are taken", extra={"port": self._wanted})

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_MAX:
                async with asyncio.timeout(SECONDS_MAX):
                    page, head_only = await self._asked(reader)
                    writer.write(_head(page) + (b"" if head_only else page.body))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # whoever asked is gone, or never asked
        finally:
            self._open -= 1
            writer.close()
            try:
                async with asyncio.timeout(SECONDS_MAX):
                    await writer.wait_closed()
            except (OSError, TimeoutError):
                writer.transport.abort()

    async def _asked(self, reader: asyncio.StreamReader) -> tuple[Page, bool]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return as_json(431, {"error": "The head of the request is too large."}), False
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
        if method not in (b"GET", b"HEAD"):
            return as_json(405, {"error": "Only GET and HEAD are answered."}), False
        made = self._pages.get(path)
        if made is None:
            return as_json(404, {"error": "No such page", "pages": sorted(self._pages)}), False
        try:
            return await made(), method == b"HEAD"
        except TimeoutError:
            raise
        except Exception as error:  # the boundary: whoever asks gets an answer
            log.exception("a page failed", extra={"reason": type(error).__name__})
            return as_json(500, {"error": "The page could not be made."}), False


def _head(page: Page) -> bytes:
    allow = "Allow: GET, HEAD\r\n" if page.status == 405 else ""
    return (
        f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n"
        f"Content-Type: {page.type}\r\nContent-Length: {len(page.body)}\r\n"
        f"Cache-Control: no-store\r\n{allow}Connection: close\r\n\r\n"
    ).encode("ascii")
