"""HTTP on a connection: uvicorn's httptools protocol, bounded, and answering with one write.

uvicorn bounds neither how long a head or its trailers may be nor how long a request may take, so a
few thousand connections that each send a byte now and then, or one that never ends its headers,
would take every file descriptor or all memory. How large a body may be, `api.dispatch` says.

Nor does it bound how many requests come at once, or how long an answer waits to be taken: 20
connections that sent 13,000 requests each took 490 MB and stopped the loop for 4 s, and 300 that
read nothing kept a copy of an answer each, for good. Here a connection's next request waits until
the answer before is taken, and `Unread` bounds what is not.

uvicorn also sends the head and the body of an answer by two system calls, and looks at each header
with two regular expressions. `Answer` makes one of a whole answer whose headers we wrote ourselves:
20 us less of each read.
"""

import asyncio
from collections.abc import Awaitable
from enum import Enum
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from api.envelopes import CORRELATION_HEADER, new_correlation_id

HEAD_BYTES_MAX: Final = 24_576
"""A token of 12 KiB, two ids of 255 characters escaped, and room for what proxies add."""
HEAD_SECONDS_MAX: Final = 10.0
BODY_SECONDS_MAX: Final = 10.0
FRAME_BYTES_MAX: Final = 8
"""For each byte of a body in chunks: a chunk of one byte has five around it. Trailers beyond are no
message; uvicorn would keep them all."""
TOO_LARGE: Final = "The request head is too large."
PIPELINED_MAX: Final = 4
"""Requests of a connection that wait for answers to those before. Who sends more at once has the
answers to so many, and then the connection ends (RFC 9112, 9.3.2, has clients expect that). Few,
since 300 connections may begin so at the same moment: with 16 others waited for 0.5 s."""
TAKING_SECONDS_MAX: Final = 15.0
TAKEN_BYTES_MIN: Final = 16_384
"""A client takes so much of its answer in that time, or the connection ends: 1 KiB a second."""
UNREAD_BYTES_MAX: Final = 67_108_864
"""Of the answers of a process that clients have not taken: 64 MiB. Beyond, the connection that
leaves most is ended."""
COPIED_BYTES_MAX: Final = 65_536
"""A larger body is not put into one piece with its head: who reads the same answer slowly, all
wait for the same bytes."""


