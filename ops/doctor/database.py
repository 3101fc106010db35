"""Checks of PostgreSQL, and of what it says about keys, logs, the outbox and the time."""

import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from admin import log_state
from infra.postgres import Connection, Role, UndefinedTableError, connecting, url_of
from infra.settings import Settings
from infra.sql import load_queries
from ops.doctor.directory import keyring_text
from ops.doctor.findings import ANSWER_SECONDS_MAX, Note, Problem
from ops.secrets import KEYRING_FILE
from ops.services.endpoints import without_password
from privacy.binding import binding_state
from privacy.keys import parse_ring
from schemas.errors import Misconfigured
from stores import cleaning, migrate, outbox, wall
from stores.roles import powers

SQL = load_queries(Path(__file__).with_name("database.sql"))
DO: Final[dict[Role, str]] = {"writer": "write", "reader": "read"}
OUTBOX_SECONDS_MAX = 60.0
UNCLEAN_SECONDS_MAX = 1800.0
"""Three times what it takes at most where nothing is in the way."""
CLOCK_SECONDS_MAX = 2.0
"""Events more than 5 minutes ahead are refused; half a percent of that is time to look."""


def _connecting(settings: Settings) -> AbstractAsyncContextManager[Connection]:
    return connecting(
        settings.postgres_url, timeout=ANSWER_SECONDS_MAX, command_timeout=ANSWER_SECONDS_MAX
    )


async def server(settings: Settings) -> str:
    async with _connecting(settings) as connection:
        (row,) = await connection.fetch(SQL.server)
    version, *durable = row
    where = without_password(settings.postgres_url)
    if "off" in durable:
        raise Problem(
            f"PostgreSQL {version} at {where} may forget commits.",
            "Set fsync and synchronous_commit to on.",
        )
    return f"PostgreSQL {version} at {where}"


async def schema(settings: Settings) -> str:
    async with _connecting(settings) as connection:
        await migrate.check(connection)
    return "is what this code expects"


async def roles(settings: Settings) -> str:
    """Whether each connection's role can do what it needs, and no more."""
    found, unwalled = {}, []
    for role in DO:
        url = url_of(settings, role)
        async with connecting(
            url, timeout=ANSWER_SECONDS_MAX, command_timeout=ANSWER_SECONDS_MAX
        ) as connection:
            found[role] = await powers(connection)
            if role == "reader":
                unwalled = await wall.unwalled(connection)
    for role, has in found.items():
        can = [
            what
            for what, so in (
                ("is a superuser", has.superuser),
                ("passes row-level security", has.bypasses),
                ("owns the tables", has.owner),
            )
            if so
        ]
        if can:
            raise Note(
                f"The role {has.name}, with which we {DO[role]}, {' and '.join(can)}.",
                "Make roles of its own for each: docs/operations.md, `fanmemory roles`.",
            )
    if found["writer"].name == found["reader"].name:
        raise Note(
            f"The API reads as {found['reader'].name}, which writes, and sees all rows.",
            "Set FANMEMORY_POSTGRES_READER_URL: docs/operations.md, `fanmemory roles`.",
        )
    if unwalled:
        raise Problem(
            f"The API could read all creators' rows at once in {', '.join(unwalled)}.",
            "Run `fanmemory migrate` of this release: a rebuild of the former one makes no walls.",
        )
    return "write, read and change tables each as one of its own"


