"""A store whose disk is full, and is freed later: everything waits, nothing is lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admin import topics
from infra.postgres import url_of
from infra.settings import Settings
from lab.chaos.full import SmallDisk, lacking, small_disk
from ops.services import EmbeddedServices
from stores.migrate import migrate
from tests.pipeline import Flow, Pipeline
from tests.services import with_new_secrets

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())

GOES_ON_SECONDS_MAX = 60.0


@pytest.fixture(params=["postgres", "kafka"])
async def filled(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[str, SmallDisk, EmbeddedServices, Pipeline]]:
    """The store, its disk, and a system with one worker that stands on it."""
    name = request.param
    with small_disk(tmp_path / name) as disk, EmbeddedServices(tmp_path) as services:
        settings = with_new_secrets(Settings(), tmp_path, services.endpoints)
        await topics.create(settings)
        await migrate(url_of(settings, "owner"))
        pipeline = Pipeline(settings, tmp_path)
        pipeline.start_worker()
        try:
            await pipeline.claimed()
            yield name, disk, services, pipeline
        finally:
            await pipeline.end()


async def test_a_full_disk_is_waited_out(
    filled: tuple[str, SmallDisk, EmbeddedServices, Pipeline],
) -> None:
    name, disk, services, pipeline = filled
    (worker,) = pipeline.workers

    async def stands_still() -> bool:
        return not services.alive()[name] or worker.said("waiting for ") > waited

    async with Flow(pipeline, name, batch=200) as flow:
        await flow.more()
        waited = worker.said("waiting for ")
        disk.fill()
        await pipeline.wait_for(stands_still, GOES_ON_SECONDS_MAX)
        disk.free()
        services.start_one(name)  # it may have ended itself, as its supervisor would start it
        await flow.more(GOES_ON_SECONDS_MAX)
        await flow.more(GOES_ON_SECONDS_MAX)
    await flow.check()
    assert worker.alive
