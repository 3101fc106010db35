"""What strangers, who have no token, can cost an API process: by raw sockets on a real one."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from api.protocol import PIPELINED_MAX
from ops.services import Endpoints
from tests import services as helpers
from tests.live import seen_api_process

GET = b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
STRANGERS = 200
PATIENCE = 30


class Api(NamedTuple):
    """A process of its own."""

    host: str
    port: int
    pid: int

    @property
    def mib(self) -> float:
        """What it has in memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)


@pytest.fixture(scope="module")
async def api(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    folder = tmp_path_factory.mktemp("strangers")
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(services, url, folder, kafka=True)
        async with seen_api_process(settings, folder) as (address, pid):
            parts = urlsplit(address)
            assert parts.hostname is not None
            assert parts.port is not None
            made = Api(parts.hostname, parts.port, pid)
            await answer(made, b"/openapi.json")
            yield made


async def answer(api: Api, path: bytes) -> bytes:
    """The whole answer to a request that ends the connection."""
    reader, writer = await api.connect()
    writer.write(b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % path)
    async with asyncio.timeout(PATIENCE):
        whole = await reader.read()
    writer.close()
    return whole


async def alive(api: Api) -> None:
    assert (await answer(api, b"/health/live")).startswith(b"HTTP/1.1 200 ")


def deaf(api: Api) -> socket.socket:
    """A connection of a client that will read nothing."""
    made = socket.create_connection((api.host, api.port))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    return made


async def test_answers_that_nobody_reads_take_no_memory_and_no_places(api: Api) -> None:
    """300 connections of 50 requests took 84 MiB, and held the places of all without a token."""
    before = api.mib
    with contextlib.ExitStack() as stack:
        for _ in range(STRANGERS):
            stranger = stack.enter_context(deaf(api))
            stranger.send(GET % b"/openapi.json" * 50)
        await alive(api)
        # Nobody else is refused: a public document has no place of its own.
        whole = await answer(api, b"/openapi.json")
        assert whole.startswith(b"HTTP/1.1 200 ")
        assert api.mib - before < 25


async def test_requests_by_the_thousands_wait_in_the_network(api: Api) -> None:
    """20 connections of 13,000 requests took 490 MiB, and stopped the process for 4 s."""
    before = api.mib
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stranger = stack.enter_context(deaf(api))
            with contextlib.suppress(ConnectionError, BlockingIOError):
                stranger.send(GET % b"/x" * 10_000)
        await alive(api)
        assert api.mib - before < 25


async def test_so_many_requests_at_once_are_answered_and_then_the_connection_ends(api: Api) -> None:
    reader, writer = await api.connect()
    writer.write(GET % b"/health/live" * (PIPELINED_MAX + 5))
    async with asyncio.timeout(PATIENCE):
        whole = await reader.read()
    writer.close()
    # The first is being answered while the others wait.
    assert whole.count(b"HTTP/1.1 200 OK") == PIPELINED_MAX + 1
    assert whole.count(b"HTTP/1.1") == PIPELINED_MAX + 1


async def test_what_is_no_http_behind_a_request_is_not_taken_for_its_answer(api: Api) -> None:
    reader, writer = await api.connect()
    writer.write(GET % b"/health/live" + b"\x16\x03\x01 hello\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        whole = await reader.read()
    writer.close()
    assert whole.startswith(b"HTTP/1.1 200 ")
    assert whole.count(b"HTTP/1.1") == 1


POST = b"POST /api/of-memory/interaction HTTP/1.1\r\nHost: h\r\n%s\r\n\r\n"
AMBIGUOUS = (
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 0",
    b"Content-Length: 5\r\nContent-Length: 5",
    b"Content-Length: 5, 5",
    b"Content-Length: +5",
    b"Content-Length: 0x5",
    b"Content-Length: 99999999999999999999",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding : chunked",
    b"X: a\r\n Transfer-Encoding: chunked",
    b"X: a\rTransfer-Encoding: chunked",
)


@pytest.mark.parametrize("fields", AMBIGUOUS, ids=repr)
async def test_a_head_that_others_could_read_otherwise_ends_the_connection(
    api: Api, fields: bytes
) -> None:
    """Nothing behind it is taken for a request, as a proxy in front might have hidden one there."""
    reader, writer = await api.connect()
    writer.write(POST % fields + b"0\r\n\r\n" + GET % b"/openapi.json")
    async with asyncio.timeout(PATIENCE):
        whole = await reader.read()
    writer.close()
    assert whole.startswith(b"HTTP/1.1 400 ")
    assert whole.count(b"HTTP/1.1 ") == 1


async def test_no_answer_sends_anybody_elsewhere(api: Api) -> None:
    for path in (b"//evil.example/", b"/docs/", b"/api", b"/api/", b"http://evil.example/docs/"):
        reader, writer = await api.connect()
        head = b"GET %s HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        writer.write(head % path)
        async with asyncio.timeout(PATIENCE):
            whole = await reader.read()
        writer.close()
        assert whole.startswith(b"HTTP/1.1 404 ")
        assert b"evil.example" not in whole
        assert b"location" not in whole.lower()
