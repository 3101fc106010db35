"""States: the one writer of `fan_state`, for the live fold, rebuilds and tests alike.

A column is added here, in `states.sql`, in `stores.generations`' tables, and nowhere else.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.postgres import Connection
from infra.sql import Queries, load_queries
from stores.generations import schema_name

_SQL: Final = Path(__file__).parent / "sql" / "states.sql"
TABLE: Final = "fan_state"


class StateRow(NamedTuple):
    """One fan's state; the fields are the table's columns."""

    subject: bytes
    version: int
    state: bytes


@cache
def _queries(generation: int) -> Queries:
    return load_queries(_SQL, generation=schema_name(generation))


async def read(
    connection: Connection, generation: int, subjects: Sequence[bytes]
) -> dict[bytes, tuple[int, bytes]]:
    """Subject -> (version, document) of those that have a state."""
    rows = await connection.fetch(_queries(generation).read, subjects)
    return {row["subject"]: (row["version"], row["state"]) for row in rows}


async def write(connection: Connection, generation: int, rows: Sequence[StateRow]) -> None:
    """Put these states in place of the former ones; the rows are sorted by subject."""
    if rows:
        columns = zip(*rows, strict=True)
        await connection.execute(_queries(generation).write, *map(list, columns))


async def delete(connection: Connection, generation: int, subjects: Sequence[bytes]) -> int:
    """Drop the states of fans of whom nothing is left; returns how many there were."""
    if not subjects:
        return 0
    status = await connection.execute(_queries(generation).delete, subjects)
    return int(status.rpartition(" ")[2])


async def cap_versions(
    connection: Connection, generation: int, subjects: Sequence[bytes], version: int
) -> None:
    """Lower versions to what the journal still reaches, so that they rise from there again."""
    if subjects:
        await connection.execute(_queries(generation).cap_versions, subjects, version)


async def copy(connection: Connection, generation: int, rows: Iterable[StateRow]) -> None:
    """Write states of fans who have none yet, in bulk."""
    await connection.copy_records_to_table(
        TABLE, schema_name=schema_name(generation), columns=StateRow._fields, records=rows
    )


async def forget_erased(connection: Connection, generation: int) -> None:
    """Delete states whose fan was erased after they were built."""
    await connection.execute(_queries(generation).forget_erased)


async def count(connection: Connection, generation: int) -> int:
    return int(await connection.fetchval(_queries(generation).count))


def state_rows(folded: Iterable[Any]) -> list[StateRow]:
    """The rows of what `stores.folding` folded."""
    return [StateRow(fan.subject, fan.version, fan.document) for fan in folded]
