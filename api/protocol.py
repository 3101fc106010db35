"""HTTP on a connection: uvicorn's httptools protocol, bounded, and answering with one write.

uvicorn bounds neither how long a head may be nor how long it may take, so a few thousand
connections that each send a byte now and then, or one that never ends its headers, would take
every file descriptor or all memory. Bodies are bounded by `api.dispatch`.

uvicorn also sends the head and the body of an answer by two system calls, and looks at each header
with two regular expressions. `Answer` makes one of a whole answer whose headers we wrote ourselves:
20 us less of each read.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from api.envelopes import CORRELATION_HEADER, new_correlation_id

HEAD_BYTES_MAX: Final = 16_384
"""A token of 4 KiB, two ids of 255 characters escaped, and room for what proxies add."""
HEAD_SECONDS_MAX: Final = 10.0


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request head is too long, too slow or no HTTP."""

    head_seconds_max = HEAD_SECONDS_MAX

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            # Counted after parsing: the same bytes may end the head and begin the body. And most
            # heads come whole: they need no timer.
            self._head_bytes += len(data)
            if self.transport.is_closing():
                return
            if self._head_bytes > HEAD_BYTES_MAX:
                self.send_400_response("The request head is too large.")
            elif self._head_timer is None:
                self._start_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._cancel_timer()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:  # type: ignore[override]
        def answered(scope: Scope, receive: Receive, _send: Send) -> Awaitable[None]:
            return app(scope, receive, Answer(cycle))

        super()._start_asgi_task(cycle, answered)  # type: ignore[arg-type]

    def send_400_response(self, msg: str) -> None:
        correlation = new_correlation_id()
        body = {"error": msg, "type": "VALIDATION_ERROR", "correlationId": correlation}
        encoded = msgspec.json.encode(body)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(encoded)}\r\n{CORRELATION_HEADER}: {correlation}\r\n\r\n"
        )
        self.transport.write(head.encode() + encoded)
        self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds_max, self._too_slow)

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        self.transport.close()


class Answer:
    """What an application sends with for one request.

    The head of an answer that says its length is held back until its body comes: then both are
    one write. All else, and whatever comes in parts, is uvicorn's own.
    """

    __slots__ = ("_cycle", "_start")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        cycle, start = self._cycle, self._start
        if start is None:
            if message["type"] == "http.response.start" and _length_said(message):
                self._start = message
            else:
                await cycle.send(message)  # type: ignore[arg-type]
            return
        self._start = None
        headers, body = start["headers"], message.get("body", b"")
        whole = not message.get("more_body") and _length_said(start) == b"%d" % len(body)
        if not whole or not self._is_plain():
            await cycle.send(start)  # type: ignore[arg-type]
            await cycle.send(message)  # type: ignore[arg-type]
            return
        lines = cycle.default_headers + headers
        head = STATUS_LINE[start["status"]] + b"\r\n".join(map(b": ".join, lines)) + b"\r\n\r\n"
        if head.count(b"\n") != len(lines) + 2:
            raise ValueError("A header holds a line break.")
        cycle.response_started = cycle.response_complete = True
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


def _length_said(start: Message) -> bytes | None:
    for name, value in start["headers"]:
        if name == b"content-length":
            length: bytes = value
            return length
    return None
