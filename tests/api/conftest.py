"""An API on seeded stores for the tests that only read, one per module."""

from collections.abc import AsyncIterator

import pytest

from lab.bench.seed import seed
from ops.services import Endpoints
from tests import services as helpers
from tests.api.client import CREATOR, FAN, Client, conversation, running_api


@pytest.fixture(scope="module")
async def api(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """Remembers FAN of CREATOR, and a fan of the same name with another creator."""
    async with helpers.fresh_database(services, template_database) as url:
        data = tmp_path_factory.mktemp("api")
        settings = await helpers.fresh_settings(services, url, data, kafka=True)
        settings = settings.model_copy(update={"request_seconds_max": 1.0})
        histories = {(CREATOR, FAN): conversation(), ("creator_other", FAN): conversation(4)}
        await seed(settings, histories)
        async with running_api(settings) as client:
            yield client
