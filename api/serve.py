"""Serving the API: one uvicorn in this process, stopped cleanly by SIGTERM or SIGINT.

A stop ends the streams and closes the listening socket first, lets requests in flight finish within
their own deadline, then closes the pools. The process then ends with code 0: a stop that was asked
for is no error.
"""

import gc
import resource
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Final

import uvicorn
import uvloop

from api.app import App
from api.protocol import BoundedHttp, Unread
from infra import failpoints
from infra.settings import Settings
from schemas.errors import ServiceFailed

BACKLOG: Final = 1024
GC_THRESHOLD: Final = 20_000
"""Containers made before the youngest generation is collected; Python's own is 700. A context
makes about 200 that live as long as its request."""
THREAD_SWITCH_SECONDS: Final = 0.0005
"""How long a thread that folds a long history keeps the interpreter; Python's own is 5 ms. The loop
waits that long again at each step of each request: with 0.5 ms the slowest cold read beside a fold
of 19,000 interactions took 317 ms instead of 1,240, on a machine under heavy load."""
KEEP_ALIVE_SECONDS: Final = 75
"""Above the 60 s of common load balancers, so that it is they who close idle connections."""

SEND_BYTES: Final = 262_144
"""What the kernel keeps of an answer that a client takes slowly; Linux takes twice as much, and
would else take up to 4 MB. Ten times the usual context."""


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, started: Callable[[], None], stopping: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._tell = started
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets=sockets)


async def serve(settings: Settings, started: Callable[[str], None] = lambda url: None) -> None:
    """Serve until a stop signal. `started` is told the URL once requests are answered.

    Raises `ServiceFailed` when the address can't be listened on. Prints and writes nothing.
    """
    app = App(settings)
    listening = _listen(settings)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            interface="asgi3",
            http=partial(BoundedHttp, unread=Unread()),  # type: ignore[arg-type]
            ws="none",
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(settings.request_seconds_max) + 1,
        ),
        lambda: started(url_of(listening)),
        app.stop_streams,
    )
    # uvicorn raises the signal again once it has stopped; by then it shall do nothing.
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with listening:
            await server.serve(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(settings: Settings) -> None:
    """`serve` in a process of its own.

    On uvloop: a cached read costs a quarter less CPU than on asyncio's own loop. What is there once
    the server has started (modules, mostly) is taken out of the garbage collector's sight: a full
    collection of it would stop all requests for tens of milliseconds, now and then.
    """
    failpoints.arm(settings.fail_at)
    _allow_connections()
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    uvloop.run(serve(settings, lambda _url: _settle_memory()))


def _allow_connections() -> None:
    """As many open files as the system lets us have: 1,024 would be streams and nothing else."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    try:
        listening = socket.create_server(
            (settings.api_host, settings.api_port), family=family, backlog=BACKLOG
        )
        # Accepted connections inherit it. asyncio would not set it on theirs, since the protocol
        # number of this socket is 0: head and body of an answer would come 40 ms apart.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        return listening
    except OSError as error:
        raise ServiceFailed(
            f"Can't listen on {settings.api_host}:{settings.api_port}: {error.strerror}.",
            hint="Give another port with --api-port or FANMEMORY_API_PORT; 0 takes any free one.",
        ) from error


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Asked to stop, and stopped."""
