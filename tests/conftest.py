"""Fixtures that every room's tests may use: real services, freshly emptied."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from infra.settings import Settings
from ops import supervisor
from ops.services import EmbeddedServices, Endpoints
from tests import cli, forked, measuring
from tests import services as helpers
from tests.live import Live, live_system

DEMONSTRATED = "demonstrated"
FIRST = (
    *("test_chaos.py", "test_backwards.py", DEMONSTRATED, "test_up.py", "test_services.py"),
    *("test_verify.py", "test_secured.py", "test_cache_honesty.py", "test_attempts.py"),
    *("test_outages.py", "test_erasing.py", "test_upgrade.py"),
)
"""The longest: begun first, so that the others pass beside them and all processes end together."""


# Properties have no time limit per example: two cores are shared with the services. In `make test`
# their examples are always the same, so that a change is judged by what it changes, and few; `make
# properties` looks for new ones, and for more.
for name, derandomize, examples in (("same", True, 50), ("random", False, 200)):
    hypothesis_settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        derandomize=derandomize,
        suppress_health_check=[HealthCheck.too_slow],
    )
hypothesis_settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--containers", action="store_true", help="run what needs a container engine")


def pytest_configure(config: pytest.Config) -> None:
    """Two processes would empty each other's services if these are not their own."""
    if config.getoption("numprocesses", None) and helpers.others_run_them(Settings()):
        raise pytest.UsageError(
            "The services of FANMEMORY_*_URL serve one process only: `make test JOBS=0`."
        )
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        measured = measuring.plugin(Path(__file__).parent)
        if measured is not None:
            config.pluginmanager.register(measured)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What shares a fixture stays in one process: a module, or all that ask the running demo."""
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(_group(item, item.path.name), len(FIRST)))
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item, str(item.path))))


def _group(item: pytest.Item, module: str) -> str:
    return DEMONSTRATED if DEMONSTRATED in getattr(item, "fixturenames", ()) else module


@pytest.fixture(scope="session")
def services(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoints]:
    """Addresses of the session's Kafka, PostgreSQL and Valkey; `--containers`: in containers."""
    if not pytestconfig.getoption("containers"):
        yield from helpers.session_endpoints(tmp_path_factory.mktemp("services"))
        return
    from tests.containers import images, started

    why = images.engine()
    if why is not None:
        pytest.skip(why)
    yield from started.endpoints()


@pytest.fixture(scope="session")
async def template_database(services: Endpoints) -> str:
    """The name of a migrated database to copy."""
    return await helpers.make_template(services)


@pytest.fixture
async def postgres_url(services: Endpoints, template_database: str) -> AsyncIterator[str]:
    """An empty, migrated database of this test's own."""
    async with helpers.fresh_database(services, template_database) as url:
        yield url


@pytest.fixture
async def redis_url(services: Endpoints) -> str:
    """An emptied Valkey. Tests run one after another, so it is nobody else's meanwhile."""
    await helpers.flush_redis(services)
    return services.redis_url


@pytest.fixture
async def store_settings(services: Endpoints, postgres_url: str, tmp_path: Path) -> Settings:
    """Settings of an empty system whose Kafka is left as the last test left it."""
    return await helpers.fresh_settings(services, postgres_url, tmp_path, kafka=False)


@pytest.fixture
async def settings(services: Endpoints, postgres_url: str, tmp_path: Path) -> Settings:
    """Settings of a completely empty system: database, cache, and topics made anew."""
    return await helpers.fresh_settings(services, postgres_url, tmp_path, kafka=True)


@pytest.fixture(scope="module")
def own_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServices]:
    """Services of a module's own, to be killed and restarted (1.3 s)."""
    with helpers.embedded(tmp_path_factory.mktemp("own")) as running:
        yield running


@pytest.fixture(scope="module")
def own_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServices]:
    """Only the cache of a module's own."""
    with EmbeddedServices(tmp_path_factory.mktemp("own"), names=("valkey",)) as running:
        yield running


@pytest.fixture(scope="module")
async def live(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Live]:
    """A whole small system with an API in a process of its own: what clients are pointed to."""
    async with live_system(services, template_database, tmp_path_factory.mktemp("live")) as made:
        yield made


@pytest.fixture
def forked_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a supervisor starts here has imported everything before."""
    monkeypatch.setattr(supervisor, "start", forked.start)


@pytest.fixture(scope="session")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cli.Running]:
    """A whole system of its own that commands find: the demo, run twice and left running."""
    yield from cli.demonstrated(tmp_path_factory.mktemp("demo"))
