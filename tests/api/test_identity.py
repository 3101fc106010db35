"""A mapping that was swapped or renamed shows nobody's memory, and says that something is wrong."""

import asyncpg
import pytest

from infra.postgres import url_of
from infra.settings import Settings
from lab.bench.seed import seed
from tests.api.client import CREATOR, FAN, PREFIX, Client, conversation, running_api

OTHER = "fan_of_somebody"


async def shown(api: Client, creator: str, fan: str, route: str, **more: str) -> tuple[int, str]:
    """Status and the whole answer, as text."""
    answer = await api.ask(
        "GET",
        f"{PREFIX}/{route}",
        params={"creatorId": creator, "fanId": fan} | more,
        headers={"Authorization": f"Bearer {api.token(creator)}"},
    )
    return answer.status, str(answer.body)


# Both at once, since a pair is unique.
SWAP = """UPDATE subject s SET creator_id = o.creator_id, fan_id = o.fan_id
    FROM subject o WHERE s.subject <> o.subject"""
RENAME = f"UPDATE subject SET creator_id = 'thief' WHERE fan_id = '{OTHER}'"


@pytest.mark.parametrize(
    ("statement", "moved"),
    [(SWAP, [(CREATOR, FAN), ("victim", OTHER)]), (RENAME, [("thief", OTHER)])],
    ids=["swapped", "renamed"],
)
async def test_a_swapped_or_renamed_fan_opens_for_nobody(
    store_settings: Settings, statement: str, moved: list[tuple[str, str]]
) -> None:
    await seed(
        store_settings, {(CREATOR, FAN): conversation(6), ("victim", OTHER): conversation(8)}
    )
    connection = await asyncpg.connect(url_of(store_settings, "owner"))
    await connection.execute("ALTER TABLE subject DROP CONSTRAINT subject_creator_id_fan_id_key")
    await connection.execute(statement)
    await connection.close()
    async with running_api(store_settings) as api:
        for creator, fan in moved:
            for route, more in (
                ("context", {}),
                ("engagement-score", {}),
                ("context", {"asOf": "2100-01-01T00:00:00Z"}),
                ("explain", {"field": "totalRevenue"}),
            ):
                status, text = await shown(api, creator, fan, route, **more)
                assert status == 500
                assert "altered" in text  # what to look for
                assert fan not in text
        metrics = await api.metrics()
        assert f"memory_seals_broken_total {2.0 * len(moved)}" in metrics
