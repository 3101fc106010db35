"""Rotation: everything that a key-encryption key wraps is wrapped again under the newest one.

`rotate` works in batches beside everything that runs, in the order of subjects; what it has done
stands in the rows, so it can be ended at any time and begun again. A row that was erased or changed
meanwhile is left as it is. Bodies are not touched: a fan's own key stays the same, so histories,
journal and what processes keep in memory stay right, and a cached entry that carries the former
wrapping opens as long as the ring has its key, and afterwards is a miss.

A process that does not know the new key yet would take fans wrapped by it for broken, and one that
still wraps by a former key makes new rows under it. So the new key is first given to all as
`+id:…`, then put first, and only then everything is rotated; `rotate` says what came in under other
keys meanwhile, and is run again.

`retire` writes down that a key wraps nothing any more, if that is so. From then on the database
refuses rows under it, whoever writes them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra.postgres import Connection, Record
from infra.sql import load_queries
from privacy.binding import binding_state
from privacy.creators import rewrapped_creator
from privacy.keys import Keyring
from privacy.suppression import reseal_suppression_key
from schemas.errors import Misconfigured, SealBroken
from stores import connections, day_keys
from stores.erasure import Names

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "rotation.sql")
_FIRST: Final = bytes(16)
BATCH: Final = 2000
"""Subjects in one statement, which holds their rows for about 30 ms."""


@dataclass(slots=True)
class Rotated:
    """What one run of `rotate` did."""

    subjects: int = 0
    connections: int = 0
    left: int = 0
    """Subjects that were made or restored under another key meanwhile: run it again."""
    broken: list[bytes] = field(default_factory=list)
    """Subjects whose wrapped key opens for no relationship; they keep their key-encryption key."""


async def to_rotate(connection: Connection, keyring: Keyring) -> int:
    """How many subjects are not under the newest key."""
    count: int = await connection.fetchval(_QUERIES.count_others, keyring.newest)
    return count


async def rotate(
    connection: Connection,
    keyring: Keyring,
    *,
    batch: int = BATCH,
    progress: Callable[[int], None] = lambda _rewrapped: None,
) -> Rotated:
    """Wrap everything under the newest key; `progress` is told of each batch how many it had.

    Raises `Misconfigured`, before anything is changed, when the ring lacks a key that is in use,
    when its newest was retired, or when there are keys of a former release, which know no
    relationship (`privacy.binding`).
    """
    if await binding_state(connection) != "bound":
        raise Misconfigured(
            "There are keys of a former release.", hint="Run `fanmemory keys bind` first."
        )
    await require_in_use(connection, keyring)
    await _require_all(connection, keyring)
    done = Rotated()
    after = _FIRST
    while rows := await connection.fetch(_QUERIES.others_after, after, keyring.newest, batch):
        done.subjects += await _rewrap(connection, keyring, rows, done.broken)
        after = rows[-1]["subject"]
        progress(len(rows))
    done.connections = await _reseal_connections(connection, keyring)
    await _rewrap_creators(connection, keyring)
    await _reseal_suppression_key(connection, keyring)
    await _rewrap_days(connection, keyring)
    await _reseal_erasures(connection, keyring, batch)
    done.left = await to_rotate(connection, keyring) - len(done.broken)
    return done


async def require_in_use(connection: Connection, keyring: Keyring) -> None:
    """Raise `Misconfigured` for a ring whose newest key was retired."""
    if keyring.newest in await retired(connection):
        raise Misconfigured(
            f"Key {keyring.newest}, the keyring's newest, was retired.",
            hint="Put a newer one before it: `fanmemory keys new`.",
        )


async def _require_all(connection: Connection, keyring: Keyring) -> None:
    lacking = {row["kek"] for row in await connection.fetch(_QUERIES.keks)} - keyring.names
    if lacking:
        raise Misconfigured(
            f"The keyring lacks {len(lacking)} of the keys that something is wrapped with.",
            hint="Add them to FANMEMORY_KEYRING after the newest one, and run it again.",
        )


async def _rewrap(
    connection: Connection, keyring: Keyring, rows: list[Record], broken: list[bytes]
) -> int:
    rewrapped = []
    for row in rows:
        subject, known = row["subject"], row["wrapped_key"]
        who = (row["creator_id"], row["fan_id"])
        try:
            key = keyring.unwrap(subject, who, row["kek"], known)
        except SealBroken:
            broken.append(subject)
        else:
            rewrapped.append((subject, known, keyring.wrap(subject, who, key)[1]))
    if not rewrapped:
        return 0
    columns = map(list, zip(*rewrapped, strict=True))
    status = await connection.execute(_QUERIES.rewrap, keyring.newest, *columns)
    return int(status.rpartition(" ")[2])


async def _reseal_connections(connection: Connection, keyring: Keyring) -> int:
    count = 0
    for row in await connection.fetch(_QUERIES.other_connections, keyring.newest):
        kek, sealed = connections.resealed(keyring, row)
        await connection.execute(
            _QUERIES.reseal_connection, row["connection"], kek, sealed, row["sealed"]
        )
        count += 1
    return count


async def _rewrap_creators(connection: Connection, keyring: Keyring) -> None:
    for row in await connection.fetch(_QUERIES.other_creators, keyring.newest):
        who, known = row["creator_id"], row["wrapped_key"]
        kek, wrapped_key = rewrapped_creator(keyring, who, row["kek"], known)
        await connection.execute(_QUERIES.rewrap_creator, who, kek, wrapped_key, known)


async def _reseal_suppression_key(connection: Connection, keyring: Keyring) -> None:
    row = await connection.fetchrow(_QUERIES.other_suppression_key, keyring.newest)
    if row is not None:
        kek, sealed = reseal_suppression_key(keyring, row["kek"], row["sealed"])
        await connection.execute(_QUERIES.reseal_suppression_key, kek, sealed, row["sealed"])


async def _rewrap_days(connection: Connection, keyring: Keyring) -> None:
    for row in await connection.fetch(_QUERIES.other_days, keyring.newest):
        kek, wrapped_key = day_keys.rewrapped(keyring, row["day"], row["kek"], row["wrapped_key"])
        await connection.execute(
            _QUERIES.rewrap_day, row["day"], kek, wrapped_key, row["wrapped_key"]
        )


async def _reseal_erasures(connection: Connection, keyring: Keyring, batch: int) -> None:
    names, after = Names(keyring), _FIRST
    while rows := await connection.fetch(_QUERIES.other_erasures, after, keyring.newest, batch):
        resealed = [
            (id, known, names.seal(id, names.open(id, kek, known))[1]) for id, kek, known in rows
        ]
        columns = map(list, zip(*resealed, strict=True))
        await connection.execute(_QUERIES.reseal_erasure, keyring.newest, *columns)
        after = rows[-1]["erasure"]


async def wrapped(connection: Connection) -> dict[str, dict[str, int]]:
    """What each key wraps in the database: id -> kind (`fans`, `creators` and others)
    -> count."""
    found: dict[str, dict[str, int]] = {}
    for row in await connection.fetch(_QUERIES.wrapped):
        found.setdefault(row["kek"], {})[row["what"]] = row["count"]
    return found


async def retired(connection: Connection) -> list[str]:
    """The ids of retired keys."""
    return [row["kek"] for row in await connection.fetch(_QUERIES.retired)]


async def retire(connection: Connection, kek: str) -> dict[str, int]:
    """Retire a key unless it wraps something in the database; returns what that is, if so."""
    async with connection.transaction():
        await connection.execute(_QUERIES.hold)
        left = (await wrapped(connection)).get(kek, {})
        if not left:
            await connection.execute(_QUERIES.retire, kek)
        return left
