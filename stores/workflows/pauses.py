"""Providers that are left alone, by all processes: they asked for it, or our key is no good there.

A pause for a key is of the settings that it was found with, so new settings try at once.
"""

from pathlib import Path
from typing import Final, Literal, NamedTuple

from infra.postgres import Pool, database_errors
from infra.sql import load_queries

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_pauses.sql")

PARKED_SECONDS: Final = 3_600.0
"""A key that was refused is tried again after this, too: somebody may have mended it there."""


class Pauses(NamedTuple):
    """Who is left alone now."""

    cooling: dict[str, float]
    """Provider -> seconds that are left."""
    parked: frozenset[str]


async def pause(
    pool: Pool, provider: str, seconds: float, cause: Literal["rate_limit", "auth"], settings: str
) -> None:
    """Leave a provider alone for so long, or longer if it is left alone longer already."""
    async with database_errors():
        await pool.execute(_QUERIES.put_pause, provider, seconds, cause, settings)


async def pauses(pool: Pool, settings: str) -> Pauses:
    """`settings` stands for those of this process."""
    async with database_errors():
        rows = await pool.fetch(_QUERIES.pauses)
    cooling = {row["provider"]: row["seconds"] for row in rows if row["cause"] == "rate_limit"}
    parked = {
        row["provider"] for row in rows if row["cause"] == "auth" and row["settings"] == settings
    }
    return Pauses(cooling, frozenset(parked))
