"""Roles: who may do what in Postgres, and how a role is given that.

`roles.sql` says which there are. `fanmemory roles` prints what makes them on a server of one's own;
an embedded one makes them by itself.
"""

from pathlib import Path
from typing import Final, NamedTuple

from infra.postgres import Connection, Role
from infra.sql import load_queries

_FILE: Final = Path(__file__).parent / "sql" / "roles.sql"
_QUERIES: Final = load_queries(_FILE)
CREATE: Final = _QUERIES.create + ";\n"
"""SQL for a superuser: the roles, and whose the tables are."""
NAMES: Final[dict[Role, str]] = {
    "owner": "fanmemory_owner",
    "writer": "fanmemory_writer",
    "reader": "fanmemory_reader",
}


class Powers(NamedTuple):
    """What a connection's role may do that none of ours should."""

    name: str
    superuser: bool
    bypasses: bool
    """Row-level security."""
    owner: bool
    """Of the tables."""


def password_of(role: Role, password: str) -> str:
    """The statement that gives a role its password, of hexadecimal digits."""
    if not password.isalnum():
        raise ValueError("a password of letters and digits is needed")
    return load_queries(_FILE, role=NAMES[role], password=password).password + ";\n"


async def grant(connection: Connection) -> None:
    """Let the roles that there are do their work on the tables that there are.

    By the tables' owner, within its transaction or by itself; done twice it changes nothing more.
    """
    await connection.execute(_QUERIES.grant)


async def powers(connection: Connection) -> Powers:
    """Of the role that this connection has."""
    (row,) = await connection.fetch(_QUERIES.powers)
    return Powers(*row)
