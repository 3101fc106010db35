"""States: the one writer of `fan_state`, for the live fold, rebuilds and tests alike.

Each is sealed (`stores.sealing`). Beside it stand, in clear, the columns that fans are found by
(`views.segments`), written by the same statement. Where code wrote a state that knew of none, they
are of another version, or of none, until `index_some` writes them.

An index of a column that each event changes would cost each event an entry in every index of the
table. So most fans stand in none: those of a creator who has few are found by the creator, and
looked at one by one. Of a creator who has many, `order_some` marks them `ordered`, and the indexes
have copies of their columns, which Postgres generates, whoever writes. A fan who is `ordered`
remains so.

A column is added here, in `states.sql`, in `stores.generations`' tables, and nowhere else.
"""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.postgres import Connection, Record
from infra.sql import Queries, load_queries
from privacy.keys import Keyring
from privacy.seal import nonces
from privacy.subjects import Subject, subject_of
from schemas.errors import Misconfigured, SealBroken
from stores.generations import schema_name
from stores.sealing import open_state, seal_state
from views.segments import Filters, filters_of
from views.state import FanState, decode

_SQL: Final = Path(__file__).parent / "sql" / "states.sql"
ALTERED: Final = b"altered"
"""In place of a document that does not open: no state decodes from it, so what is folded onto it is
quarantined."""
HASH_MIN: Final = -(1 << 63)
HASH_MAX: Final = (1 << 63) - 1
TOGETHER: Final = 500
"""States of one statement: 32 MB at the most, most often one."""


class StateRow(NamedTuple):
    """One fan's state; the fields are the table's columns, but for `indexed_version`, which is
    `version`."""

    subject: bytes
    version: int
    state: bytes
    """Sealed."""
    creator_hash: int
    rank: float
    revenue: int
    last_interaction: int
    traits: int
    waiting_since: int

    @classmethod
    def of(
        cls,
        fan: Subject,
        generation: int,
        version: int,
        state: FanState,
        document: bytes,
        nonce: bytes | None = None,
    ) -> "StateRow":
        """`document` is the state, encoded; `nonce` one of `privacy.seal.nonces`."""
        sealed = seal_state(fan.cipher, fan.id, generation, document, nonce)
        return cls(fan.id, version, sealed, creator_hash(fan.creator_id), *filters_of(state))


@lru_cache(maxsize=4096)
def creator_hash(creator_id: str) -> int:
    """What stands for a creator in the indexes, where an id would be long: 8 bytes of SHA-256, as a
    signed number. Whoever finds fans by it looks at their subject, too."""
    return int.from_bytes(sha256(creator_id.encode()).digest()[:8], "big", signed=True)


@cache
def _queries(generation: int) -> Queries:
    return load_queries(_SQL, generation=schema_name(generation))


async def read(
    connection: Connection,
    generation: int,
    wanted: Sequence[bytes],
    subjects: Mapping[bytes, Subject],
) -> dict[bytes, tuple[int, bytes]]:
    """Subject -> (version, document) of the `wanted` that have a state.

    The document is `ALTERED` where it does not open.
    """
    rows = await connection.fetch(_queries(generation).read, wanted)
    return {
        row["subject"]: (row["version"], _document(subjects[row["subject"]], generation, row))
        for row in rows
    }


def _document(fan: Subject, generation: int, row: Record) -> bytes:
    try:
        return open_state(fan.cipher, fan.id, generation, row["state"])
    except SealBroken:
        return ALTERED


async def write(connection: Connection, generation: int, rows: Sequence[StateRow]) -> None:
    """Put these states in place of the former ones; the rows are sorted by subject."""
    if rows:
        columns = zip(*rows, strict=True)
        await connection.execute(_queries(generation).write, *map(list, columns))


async def delete(connection: Connection, generation: int, subjects: Sequence[bytes]) -> list[bytes]:
    """Drop the states of fans of whom nothing is left; returns who had one."""
    if not subjects:
        return []
    rows = await connection.fetch(_queries(generation).delete, subjects)
    return [row["subject"] for row in rows]


async def cap_versions(
    connection: Connection, generation: int, subjects: Sequence[bytes], version: int
) -> None:
    """Lower versions to what the journal still reaches, so that they rise from there again."""
    if subjects:
        await connection.execute(_queries(generation).cap_versions, subjects, version)


async def write_all(connection: Connection, generation: int, rows: Sequence[StateRow]) -> None:
    """The same of any number. COPY would be refused: the table has row-level security."""
    for start in range(0, len(rows), TOGETHER):
        await write(connection, generation, rows[start : start + TOGETHER])


async def forget_erased(connection: Connection, generation: int) -> None:
    """Delete states whose fan was erased after they were built."""
    await connection.execute(_queries(generation).forget_erased)


async def count(connection: Connection, generation: int) -> int:
    return int(await connection.fetchval(_queries(generation).count))


def state_rows(
    folded: Sequence[Any], subjects: Mapping[bytes, Subject], generation: int
) -> list[StateRow]:
    """The rows of what `stores.folding` folded."""
    return [
        StateRow.of(subjects[fan.subject], generation, fan.version, fan.state, fan.document, nonce)
        for fan, nonce in zip(folded, nonces(len(folded)), strict=True)
    ]


async def index_some(connection: Connection, generation: int, limit: int, keyring: Keyring) -> int:
    """Write the filter columns of up to so many states that a former release wrote; how many.

    A state that does not open gets none, and its fan is not found. A transaction of its own: it
    holds nothing but these rows, and waits for none. Cut off, it is begun again by whoever comes
    next.
    """
    queries = _queries(generation)
    async with connection.transaction():
        rows = await connection.fetch(queries.lock_unindexed, limit)
        if rows:
            columns = [_columns(row, generation, keyring) for row in rows]
            await connection.execute(queries.index, *map(list, zip(*columns, strict=True)))
    return len(rows)


def _columns(row: Record, generation: int, keyring: Keyring) -> tuple[Any, ...]:
    *whose, sealed = row
    try:
        fan = subject_of(keyring, whose)
        state = decode(open_state(fan.cipher, fan.id, generation, sealed))
    except (SealBroken, Misconfigured):
        return (row["subject"], *(None,) * (1 + len(Filters._fields)))
    return (fan.id, creator_hash(fan.creator_id), *filters_of(state))


class Unordered(NamedTuple):
    """Creators some of whose fans stand in no index."""

    crowded: list[int]
    """Hashes of those who have too many of them."""
    end: int | None
    """The hash to go on from; None: these were the last."""


async def unordered(
    connection: Connection, generation: int, start: int, creators: int, most: int
) -> Unordered:
    """The next so many creators, from this hash on; `most` fans are not too many."""
    rows = await connection.fetch(_queries(generation).unordered, start, creators, most)
    last = rows[-1]["creator_hash"] if len(rows) == creators else HASH_MAX
    crowded = [row["creator_hash"] for row in rows if row["crowded"]]
    return Unordered(crowded, None if last == HASH_MAX else last + 1)


async def order_some(connection: Connection, generation: int, creator: int, limit: int) -> int:
    """Put up to so many fans of a creator, by hash, into the indexes; how many.

    Like `index_some` it waits for nobody, and leaves out whom somebody is writing."""
    return int(await connection.fetchval(_queries(generation).order, creator, limit))
