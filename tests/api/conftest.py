"""An API on seeded stores for the tests that only read, one per module."""

import io
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from infra import logs
from lab.bench.seed import seed
from ops.services import Endpoints
from tests import services as helpers
from tests.api.client import CREATOR, FAN, Answer, Client, conversation, running_api


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
            await client.until(lambda: ranked(client), 200)
            yield client


async def ranked(client: Client) -> Answer:
    """Answers 200 once the process knows how the creator's fans rank: scores have a tag then."""
    answer = await client.get("engagement-score")
    return answer if "percentile" in answer.body["data"] else Answer(0, {}, answer.body)


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What the process logs, as it would on stderr."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure("api", "INFO")
    stream = io.StringIO()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)