class Unread:
    """What the clients of a process have not taken of their answers yet."""

    def __init__(self, bytes_max: int = UNREAD_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._by: dict[asyncio.Transport, int] = {}

    def note(self, transport: asyncio.Transport, size: int) -> None:
        """So many bytes wait for this client; 0: none any more."""
        self._bytes += size - self._by.pop(transport, 0)
        if size:
            self._by[transport] = size
        while self._bytes > self._bytes_max:
            most = max(self._by, key=self._by.__getitem__)
            self._bytes -= self._by.pop(most)
            most.abort()


class _Waits(Enum):
    """What a connection waits for."""

    REQUEST = "request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request is too slow, whose head is too long, or is no HTTP.

    What has begun has one deadline, which only the end of a head or of a request moves: no byte
    that brings neither nearer, like a line break between requests, keeps a connection open.
    """

    head_seconds_max = HEAD_SECONDS_MAX
    body_seconds_max = BODY_SECONDS_MAX

    taking_seconds_max = TAKING_SECONDS_MAX

    def __init__(self, *args: Any, unread: Unread | None = None, **kwargs: Any) -> None:
        """`unread` is of all connections of a server."""
        super().__init__(*args, **kwargs)
        self._unread = Unread() if unread is None else unread
        self._waits = _Waits.HEAD
        self._requests = 0
        """How many have come whole."""
        self._head_bytes = 0
        self._body_bytes = 0
        self._frame_bytes = 0
        """Of a body in chunks: what is between and behind them."""
        self._refusal = ""
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None
        """Runs while an answer is not taken."""
        self._left = 0
        """How much of it was not, when that began."""
        self._answered = False
        """The next request waits until it is."""
        self._ended = False
        """Nothing that comes now is a request any more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # every byte that is not taken pauses
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        self._end_taking()
        self._answered = False
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.flow.pause_reading()
        self._left = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self.taking_seconds_max, self._look_at_taking)
        self._unread.note(self.transport, self._left)

    def resume_writing(self) -> None:
        self._end_taking()
        super().resume_writing()
        if self._answered:
            self._answered = False
            super().on_response_complete()
        elif not self.pipeline:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        if self.flow.write_paused:
            self._answered = True
        else:
            super().on_response_complete()

    def _look_at_taking(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left > self._left - TAKEN_BYTES_MIN:
            self.transport.abort()
            return
        self._left = left
        self._taking = self.loop.call_later(self.taking_seconds_max, self._look_at_taking)
        self._unread.note(self.transport, left)

    def _end_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
            self._unread.note(self.transport, 0)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        requests, waited, body_bytes = self._requests, self._waits, self._body_bytes
        if waited is not _Waits.BODY:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._ended or self.transport.is_closing():
            return
        # Counted after parsing: the same bytes may end the one and begin the other. Most requests
        # come whole: they need no timer.
        if self._waits is _Waits.BODY:
            if waited is _Waits.BODY and requests == self._requests:
                self._frame_bytes += len(data) - (self._body_bytes - body_bytes)
                if self._frame_bytes > HEAD_BYTES_MAX + FRAME_BYTES_MAX * self._body_bytes:
                    self.send_400_response("The request's chunks or trailers are too large.")
                    return
        elif requests != self._requests:
            self._head_bytes = 0
            if self._waits is _Waits.REQUEST:
                return
        elif self._head_bytes > HEAD_BYTES_MAX:
            self.send_400_response(TOO_LARGE)
            return
        if self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            raise ValueError("Too many requests at once.")  # the parser stops, as below
        super().on_message_begin()
        self._waits = _Waits.HEAD
        self._body_bytes = self._frame_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind a body they would be trailers, which say nothing here and vouch for nobody.
        if self._waits is _Waits.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._head_bytes > HEAD_BYTES_MAX:  # or the body, or requests before, came along
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > HEAD_BYTES_MAX:
                self._refusal = TOO_LARGE
                raise ValueError(TOO_LARGE)  # the parser stops, and `send_400_response` is called
        self._head_bytes = 0
        self._waits = _Waits.BODY
        self._cancel_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._requests += 1
        self._waits = _Waits.REQUEST
        self._cancel_timer()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        def answered(scope: Scope, receive: Receive, _send: Send) -> Awaitable[None]:
            scope["abort"] = cycle.transport.abort
            return app(scope, receive, Answer(cycle))

        super()._start_asgi_task(cycle, answered)  # type: ignore[arg-type]

    def send_400_response(self, msg: str) -> None:
        """Refuse what came, unless answers to requests before are to come: it would be taken for
        one of those. Then they are the connection's last."""
        if self.cycle is not None and not self.cycle.response_complete:
            if self._waits is not _Waits.BODY:
                self._end_with(self.cycle)
                return
            if self.pipeline:
                self.transport.close()
                return
        correlation = new_correlation_id()
        body = {
            "error": self._refusal or msg,
            "type": "VALIDATION_ERROR",
            "correlationId": correlation,
        }
        encoded = msgspec.json.encode(body)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(encoded)}\r\n{CORRELATION_HEADER}: {correlation}\r\n\r\n"
        )
        self.transport.write(head.encode() + encoded)
        self.transport.close()

    def _end_with(self, last: RequestResponseCycle) -> None:
        self._ended = True
        self._cancel_timer()
        last.keep_alive = False

    def _start_timer(self) -> None:
        in_body = self._waits is _Waits.BODY
        seconds = self.body_seconds_max if in_body else self.head_seconds_max
        self._timer = self.loop.call_later(seconds, self._too_slow)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self.transport.close()


class Answer:
    """What an application sends with for one request.

    The head of an answer that says its length is held back until its body comes: then both are
    one write. All else, and whatever comes in parts, is uvicorn's own.
    """

    __slots__ = ("_cycle", "_length", "_start")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: Message | None = None
        self._length = b""
        """As the head says it."""

    async def __call__(self, message: Message) -> None:
        cycle, start = self._cycle, self._start
        if start is None:
            length = _length_said(message)
            if length is None:
                await cycle.send(message)  # type: ignore[arg-type]
            else:
                self._start, self._length = message, length
            return
        self._start = None
        headers, body = start["headers"], message.get("body", b"")
        whole = not message.get("more_body") and self._length == b"%d" % len(body)
        if not whole or not self._is_plain():
            await cycle.send(start)  # type: ignore[arg-type]
            await cycle.send(message)  # type: ignore[arg-type]
            return
        lines = cycle.default_headers + headers
        head = STATUS_LINE[start["status"]] + b"\r\n".join(map(b": ".join, lines)) + b"\r\n\r\n"
        if head.count(b"\n") != len(lines) + 2:
            raise ValueError("A header holds a line break.")
        cycle.response_started = cycle.response_complete = True
        if len(body) > COPIED_BYTES_MAX:
            cycle.transport.writelines((head, body))
        else:
            cycle.transport.write(head + body)
        cycle.message_event.set()
        cycle.on_response()

    def _is_plain(self) -> bool:
        """A connection that goes on after an answer with a body, and takes it now."""
        cycle = self._cycle
        return (
            cycle.keep_alive
            and not cycle.flow.write_paused
            and not cycle.disconnected
            and not cycle.response_started
            and cycle.scope["method"] != "HEAD"
        )


def _length_said(message: Message) -> bytes | None:
    """What the head of an answer says of its body's length, if the message is one."""
    if message["type"] != "http.response.start":
        return None
    for name, value in message["headers"]:
        if name == b"content-length":
            length: bytes = value
            return length
    return None
