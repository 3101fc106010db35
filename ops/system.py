"""A whole system in one place: services, topics, schema, workers, API. `up` and `demo` run it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from admin import topics
from admin.preflight import preflight
from api.auth import signing_key
from infra.postgres import url_of
from infra.settings import Settings
from ops import restoring
from ops.secrets import KEYRING_FILE, make_secrets, with_secrets
from ops.services import EmbeddedServices, Endpoints, kafka, postgres, valkey
from ops.services import endpoints as endpoints_file
from ops.services.discover import data_words
from ops.services.lock import is_held
from ops.services.ports import free_port, is_free
from ops.services.process import tail
from ops.supervisor import Program, Restart, Supervisor
from schemas.errors import FanMemoryError, Misconfigured, OtherViews, ServiceFailed
from stores.migrate import migrate

API_READY_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05
ANSWER_SECONDS_MAX = 2.0


@dataclass(frozen=True)
class System:
    """A running system. `settings` has every URL and secret filled in."""

    data: Path
    settings: Settings
    endpoints: Endpoints
    supervisor: Supervisor
    services: EmbeddedServices
    topics_created: list[str]
    migrations_applied: list[str]


def environment(settings: Settings) -> dict[str, str]:
    """The settings as the variables from which a child process reads the same settings."""
    values = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        values[f"FANMEMORY_{name.upper()}"] = text
    return values


def program(name: str, command: str, data: Path, settings: Settings) -> Program:
    """One of our own processes: `fanmemory COMMAND` with these settings.

    None may change tables, and only the API reads as the reader.
    """
    kept = settings.postgres_reader_url if command == "api" else ""
    settings = settings.model_copy(
        update={
            "postgres_owner_url": "",
            "postgres_owner_password": SecretStr(""),
            "postgres_reader_url": kept,
        }
    )
    return Program(
        name=name,
        arguments=(sys.executable, "-m", "ops.cli", command),
        log=data / "logs" / f"{name}.log",
        environment=environment(settings),
    )


def embedded_names(settings: Settings) -> tuple[str, ...]:
    """The services that have no URL in the settings, which we therefore have to run."""
    urls = {
        kafka.NAME: settings.kafka_url,
        postgres.NAME: settings.postgres_url,
        valkey.NAME: settings.redis_url,
    }
    return tuple(name for name, url in urls.items() if not url)


@contextmanager
def at_hand(data: Path) -> Iterator[Settings]:
    """The settings of the system that runs, or of embedded services run for one command only.

    `up` refuses views of another version, so it can't be what a rebuild needs to begin.
    """
    settings = Settings()
    names = embedded_names(settings)
    if not names or is_held(data) or not (data / KEYRING_FILE).exists():
        yield with_secrets(settings, data)
        return
    restoring.require_whole(data)
    with EmbeddedServices(data, names=names) as services:
        yield with_secrets(settings, data, services.endpoints.under(settings))


@asynccontextmanager
async def running_services(
    settings: Settings,
    data: Path,
    on_step: Callable[[str], None] = lambda _step: None,
    kafka_port: int | None = None,
) -> AsyncIterator[tuple[Settings, EmbeddedServices, list[str], list[str]]]:
    """Services with topics and schema, nothing of ours running on them yet.

    Yields the completed settings, the services, the topics created and the migrations applied.
    """
    restoring.require_whole(data)
    make_secrets(settings, data)
    ports = {} if kafka_port is None else {kafka.NAME: kafka_port}
    services = EmbeddedServices(data, ports, embedded_names(settings))
    if services.names:
        on_step("Starting " + ", ".join(services.names))
    await _start(services)
    try:
        complete = with_secrets(
            settings.model_copy(update={"data": data}), data, services.endpoints.under(settings)
        )
        on_step("Preparing topics and schema")
        created, applied = await asyncio.gather(
            topics.create(complete), migrate(url_of(complete, "owner"))
        )
        yield complete, services, created, applied
    finally:
        await asyncio.to_thread(services.close)


async def _start(services: EmbeddedServices) -> None:
    """Start in a thread; when we are cancelled meanwhile, stop again what it has started."""
    starting = asyncio.ensure_future(asyncio.to_thread(services.start))
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(FanMemoryError):
            await starting
            await asyncio.to_thread(services.close)
        raise


@asynccontextmanager
async def running_system(
    settings: Settings,
    data: Path,
    *,
    workers: int | None = None,
    api_port: int | None = None,
    kafka_port: int | None = None,
    on_step: Callable[[str], None] = lambda _step: None,
    on_restart: Callable[[Restart], None] = lambda _restart: None,
) -> AsyncIterator[System]:
    """Everything, ready to be used; stopped in reverse order on leaving.

    `workers` and `api_port` default to the settings; a default API port that is taken is
    replaced by a free one, a given one is not. `kafka_port` is the embedded Kafka's, which is
    never replaced. Raises ServiceFailed, Misconfigured, DataDirectoryInUse.
    """
    if kafka_port is not None and settings.kafka_url:
        raise Misconfigured(
            "--kafka-port is the embedded Kafka's, and FANMEMORY_KAFKA_URL names another one.",
            hint="Leave one of them out.",
        )
    chosen = _choose_api_port(settings, api_port, kafka_port)
    settings = settings.model_copy(update={"api_port": chosen})
    running = running_services(settings, data, on_step, kafka_port)
    async with running as (complete, services, created, applied):
        api_url = f"http://{complete.api_host}:{complete.api_port}"
        endpoints = replace(services.endpoints.under(settings), api_url=api_url)
        data = services.data
        # What no restart can mend is refused here, in one sentence, and not by every child in turn.
        signing_key(complete)
        try:
            await preflight(complete)
        except OtherViews as error:
            raise OtherViews(str(error), data_words(data)) from None
        supervisor = Supervisor(services, on_restart)
        count = complete.workers if workers is None else workers
        on_step(f"Starting {count} workers, the API and the LLM agent")
        try:
            supervisor.watch_services(data / "logs")
            supervisor.add(program("api", "api", data, complete))
            for number in range(1, count + 1):
                supervisor.add(program(f"worker-{number}", "worker", data, complete))
            supervisor.add(program("llm", "llm", data, complete))
            await _wait_for_api(complete, data / "logs" / "api.log")
            endpoints_file.save(data, endpoints)
            yield System(data, complete, endpoints, supervisor, services, created, applied)
        finally:
            on_step("Stopping")
            await supervisor.stop()


def _choose_api_port(settings: Settings, wanted: int | None, kafka_port: int | None) -> int:
    taken = frozenset[int]() if kafka_port is None else frozenset({kafka_port})
    if wanted is None:
        port = settings.api_port
        is_ours = port and port not in taken and is_free(port, settings.api_host)
        return port if is_ours else free_port(taken)
    if wanted == 0:
        return free_port(taken)
    if wanted in taken or not is_free(wanted, settings.api_host):
        raise ServiceFailed(
            f"Port {wanted}, wanted for the API, is in use.", hint="Give another --api-port."
        )
    return wanted


async def _wait_for_api(settings: Settings, log: Path) -> None:
    """Until GET /health/ready says 200."""
    host = "127.0.0.1" if settings.api_host in ("0.0.0.0", "::") else settings.api_host  # noqa: S104
    deadline = asyncio.get_running_loop().time() + API_READY_SECONDS_MAX
    while not await answers_ready(host, settings.api_port):
        if asyncio.get_running_loop().time() > deadline:
            raise ServiceFailed(f"The API is not ready.\n{tail(log)}")
        await asyncio.sleep(POLL_SECONDS)


async def answers_ready(host: str, port: int) -> bool:
    """Whether an API there answers GET /health/ready with 200."""
    return await http_status(host, port, "/health/ready") == 200


async def http_status(host: str, port: int, path: str, token: str = "") -> int:
    """The status of GET `path`; 0 when there is no answer in time, or none in HTTP."""
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{bearer}Connection: close\r\n\r\n"
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode("ascii"))
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return 0
    code = status.split(b" ")[1:2]
    return int(code[0]) if code and code[0].isdigit() else 0
