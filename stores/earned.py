"""What some of a creator's fans have paid so far, as the views say it: beside what they cost."""

import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from infra.postgres import (
    InvalidSchemaNameError,
    Pool,
    Record,
    UndefinedTableError,
    database_errors,
)
from schemas.errors import DatabaseUnavailable, SealBroken
from stores import wall
from stores.queries import memory_queries
from stores.store import Store
from views.engagement import paid
from views.state import VIEW_VERSION, decode, is_nobody

ATTEMPTS_MAX: Final = 3
"""While rebuilds switch generations."""

log = logging.getLogger(__name__)


class Earned(NamedTuple):
    """Of one fan."""

    fan_id: str
    revenue: dict[str, float] | None
    """By currency, in major units; None while no view knows the fan, or the state does not open."""


async def earned(
    store: Store, pool: Pool, creator_id: str, subjects: Sequence[bytes], currency: str
) -> dict[bytes, Earned]:
    """By subject, without those who were erased or are another creator's; `currency` is that of
    amounts that named none."""
    if not subjects:
        return {}
    async with database_errors():
        for _ in range(ATTEMPTS_MAX):
            generation = await store.generation()
            try:
                rows = await wall.fetch(
                    pool,
                    memory_queries(generation).read_states,
                    creator_id,
                    creator_id,
                    list(subjects),
                    VIEW_VERSION,
                )
            except (UndefinedTableError, InvalidSchemaNameError):
                rows = []
            if rows and rows[0]["readable"] == generation:
                return {
                    row["subject"]: Earned(
                        row["fan_id"], _revenue(_state(store, creator_id, row), currency)
                    )
                    for row in rows
                    if row["fan_id"] is not None
                }
            await store.choose_generation()
    raise DatabaseUnavailable("The generation changed while reading.")


def _state(store: Store, creator_id: str, row: Record) -> bytes | None:
    if row["state"] is None:
        return None
    try:
        return store.state(row, (creator_id, row["fan_id"]), row["readable"])
    except SealBroken:
        log.exception("a fan's state is not of their name", extra={"operation": "readEarned"})
        return None


def _revenue(state: bytes | None, currency: str) -> dict[str, float] | None:
    if state is None or is_nobody(state):
        return None
    return paid(decode(state).engagement, currency)
