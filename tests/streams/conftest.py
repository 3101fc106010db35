"""Pipelines: a module's own with one worker for tests that only add events, or one per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.settings import Settings
from ops.services import Endpoints
from tests import services as helpers
from tests.pipeline import Pipeline


@pytest.fixture
async def pipeline(settings: Settings, tmp_path: Path) -> AsyncIterator[Pipeline]:
    """An empty system without workers: the test starts them."""
    made = Pipeline(settings, tmp_path)
    try:
        yield made
    finally:
        await made.end()


@pytest.fixture(scope="module")
async def running(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    """A system with one worker that vouches for everything, shared by a module's tests."""
    data = tmp_path_factory.mktemp("pipeline")
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(services, url, data, kafka=True)
        made = Pipeline(settings, data)
        made.start_worker()
        try:
            await made.vouched()
            yield made
        finally:
            await made.end()