async def keyring(data: Path, settings: Settings) -> str:
    """Whether the keyring has every key under which the database's subjects are wrapped."""
    text = keyring_text(data, settings)
    try:
        async with _connecting(settings) as connection:
            rows = await connection.fetch(SQL.keks)
            state = await binding_state(connection)
    except UndefinedTableError:
        return "no schema yet, nothing is sealed"
    if not text:
        if rows:
            raise Misconfigured(
                "There is no keyring, but the database has sealed subjects.",
                hint=f"Restore {data / KEYRING_FILE}, or set FANMEMORY_KEYRING.",
            )
        return "none yet, and nothing is sealed"
    ids = {entry.id for entry in parse_ring(text) if entry.use != "derives"}
    missing = {row["kek"]: row["subjects"] for row in rows if row["kek"] not in ids}
    if missing:
        raise Problem(
            f"Keys {', '.join(sorted(missing))} are missing; {sum(missing.values())} subjects"
            " can't be read.",
            "Add those keys to FANMEMORY_KEYRING, after the newest one.",
        )
    if state != "bound":
        raise Note(
            "The fans' keys are not all bound to who they belong to.",
            "Run `fanmemory keys bind` once no process of the former release is left.",
        )
    return f"opens all {sum(row['subjects'] for row in rows)} subjects' keys"


async def logs(settings: Settings) -> str:
    """Whether the logs still have what was read of them."""
    try:
        async with _connecting(settings) as connection:
            waiting = await log_state.stopped(connection)
            ahead = await log_state.ahead(connection, settings)
    except UndefinedTableError:
        return "no schema yet, nothing was read"
    if waiting:
        raise Problem(f"{len(waiting)} partition(s) stand still. {waiting[0]}.", waiting[0].advice)
    if ahead:
        name, count = next(iter(ahead.items()))
        raise Problem(
            f"{name} ends {count} records before the position that was read.",
            "A worker heals it or stops that partition: check that one runs, and look at its log.",
        )
    return "they have everything that was read"


async def untold(settings: Settings) -> str:
    """Whether what is to be told on Kafka is told."""
    try:
        async with _connecting(settings) as connection:
            found = await outbox.waiting(connection)
    except UndefinedTableError:
        return "no schema yet, nothing to tell"
    for one in found:
        if one.oldest_seconds > OUTBOX_SECONDS_MAX:
            raise Problem(
                f"{one.waiting} records for {one.topic} wait for {one.oldest_seconds:.0f} s.",
                "Check that a worker runs, and the topic with `fanmemory topics check`.",
            )
        if one.refused:
            raise Problem(
                f"{one.refused} records for {one.topic} are refused by the broker for good.",
                "See `refused` in the table outbox_record; set it to NULL to try again.",
            )
    return f"{sum(one.waiting for one in found)} records wait to be published"


async def erased(settings: Settings) -> str:
    """Whether who was erased has left PostgreSQL's files, too."""
    try:
        async with _connecting(settings) as connection:
            left = await cleaning.unclean(connection)
    except UndefinedTableError:
        return "no schema yet, nobody was erased"
    if left is None:
        return "have left PostgreSQL's files"
    minutes = f"{left.seconds / 60:.0f} min"
    if left.seconds <= UNCLEAN_SECONDS_MAX:
        return f"leave PostgreSQL's files within minutes; the first was erased {minutes} ago"
    megabytes = -(-left.bytes // (1 << 20))
    said = f"Ids and wrapped keys of who was erased {minutes} ago are still in PostgreSQL's files"
    if megabytes > settings.rewritten_megabytes_max:
        raise Note(
            f"{said}: the tables take {megabytes} MB, more than is written anew.",
            f"Set FANMEMORY_REWRITTEN_MEGABYTES_MAX to {2 * megabytes} for one worker in a quiet"
            " hour: the tables stand still for a second or two for each 100 MB.",
        )
    raise Note(
        f"{said}.",
        "Check that a worker runs, and look for a transaction that does not end"
        " (pg_stat_activity.xact_start).",
    )


async def clock(settings: Settings) -> str:
    """Our clock against the database's, with the answer's travelling time as the doubt."""
    async with _connecting(settings) as connection:
        before = time.time()
        theirs = float(await connection.fetchval(SQL.clock))
        after = time.time()
    apart = max(before - theirs, theirs - after, 0.0)
    if apart > CLOCK_SECONDS_MAX:
        raise Problem(
            f"This clock and PostgreSQL's are {apart:.1f} s apart.",
            "Let both machines follow a time server: what is from the future is refused.",
        )
    return f"agrees with PostgreSQL's within {apart + after - before:.3f} s"
