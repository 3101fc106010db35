"""Reading one's own write over HTTP: also after a rebuild, and when the former views are gone."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin.rebuild import drop_former, rebuild
from infra.settings import Settings
from tests.api.client import Client, running_api
from tests.pipeline import Pipeline, message


@pytest.fixture
async def pipeline(settings: Settings, tmp_path: Path) -> AsyncIterator[Pipeline]:
    made = Pipeline(settings, tmp_path)
    try:
        made.start_worker()
        await made.claimed()
        yield made
    finally:
        await made.end()


async def read_back(api: Client, number: int) -> None:
    """Write for a fan of whom nobody has read yet, and read it with nothing but its position."""
    event = message(f"fan{number}", number)
    posted = await api.ask(
        "POST",
        "/api/of-memory/interaction",
        json=event,
        headers={"Authorization": f"Bearer {api.token('creator')}"},
    )
    assert posted.status == 200
    for route in ("context", "engagement-score"):
        answer = await api.ask(
            "GET",
            f"/api/of-memory/{route}",
            params={
                "creatorId": "creator",
                "fanId": f"fan{number}",
                "minPosition": posted.body["position"],
            },
            headers={"Authorization": f"Bearer {api.token('creator')}"},
        )
        assert answer.status == 200, (number, answer.body)


async def test_a_process_that_never_missed_follows_a_switch_and_a_drop(pipeline: Pipeline) -> None:
    async with running_api(pipeline.settings) as api:
        await read_back(api, 1)
        await rebuild(pipeline.settings)
        await read_back(api, 2)
        await rebuild(pipeline.settings)
        assert await drop_former(pipeline.settings)
        await read_back(api, 3)
