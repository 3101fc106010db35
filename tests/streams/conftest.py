"""Pipelines: a module's own with one worker for tests that only add events, or one per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.settings import Settings
from ops.services import Endpoints
from tests.pipeline import Pipeline, fresh_pipeline


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
    async with fresh_pipeline(services, template_database, data) as made:
        made.start_worker()
        await made.vouched()
        yield made
