"""What clients are pointed to."""

from collections.abc import AsyncIterator

import pytest

from ops.services import Endpoints
from tests.clients.live import Live, api_process
from tests.pipeline import fresh_pipeline

PATIENT = {"own_write_seconds_max": 30.0, "request_seconds_max": 60.0}
"""A busy machine may take longer than 300 ms for what takes 20."""


@pytest.fixture(scope="module")
async def live(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    folder = tmp_path_factory.mktemp("clients")
    async with fresh_pipeline(services, template_database, folder, **PATIENT) as pipeline:
        pipeline.start_worker()
        await pipeline.claimed()
        await pipeline.vouched()
        async with api_process(pipeline.settings, folder) as url:
            yield Live(url, pipeline)
