"""The wall between creators: whose rows a statement may see, whatever it asks for.

The API knows from the token alone which creators a request may be about, and says so with
`letting_in`, before anything of the request is looked at. Its statements run as the reader, who by
`wall.sql`'s policies sees the rows of one creator, whom each of them names by itself: the one that
it asks for, if the request may be about them, else nobody. A route that forgets to ask whether a
creator is the token's thus finds nothing. What is answered without Postgres asks `sees`.

Processes that answer no requests let everybody in, and are no readers.
"""

from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from infra.postgres import Connection, Executor, Record
from infra.sql import load_queries
from schemas.errors import Forbidden

_FILE: Final = Path(__file__).parent / "sql" / "wall.sql"
_QUERIES: Final = load_queries(_FILE)
NOBODY: Final[frozenset[str]] = frozenset()

_let_in: ContextVar[frozenset[str] | None] = ContextVar("creators_let_in", default=None)


def letting_in(creators: frozenset[str]) -> None:
    """From here on, in this task, only these creators (in NFC) are seen."""
    _let_in.set(creators)


def sees(creator_id: str) -> bool:
    """Whether what is done here may be about this creator."""
    creators = _let_in.get()
    return creators is None or creator_id in creators


def require(creator_id: str) -> None:
    """Raise `Forbidden` unless it may: for what is written."""
    if not sees(creator_id):
        raise Forbidden


async def fetch(
    connection: Executor, statement: str, creator_id: str, *arguments: Any
) -> list[Record]:
    """The rows of a statement, of this creator's alone.

    `arguments` are the statement's own. In a transaction the creator is set until its end.
    """
    walled = _walled(statement, len(arguments) + 1)
    rows: list[Record] = await connection.fetch(
        walled, *arguments, creator_id if sees(creator_id) else ""
    )
    return rows


async def fetchrow(
    connection: Executor, statement: str, creator_id: str, *arguments: Any
) -> Record | None:
    """The first of them."""
    rows = await fetch(connection, statement, creator_id, *arguments)
    return rows[0] if rows else None


async def build(connection: Connection) -> None:
    """Put the policies where they are missing; by the tables' owner."""
    await connection.execute(_QUERIES.build)


async def unwalled(connection: Connection) -> list[str]:
    """Tables with rows of creators that this connection's role reads whole; a reader none."""
    return [row["name"] for row in await connection.fetch(_QUERIES.unwalled)]


@lru_cache(256)
def _walled(statement: str, parameter: int) -> str:
    queries = load_queries(_FILE, parameter=str(parameter), statement=statement)
    return queries.walled
