"""The database of a backup: one snapshot, copied by `pg_dump`, put back by `pg_restore`.

A dump, and not a copy of the server's files: it has the rows that there are, and not those that
were deleted and lie in the files and the write-ahead log until they are cleaned away, with the keys
of erased fans among them. It needs no setting of the server, and no superuser.

Neither roles nor rights are in it: `migrate` gives them, and builds the walls between creators,
where it is put back. Nothing is written in clear: what `pg_dump` says goes through a pipe into the
seal.
"""

import asyncio
import os
import re
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from infra.postgres import Connection, connecting, database_errors
from infra.sql import load_queries
from schemas.errors import Misconfigured, ServiceFailed

Stream = TypeVar("Stream", asyncio.StreamReader, asyncio.StreamWriter)

SQL: Final = load_queries(Path(__file__).with_name("database.sql"))
NAME: Final = "database"
PIECE_BYTES: Final = 262_144
SILENT_SECONDS_MAX: Final = 600.0
"""So long without a byte: an index of many million rows takes minutes to be built."""
STATEMENT_SECONDS_MAX: Final = 3600.0
TOLD_BYTES_MAX: Final = 65_536
LEFT_OUT: Final = re.compile(
    r"\d+; \d+ \d+ (?:SCHEMA - public |COMMENT - SCHEMA public )"
    r"|\d+; \d+ \d+ (?:POLICY |ROW SECURITY |COMMENT \S+ POLICY )"
)
"""Of a dump's contents: the schema that every database has, and what `migrate` builds anew."""


class Programs(NamedTuple):
    """Where PostgreSQL's own are; not older than the server."""

    dump: str
    restore: str


class Snapshot(NamedTuple):
    """One moment of the database, as long as its transaction is open."""

    name: str
    taken_at: datetime
    intake: dict[tuple[str, int], int]
    """(topic, partition) -> the next offset that ingest would have read."""
    folded: dict[int, int]
    """Partition of the journal -> the next offset that the views would have folded."""
    fans: int
    schema: str
    schema_number: int


