"""What some of a creator's fans have paid so far, as the views say it: beside what they cost."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from infra.postgres import Pool, Record
from schemas.errors import SealBroken
from stores import wall
from stores.queries import memory_queries
from stores.store import Store
from views.engagement import paid
from views.state import VIEW_VERSION, decode, is_nobody

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

    async def read(generation: int) -> list[Record]:
        queries = memory_queries(generation)
        return await wall.fetch(
            pool, queries.read_states, creator_id, creator_id, list(subjects), VIEW_VERSION
        )

    return {
        row["subject"]: Earned(row["fan_id"], _revenue(_state(store, creator_id, row), currency))
        for row in await store.of_one_generation(read)
        if row["fan_id"] is not None
    }


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
