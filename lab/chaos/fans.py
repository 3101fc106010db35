"""What the live views hold, read apart from the code that writes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.postgres import connecting
from infra.settings import Settings
from infra.sql import load_queries
from schemas.relationship import Relationship
from stores import generations

SQL: Final = Path(__file__).with_name("checks.sql")


@dataclass(frozen=True, slots=True)
class Row:
    """One fan as Postgres has it."""

    version: int
    state: bytes


async def read_fans(settings: Settings) -> dict[Relationship, Row]:
    """Every fan of the live generation."""
    async with connecting(settings.postgres_url) as connection:
        live = generations.require_live(await generations.live(connection))
        queries = load_queries(SQL, generation=generations.schema_name(live.number))
        rows = await connection.fetch(queries.fans)
    return {(row["creator_id"], row["fan_id"]): Row(row["version"], row["state"]) for row in rows}
