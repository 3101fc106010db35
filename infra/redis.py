"""Redis or Valkey: one connection of our own, packed and read by hiredis.

Commands that are given in the same turn of the event loop travel in one write, and their answers
come back in order, so a hundred readers cost one system call each way: 5 us a command, against the
120 of redis-py's pool. This is the only module that imports a Redis library.

A connection whose oldest command has waited longer than `timeout` is given up with everything on
it: a server that hangs is as dead as one that refuses. The next command connects again. A command
that was cancelled stays in the order; its answer is thrown away.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Self, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from infra import tls
from infra.settings import Settings
from schemas.errors import CacheUnavailable, Misconfigured

DEFAULT_PORT: Final = 6379
WAITING_MAX: Final = 10_000
"""Commands without an answer on one connection; more are refused."""
GRACE_SECONDS: Final = 0.05
"""After a deadline. A process that was stopped finds its answers waiting when it wakes: they are
to be read before the connection is judged."""

_NOTHING: Final = object()
_pack: Final[Callable[[tuple[Any, ...]], bytes]] = hiredis.pack_command

ErrorReply: Final = hiredis.ReplyError
"""An error that the server answered with; its text begins with a code such as `OOM`."""


class Redis:
    """A client of one server, for one event loop; connects when it is first used."""

    def __init__(
        self,
        url: str,
        *,
        password: str = "",
        timeout: float = 1.0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """`timeout` seconds to connect, and for each answer. `password` wins over the URL's;
        `context` is for `rediss://`, by default with the system's authorities."""
        address = _Address.of(url)
        self._address = address._replace(password=password or address.password)
        self._timeout = timeout
        self._context = context
        self._connection: _Connection | None = None
        self._opening: asyncio.Task[_Connection] | None = None

    async def call(self, *command: Any) -> Any:
        """The answer to one command.

        Raises `CacheUnavailable` when there is none, and `ErrorReply` when it is an error.
        """
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connected()
        return await connection.send(_pack(command))

    async def calls(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """The answers to several commands, sent together; raises like `call`."""
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connected()
        answers = [connection.send(_pack(tuple(one))) for one in commands]
        found = await asyncio.gather(*answers, return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return found

    async def info(self, section: str) -> dict[str, str]:
        """One section of INFO; raises like `call`."""
        lines = (await self.call("INFO", section)).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.end()

    async def _connected(self) -> "_Connection":
        """Everybody who waits for a connection waits for the same one."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(self._opened)
        return await asyncio.shield(self._opening)

    def _opened(self, opening: "asyncio.Task[_Connection]") -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # taken, even if everyone who waited has hung up

    async def _open(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        address = self._address
        if address.secured and self._context is None:
            self._context = ssl.create_default_context()

        def protocol() -> _Connection:
            return _Connection(loop, self._timeout)

        try:
            async with asyncio.timeout(self._timeout):
                if address.socket:
                    _, connection = await loop.create_unix_connection(protocol, address.socket)
                else:
                    _, connection = await loop.create_connection(
                        protocol,
                        address.host,
                        address.port,
                        ssl=self._context if address.secured else None,
                    )
        except (OSError, TimeoutError) as error:
            raise CacheUnavailable from error
        try:
            for command in address.introduction():
                await connection.send(_pack(command))
        except BaseException:
            connection.end()
            raise
        self._connection = connection
        return connection


class _Connection(asyncio.Protocol):
    """One connection: what was sent, in order, and the answers as they come."""

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self.lost = False
        self._loop = loop
        self._timeout = timeout
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        """What was sent and not yet answered, and by when its answer has to be there."""
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False

    def send(self, packed: bytes) -> "asyncio.Future[Any]":
        answer = self._loop.create_future()
        if self.lost or len(self._waiting) >= WAITING_MAX:
            answer.set_exception(CacheUnavailable())
            return answer
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        self._waiting.append((answer, self._loop.time() + self._timeout))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._look)
        return answer

    def end(self) -> None:
        """Close it; callers that wait get an error."""
        if self._transport is not None:
            self._transport.abort()
        self._lose(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not _NOTHING:
                future, _ = waiting.popleft()
                if future.done():
                    continue  # whoever asked has hung up
                if isinstance(answer, ErrorReply):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except (hiredis.ProtocolError, IndexError) as error:
            self._lose(error)
            self.end()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(error)

    def _flush(self) -> None:
        if self._transport is not None and not self.lost:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look(self) -> None:
        """Has the oldest command waited too long?"""
        self._timer = None
        if not self._waiting:
            self._overdue = False
            return
        left = self._waiting[0][1] - self._loop.time()
        if left > 0:
            self._overdue = False
            self._timer = self._loop.call_later(left, self._look)
        elif not self._overdue:
            self._overdue = True
            self._timer = self._loop.call_later(GRACE_SECONDS, self._look)
        else:
            self.end()

    def _lose(self, error: Exception | None) -> None:
        self.lost = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                unavailable = CacheUnavailable()
                unavailable.__cause__ = error
                future.set_exception(unavailable)


def open_redis(settings: Settings, timeout: float = 1.0) -> Redis:
    """The client that the settings describe: every client of ours is made here.

    Raises `Misconfigured` for an address or a file that can't be used.
    """
    context = None
    if settings.redis_url.startswith("rediss://"):
        context = tls.client_context(
            tls.Files(
                "FANMEMORY_REDIS",
                settings.redis_ca_file,
                settings.redis_cert_file,
                settings.redis_key_file,
                settings.redis_key_password.get_secret_value(),
            )
        )
    password = settings.redis_password.get_secret_value()
    return Redis(settings.redis_url, password=password, timeout=timeout, context=context)


def refusal(error: BaseException) -> Misconfigured | None:
    """What it means when the server answers but does not let us in; None for anything else."""
    for cause in tls.causes(error):
        code = str(cause).partition(" ")[0] if isinstance(cause, ErrorReply) else ""
        if code in ("WRONGPASS", "NOAUTH") or "AUTH" in code:
            return Misconfigured(
                "Redis refused the user of FANMEMORY_REDIS_URL, or the password.",
                hint="Check the URL and FANMEMORY_REDIS_PASSWORD (or _PASSWORD_FILE).",
            )
        if code == "NOPERM":
            return Misconfigured(
                "Redis does not let the user of FANMEMORY_REDIS_URL do what is needed.",
                hint="docs/operations.md says what its ACL must allow.",
            )
        found = tls.refusal(cause, "FANMEMORY_REDIS", "Redis", "a rediss:// FANMEMORY_REDIS_URL")
        if found is not None:
            return found
    return None


class _Address(NamedTuple):
    """What a URL says."""

    host: str
    port: int
    socket: str
    """Path of a Unix socket, instead of host and port."""
    secured: bool
    user: str
    password: str
    database: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises `Misconfigured`, which never repeats the URL."""
        try:
            split = urlsplit(url)
            local = split.scheme == "unix"
            (database,) = parse_qs(split.query).get("db", [""]) or [""]
            if not local:
                database = split.path.strip("/") or database
            if split.scheme not in ("redis", "rediss", "unix") or not (database or "0").isdigit():
                raise ValueError
            return cls(
                split.hostname or "127.0.0.1",
                split.port or DEFAULT_PORT,
                split.path if local else "",
                split.scheme == "rediss",
                unquote(split.username or ""),
                unquote(split.password or ""),
                database,
            )
        except ValueError:
            raise Misconfigured(
                "The URL of Redis can't be read.",
                hint="FANMEMORY_REDIS_URL is redis://user:password@host:port/0, rediss:// with TLS,"
                " or unix:///path/of/the/socket.",
            ) from None

    def introduction(self) -> list[tuple[str, ...]]:
        """Who we are and which database: what a new connection begins with."""
        commands: list[tuple[str, ...]] = []
        if self.password:
            commands.append(("AUTH", *filter(None, (self.user,)), self.password))
        if self.database:
            commands.append(("SELECT", self.database))
        return commands