@asynccontextmanager
async def snapshot(url: str) -> AsyncIterator[Snapshot]:
    """Hold one moment of the database; raises `DatabaseUnavailable`."""
    async with (
        connecting(url, command_timeout=STATEMENT_SECONDS_MAX) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        async with database_errors():
            (exported,) = await connection.fetch(SQL.export)
            intake = await connection.fetch(SQL.intake)
            folded = await connection.fetch(SQL.folded)
            (contents,) = await connection.fetch(SQL.contents)
        yield Snapshot(
            exported["snapshot"],
            exported["taken_at"],
            {(row["topic"], row["partition"]): row["next"] for row in intake},
            {row["partition"]: row["next"] for row in folded},
            contents["fans"],
            contents["name"],
            contents["number"],
        )


async def dump(program: str, url: str, of: Snapshot, write: Callable[[bytes], Any]) -> None:
    """Copy a snapshot to `write`, piece by piece; raises `ServiceFailed` with what went wrong."""
    words = (
        "--format=custom",
        "--compress=none",  # the seal packs it
        "--no-owner",
        "--no-acl",
        "--enable-row-security",  # the owner is held to its policies, which let it see all
        f"--snapshot={of.name}",
    )
    async with _running(program, url, *words, stdin=DEVNULL, stdout=PIPE) as process:
        said = _piped(process.stdout)
        while piece := await _in_time(said.read(PIECE_BYTES)):
            write(piece)


async def is_empty(connection: Connection) -> bool:
    """Whether nothing stands where a restore would put tables."""
    async with database_errors():
        return not await connection.fetchval(SQL.tables)


async def restore(program: str, url: str, read: Callable[[], Iterable[bytes]]) -> None:
    """Put a dump into an empty database, whole or not at all; `read` begins it anew each time.

    Raises `ServiceFailed` with what went wrong.
    """
    contents = await _contents(program, read)
    wanted = [line for line in contents.splitlines() if not LEFT_OUT.match(line)]
    with tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
        chosen.write("\n".join(wanted) + "\n")
        chosen.flush()
        words = ("--no-owner", "--no-acl", "--single-transaction", "--exit-on-error")
        chosen_from = f"--use-list={chosen.name}"
        async with _running(program, url, *words, chosen_from, stdin=PIPE) as process:
            await _feed(process, read())
    async with (
        database_errors(),
        connecting(url, command_timeout=STATEMENT_SECONDS_MAX) as connection,
    ):
        await connection.execute(SQL.analyze)


async def _contents(program: str, read: Callable[[], Iterable[bytes]]) -> str:
    """What a dump says that it has; that stands at its beginning."""
    async with _running(program, "", "--list", stdin=PIPE, stdout=PIPE) as process:
        said = _piped(process.stdout)
        feeding = asyncio.create_task(_feed(process, read()))
        found = bytearray()
        while piece := await _in_time(said.read(PIECE_BYTES)):
            found += piece
        await feeding
    return found.decode()


async def _feed(process: Process, pieces: Iterable[bytes]) -> None:
    """Give it all; one that has enough is done, and says so by its code."""
    given = _piped(process.stdin)
    try:
        with suppress(ConnectionError):
            for piece in pieces:
                given.write(piece)
                await _in_time(given.drain())
    finally:
        given.close()


@asynccontextmanager
async def _running(
    program: str, url: str, *words: str, stdin: int, stdout: int = DEVNULL
) -> AsyncIterator[Process]:
    """One of PostgreSQL's programs; raises `ServiceFailed` unless it ends well."""
    where, secrets = reached(url)
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *words,
            *([f"--dbname={where}", "--no-password"] if where else []),
            stdin=stdin,
            stdout=stdout,
            stderr=PIPE,
            env=secrets | {"PATH": os.defpath, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C"},
        )
    except OSError as error:
        raise Misconfigured(
            f"{program} does not run here ({type(error).__name__}).",
            hint="Install PostgreSQL's client programs, or fan-memory[embedded].",
        ) from None
    telling = asyncio.create_task(_told(_piped(process.stderr)))
    try:
        yield process
        code = await _in_time(process.wait())
    finally:
        if process.returncode is None:
            process.kill()
            await _emptied(process)
        told = await telling
    if code:
        raise ServiceFailed(f"{Path(program).name} failed: {_reason(told)}")


async def _emptied(process: Process) -> None:
    """Wait for one that was killed.

    asyncio says that it ended when its pipes are at their end, and it stops reading a pipe that
    nobody takes from.
    """
    while process.stdout is not None and await _in_time(process.stdout.read(PIECE_BYTES)):
        pass
    await _in_time(process.wait())


def _piped(stream: Stream | None) -> Stream:
    """One that was asked for is there."""
    if stream is None:
        raise ServiceFailed
    return stream


async def _told(stream: asyncio.StreamReader) -> str:
    found = b""
    while piece := await stream.read(4096):
        found = (found + piece)[:TOLD_BYTES_MAX]
    return found.decode("utf-8", "replace")


def _reason(told: str) -> str:
    """The first error, without what names rows: the lines behind it quote them."""
    for line in told.splitlines():
        found = re.search(r"error: (?:could not execute query: )?(?:ERROR: +)?(.*)", line)
        if found is not None and not line.startswith(("DETAIL", "CONTEXT")):
            return found[1].partition("\n")[0]
    return "it says nothing."


def reached(url: str) -> tuple[str, dict[str, str]]:
    """An address as a program may be given it, where all on this machine see it, and the variables
    with the secrets that it lacks."""
    if not url:
        return "", {}
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if query.pop("sslpassword", None):
        raise Misconfigured(
            "PostgreSQL's programs can't be given FANMEMORY_POSTGRES_KEY_PASSWORD.",
            hint="Name a key without a password, readable by you alone, for this command.",
        )
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    where = parts._replace(
        netloc=f"{user}@{hosts}" if user else hosts, query=urlencode(query, quote_via=quote)
    )
    return where.geturl(), {"PGPASSWORD": unquote(password)} if password else {}


async def _in_time(waiting: Any) -> Any:
    try:
        async with asyncio.timeout(SILENT_SECONDS_MAX):
            return await waiting
    except TimeoutError:
        raise ServiceFailed("PostgreSQL's program stands still.") from None
