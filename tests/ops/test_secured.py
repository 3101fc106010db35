"""The whole path over three secured stores: an event in, the context out, and doctor content."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from admin import topics
from infra.redis import Redis
from infra.settings import Settings
from ops.secrets import with_secrets
from ops.services import Endpoints
from ops.system import environment
from schemas.times import render_time
from tests import services as helpers
from tests.api.client import CREATOR, FAN, running_api
from tests.cli import fanmemory
from tests.pipeline import Pipeline
from tests.secured import KEY_PASSWORD, PASSWORD, USER, Authority, secured_kafka, tls_front

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def documented_acl() -> list[str]:
    """What the page says that the cache's user needs."""
    (found,) = re.findall(r"An ACL user needs\s+`([^`]+)`", PAGE.read_text("utf-8"))
    return str(found).split()


class Secured(NamedTuple):
    """How the three stores are reached; PostgreSQL's database is each test's own."""

    settings: dict[str, Any]
    postgres_port: int
    other: Authority


@pytest.fixture(scope="module")
def secured(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder / "ours")
    server = authority.make("server", "localhost")
    client = authority.make("client", password=KEY_PASSWORD)
    (folder / "password").write_text(PASSWORD + "\n")
    with ExitStack() as stack:
        broker = stack.enter_context(secured_kafka(folder / "data", authority, server))
        port = stack.enter_context(tls_front(services.postgres_url, server, postgres=True))
        cache = stack.enter_context(tls_front(services.redis_url, server, authority))
        settings = {
            "kafka_url": broker.sasl_tls,
            "kafka_security": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_ca_file": str(authority.file),
            "kafka_user": USER,
            "kafka_password": PASSWORD,
            "postgres_tls": True,
            "postgres_ca_file": str(authority.file),
            "redis_url": f"rediss://{USER}@localhost:{cache}/0",
            "redis_password": PASSWORD,
            "redis_ca_file": str(authority.file),
            "redis_cert_file": str(client.certificate),
            "redis_key_file": str(client.key),
            "redis_key_password": KEY_PASSWORD,
        }
        yield Secured(settings, port, Authority(folder / "theirs", "other"))


@pytest.fixture
async def settings(
    secured: Secured, services: Endpoints, postgres_url: str, tmp_path: Path
) -> Settings:
    """Settings of an empty system behind TLS, passwords and certificates."""
    plain = Redis(services.redis_url)
    await plain.call("FLUSHALL")
    await plain.call("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *documented_acl())
    await plain.close()
    parts = urlsplit(postgres_url)
    address = f"postgresql://{parts.username}@localhost:{secured.postgres_port}{parts.path}"
    named = Settings(
        **secured.settings, postgres_url=address, postgres_password=parts.password or ""
    )
    own = await helpers.fresh_settings(services, postgres_url, tmp_path, kafka=False)
    made = named.model_copy(update={"keyring": own.keyring, "jwt_secret": own.jwt_secret})
    await topics.recreate(made)
    return made


def doctor(settings: Settings, data: Path) -> dict[str, dict[str, str]]:
    """The findings by check, of `fanmemory doctor` with these settings in its environment."""
    given: dict[str, Any] = environment(settings)
    ran = fanmemory("doctor", "--json", "--data", str(data), **given)
    return {one["check"]: one for one in json.loads(ran.stdout)["findings"]}


async def test_an_event_comes_in_and_the_context_goes_out(
    settings: Settings, tmp_path: Path
) -> None:
    found = with_secrets(settings, tmp_path)
    pipeline = Pipeline(found, tmp_path)
    try:
        pipeline.start_worker()
        async with running_api(found) as client:
            event = {
                "eventId": "e1",
                "fanId": FAN,
                "creatorId": CREATOR,
                "type": "message",
                "content": "I love this, thank you!",
                "timestamp": render_time(time.time_ns() // 1_000_000),
            }

            async def saved() -> str | None:
                """Where it stands in the log, once the API is connected to it."""
                answer = await client.post(event)
                assert answer.status in (200, 503), answer
                return str(answer.body["position"]) if answer.status == 200 else None

            await pipeline.claimed()
            position = await pipeline.wait_for(saved)

            async def remembered() -> bool:
                """On a busy machine the first answer may be that it takes longer."""
                read = await client.get("context", minPosition=position)
                assert read.status in (200, 503, 504), read.body
                return bool(read.status == 200 and read.body["data"]["fanId"] == FAN)

            for _ in range(2):  # from PostgreSQL, then from the cache
                await pipeline.wait_for(remembered)
    finally:
        await pipeline.end()


async def test_doctor_finds_nothing_wrong_but_that_the_tests_postgres_may_forget(
    settings: Settings, tmp_path: Path
) -> None:
    """That one need not outlive the power, and says so."""
    findings = doctor(settings, tmp_path)
    (problem,) = [one for one in findings.values() if one["verdict"] == "problem"]
    assert problem["check"] == "postgres"
    assert problem["saw"].endswith("may forget commits.")
    assert "SCRAM-SHA-512" in findings["kafka"]["saw"]
    assert PASSWORD not in json.dumps(findings)


@pytest.mark.parametrize("store", ["kafka", "postgres", "redis"])
async def test_doctor_names_the_setting_of_a_wrong_password(
    settings: Settings, tmp_path: Path, store: str
) -> None:
    wrong = settings.model_validate(settings.model_dump() | {f"{store}_password": "wrong"})
    finding = doctor(wrong, tmp_path)[store]
    assert finding["verdict"] == "problem"
    assert f"FANMEMORY_{store.upper()}_PASSWORD" in finding["advice"]


@pytest.mark.parametrize("store", ["kafka", "postgres", "redis"])
async def test_doctor_names_the_setting_of_an_unknown_authority(
    settings: Settings, secured: Secured, tmp_path: Path, store: str
) -> None:
    wrong = settings.model_copy(update={f"{store}_ca_file": str(secured.other.file)})
    finding = doctor(wrong, tmp_path)[store]
    assert finding["verdict"] == "problem"
    assert f"FANMEMORY_{store.upper()}_CA_FILE" in finding["saw"]


@pytest.mark.parametrize("store", ["kafka", "postgres", "redis"])
async def test_doctor_names_the_setting_of_a_wrong_host(
    settings: Settings, tmp_path: Path, store: str
) -> None:
    elsewhere = getattr(settings, f"{store}_url").replace("localhost", "127.0.0.1")
    finding = doctor(settings.model_copy(update={f"{store}_url": elsewhere}), tmp_path)[store]
    assert finding["verdict"] == "problem"
    assert f"the host that FANMEMORY_{store.upper()}_URL names" in finding["saw"]
