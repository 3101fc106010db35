"""Connections that are too slow, too long or no HTTP at all."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from api.protocol import (
    HEAD_BYTES_MAX,
    PIPELINED_MAX,
    TAKEN_BYTES_MIN,
    BoundedHttp,
    Unread,
)
from api.serve import serve
from infra.settings import Settings

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def connection(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Streams]:
    monkeypatch.setattr(BoundedHttp, "head_seconds_max", 0.5)
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = store_settings.model_copy(update={"api_port": 0})
    serving = asyncio.create_task(serve(settings, started.set_result))
    address = urlsplit(await started)
    streams = await asyncio.open_connection(address.hostname, address.port)
    yield streams
    streams[1].close()
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.read()


async def test_what_is_no_http_is_400_in_the_shape_of_all_errors(connection: Streams) -> None:
    reader, writer = connection
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    head, _, body = (await rest(reader)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert list(json.loads(body)) == ["error", "type", "correlationId"]


@pytest.mark.parametrize("part", [b"GET /" + b"a" * 1000, b"GET / HTTP/1.1\r\nX: " + b"b" * 1000])
async def test_a_head_without_end_is_cut_off(connection: Streams, part: bytes) -> None:
    reader, writer = connection
    writer.write(part)
    for _ in range(HEAD_BYTES_MAX // 1000 + 1):
        writer.write(b"c" * 1000)
    assert (await rest(reader)).startswith(b"HTTP/1.1 400 ")


async def test_a_connection_that_says_nothing_is_closed(connection: Streams) -> None:
    began = time.monotonic()
    assert await rest(connection[0]) == b""
    assert time.monotonic() - began < 3


async def test_a_head_that_trickles_is_closed(connection: Streams) -> None:
    reader, writer = connection
    reading = asyncio.create_task(rest(reader))
    for byte in b"GET /health/live HTTP/1.1\r\n":
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)
        if reading.done():
            break
    assert reading.done()


async def test_requests_on_a_kept_connection_are_answered_one_after_the_other(
    connection: Streams,
) -> None:
    reader, writer = connection
    body = b"x" * (2 * HEAD_BYTES_MAX)  # a body is no head, however long
    post = b"POST /health/live HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
    get = b"GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n"
    for request, status in ((post + body, b"405"), (get, b"200"), (post + body, b"405")):
        writer.write(request)
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.split()[1] == status
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
        await asyncio.sleep(0.6)  # idle between requests is no slow head


class Wire(asyncio.Transport):
    """Keeps what is written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.untaken = 0
        self.full: Callable[[], None] | None = None
        """Called by the next write."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        full, self.full = self.full, None
        if full is not None:
            full()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return self.untaken

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """What was given is taken in all the same."""

    def resume_reading(self) -> None:
        """The same."""


@contextmanager
def connected(app: ASGIApp) -> Iterator[tuple[BoundedHttp, Wire, ServerState]]:
    """A connection to an application, without a socket."""
    config = Config(app, log_config=None, lifespan="off", interface="asgi3")
    config.load()
    state = ServerState()
    protocol = BoundedHttp(config, state, {})
    wire = Wire()
    protocol.connection_made(wire)
    yield protocol, wire, state
    protocol.connection_lost(None)


async def answer_of(
    app: ASGIApp, request: bytes = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
) -> tuple[list[bytes], bool]:
    """The writes of an application's answer to one request, and whether that closed."""
    with connected(app) as (protocol, wire, state):
        protocol.data_received(request)
        await asyncio.gather(*state.tasks)
        return wire.writes, wire.closed


async def test_an_answer_is_one_write() -> None:
    writes, closed = await answer_of(Response(b"body", headers={"X-More": "1"}))
    (whole,) = writes
    assert whole.startswith(b"HTTP/1.1 200 OK\r\n")
    assert whole.endswith(b"\r\n\r\nbody")
    assert b"\r\nx-more: 1\r\n" in whole
    assert b"\r\ncontent-length: 4\r\n" in whole
    assert not closed


async def test_an_answer_on_a_connection_that_ends_says_so() -> None:
    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    writes, closed = await answer_of(Response(b"body"), request)
    assert b"\r\nconnection: close\r\n" in b"".join(writes)
    assert closed


async def test_an_answer_to_head_has_no_body() -> None:
    writes, _ = await answer_of(Response(b"body"), b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert b"".join(writes).endswith(b"content-length: 4\r\n\r\n")


async def test_the_head_of_a_stream_does_not_wait_for_its_first_part() -> None:
    parts: asyncio.Queue[bytes] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert wire_of(send).writes  # before anything of the body is there
        await send({"type": "http.response.body", "body": await parts.get(), "more_body": True})
        await send({"type": "http.response.body"})

    def wire_of(send: Send) -> Wire:
        return send._cycle.transport  # type: ignore[attr-defined]

    parts.put_nowait(b"part")
    writes, _ = await answer_of(app)
    assert b"".join(writes).endswith(b"4\r\npart\r\n0\r\n\r\n")


async def test_a_header_with_a_line_break_is_never_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"0"), (b"x-bad", b"a\r\nset-cookie: b")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        with pytest.raises(ValueError, match="line break"):
            await send({"type": "http.response.body", "body": b""})

    writes, _ = await answer_of(app)
    assert b"set-cookie" not in b"".join(writes)


GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED = Response(b"no", status_code=401)


async def test_trailers_are_bounded_whoever_was_answered_before() -> None:
    with connected(REFUSED) as (protocol, wire, state):
        protocol.data_received(CHUNKED)
        await asyncio.gather(*state.tasks)
        protocol.data_received(b"0\r\nX: ")
        sent = 0
        while not wire.closed and sent < 4 * HEAD_BYTES_MAX:
            protocol.data_received(b"a" * 1000)
            sent += 1000
        assert wire.closed
        assert sent <= HEAD_BYTES_MAX + 1000
        assert wire.writes[-1].startswith(b"HTTP/1.1 400 ")


async def test_what_stands_in_a_trailer_is_no_header() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        seen.extend(scope["headers"])
        await REFUSED(scope, receive, send)

    trailers = b"0\r\nAuthorization: Bearer token\r\n\r\n"
    writes, _ = await answer_of(app, CHUNKED + b"2\r\nhi\r\n" + trailers)
    assert writes[0].startswith(b"HTTP/1.1 401 ")
    assert [name for name, _ in seen] == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize(
    "more", [b"\r\n", b"GET", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"]
)
async def test_no_byte_keeps_a_connection_open_that_brings_no_request_nearer(
    more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedHttp, "head_seconds_max", 0.1)
    monkeypatch.setattr(BoundedHttp, "body_seconds_max", 0.1)
    with connected(REFUSED) as (protocol, wire, state):
        protocol.data_received(GET)
        await asyncio.gather(*state.tasks)
        protocol.data_received(more)
        async with asyncio.timeout(5):
            while not wire.closed:
                await asyncio.sleep(0.02)
                protocol.data_received(more[-1:])


@pytest.mark.parametrize("rest", [b"", GET])
async def test_a_head_that_is_too_large_is_refused_however_it_comes(rest: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n"
    writes, closed = await answer_of(REFUSED, head + rest)
    assert closed
    assert b"The request head is too large." in writes[0]
    assert len(writes) == 1


async def test_a_body_in_chunks_of_one_byte_and_requests_in_a_row_are_taken() -> None:
    bodies: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        bodies.append(body)
        await Response()(scope, receive, send)

    with connected(app) as (protocol, wire, state):
        protocol.data_received(CHUNKED)
        for _ in range(HEAD_BYTES_MAX):
            protocol.data_received(b"1\r\nx\r\n")
        protocol.data_received(b"0\r\n\r\n")
        await asyncio.gather(*state.tasks)
        rows = 2 * HEAD_BYTES_MAX // (len(GET) * PIPELINED_MAX)
        for _ in range(rows):
            protocol.data_received(GET * PIPELINED_MAX)
            while state.tasks:
                await asyncio.gather(*state.tasks)
        assert not wire.closed
    assert bodies[0] == b"x" * HEAD_BYTES_MAX
    assert len(bodies) == 1 + rows * PIPELINED_MAX


async def test_an_answer_that_is_not_taken_holds_the_next_request_back_and_then_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BoundedHttp, "taking_seconds_max", 0.05)
    asked = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        asked += 1
        await Response(b"body")(scope, receive, send)

    with connected(app) as (protocol, wire, state):
        wire.untaken = 3 * TAKEN_BYTES_MIN
        wire.full = protocol.pause_writing
        protocol.data_received(GET * 3)
        await asyncio.gather(*state.tasks)
        assert asked == 1
        wire.untaken = 0
        protocol.resume_writing()
        while state.tasks:
            await asyncio.gather(*state.tasks)
        assert asked == 3
        wire.untaken = 3 * TAKEN_BYTES_MIN
        protocol.pause_writing()
        async with asyncio.timeout(5):
            while not wire.closed:
                await asyncio.sleep(0.01)


async def test_who_takes_an_answer_slowly_has_the_time_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BoundedHttp, "taking_seconds_max", 0.01)
    with connected(Response(b"body")) as (protocol, wire, _state):
        looks: list[int] = []

        def left() -> int:
            looks.append(wire.untaken)
            wire.untaken -= TAKEN_BYTES_MIN
            return looks[-1]

        monkeypatch.setattr(wire, "get_write_buffer_size", left)
        wire.untaken = 9 * TAKEN_BYTES_MIN
        protocol.pause_writing()
        async with asyncio.timeout(5):
            while len(looks) < 9:
                assert not wire.closed
                await asyncio.sleep(0.01)


def test_what_nobody_takes_is_bounded_in_all_and_who_leaves_most_goes_first() -> None:
    unread = Unread(100)
    small, large, third = Wire(), Wire(), Wire()
    unread.note(small, 30)
    unread.note(large, 60)
    unread.note(large, 50)
    unread.note(third, 20)
    assert not large.closed
    unread.note(third, 25)
    assert large.closed
    unread.note(third, 65)
    unread.note(large, 0)  # told when it is lost, too
    assert not small.closed
    assert not third.closed
    unread.note(small, 36)
    assert third.closed
