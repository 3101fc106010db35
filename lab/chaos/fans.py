"""What the live views hold, read apart from the code that writes them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.postgres import connecting
from infra.settings import Settings
from infra.sql import load_queries
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.relationship import Relationship
from stores import generations
from stores.sealing import open_state

SQL: Final = Path(__file__).with_name("checks.sql")


@dataclass(frozen=True, slots=True)
class Row:
    """One fan as Postgres has it."""

    version: int
    state: bytes
    """Its document."""


async def read_fans(settings: Settings) -> dict[Relationship, Row]:
    """Every fan of the live generation."""
    async with connecting(settings.postgres_url) as connection:
        live = generations.require_live(await generations.live(connection))
        queries = load_queries(SQL, generation=generations.schema_name(live.number))
        rows = await connection.fetch(queries.fans)
        ids = [row["subject"] for row in rows]
        fans = await Subjects(Keyring.of(settings), len(rows) + 1).lookup(connection, ids)
    found = {}
    for row in rows:
        fan = fans[row["subject"]]
        document = open_state(fan.cipher, fan.id, live.number, row["state"])
        found[fan.creator_id, fan.fan_id] = Row(row["version"], document)
    return found
