"""Binding subjects' keys to their relationships, for databases filled by a former release.

The wrapped key of a former release names its subject only: anyone who may write `subject` could
hang one fan's memory on another's name. `bind` wraps every key again with the relationship in what
is authenticated, in batches, so that no other transaction waits for it, in this order; what a crash
after each step costs is in brackets:

1. From now on new keys are bound, unbound ones still open. [begin again: nothing is done twice]
2. Batch by batch, by subject: unwrap, wrap, write where the row is still as it was read. [the same]
3. One transaction, in which no new subjects are made: bind what came in between, and say that
   unbound keys open nothing any more. [the same]

Processes of the former release can't open bound keys: begin when all of them have been replaced.
What can't be bound, because its wrapped key was altered, is named and left; it opened nothing
before either. A mapping that was swapped *before* can't be told from a right one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from infra.postgres import Connection
from infra.sql import load_queries
from privacy.keys import BOUND_BYTES, Keyring
from schemas.errors import Misconfigured, SealBroken

_SQL: Final = load_queries(Path(__file__).parent / "sql" / "binding.sql")
_FIRST: Final = bytes(16)
BATCH: Final = 1000
"""Subjects in one statement: about 10 ms of Postgres."""

BindingState = Literal["unbound", "binding", "bound"]


@dataclass(slots=True)
class Bound:
    """What one run of `bind` did."""

    bound: int = 0
    broken: list[bytes] = field(default_factory=list)
    """Subjects whose wrapped key opens for no relationship."""


async def binding_state(connection: Connection) -> BindingState:
    """How keys are wrapped in this database: what `bind` has still to do."""
    state: BindingState | None = await connection.fetchval(_SQL.state)
    if state is None:
        raise Misconfigured("The database does not say how keys are wrapped.")
    return state


async def bind(
    connection: Connection,
    keyring: Keyring,
    *,
    batch: int = BATCH,
    progress: Callable[[int], None] = lambda bound: None,
) -> Bound:
    """Bind every key to its relationship, then let nothing unbound open any more.

    Can be ended at any time and begun again. `progress` is told how many have been bound. Raises
    `Misconfigured`, before anything is changed, when the keyring lacks a key that is in use.
    """
    lacking = {row["kek"] for row in await connection.fetch(_SQL.keks)} - keyring.names
    if lacking:
        raise Misconfigured(
            f"The keyring lacks {len(lacking)} of the keys that fans' keys are wrapped with.",
            hint="Add them to FANMEMORY_KEYRING after the newest one, and run it again.",
        )
    found = Bound()
    await connection.execute(_SQL.begin)
    await _sweep(connection, keyring, batch, found, progress)
    async with connection.transaction():
        await connection.execute(_SQL.hold_new_subjects)
        await _sweep(connection, keyring, batch, found, progress)
        await connection.execute(_SQL.finish)
    return found


async def _sweep(
    connection: Connection,
    keyring: Keyring,
    batch: int,
    found: Bound,
    progress: Callable[[int], None],
) -> None:
    broken = set(found.broken)
    after = _FIRST
    while rows := await connection.fetch(_SQL.unbound_after, after, BOUND_BYTES, batch):
        rewrapped = []
        for row in rows:
            subject, known = row["subject"], row["wrapped_key"]
            who = (row["creator_id"], row["fan_id"])
            try:
                key = keyring.unwrap(subject, who, row["kek"], known, unbound_opens=True)
            except SealBroken:
                broken.add(subject)
            else:
                rewrapped.append((subject, known, *keyring.wrap(subject, who, key)))
        if rewrapped:
            await connection.execute(_SQL.rewrap, *map(list, zip(*rewrapped, strict=True)))
            found.bound += len(rewrapped)
            progress(found.bound)
        after = rows[-1]["subject"]
    found.broken = sorted(broken)
