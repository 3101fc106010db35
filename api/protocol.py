"""HTTP on a connection: uvicorn's httptools protocol with bounds on the head of a request.

uvicorn bounds neither how long a head may be nor how long it may take, so a few thousand
connections that each send a byte now and then, or one that never ends its headers, would take
every file descriptor or all memory. Bodies are bounded by `api.middleware.Limits`.
"""

import asyncio
from typing import Any, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.envelopes import CORRELATION_HEADER, new_correlation_id

HEAD_BYTES_MAX: Final = 16_384
"""A token of 4 KiB, two ids of 128 characters escaped, and room for what proxies add."""
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
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            # Counted after parsing: the same bytes may end the head and begin the body.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                self.send_400_response("The request head is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._cancel_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        correlation = new_correlation_id(None)
        body = {"error": msg, "type": "VALIDATION_ERROR", "correlationId": correlation}
        encoded = msgspec.json.encode(body)
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(encoded)}\r\n{CORRELATION_HEADER}: {correlation}\r\n\r\n"
        )
        self.transport.write(head.encode() + encoded)
        self.transport.close()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._in_head = True
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds_max, self._too_slow)

    def _cancel_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        self.transport.close()
