"""PostgreSQL behind TLS: its own SCRAM, a front that ends TLS, and what a refusal is told as."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from infra.postgres import address, connecting, database_errors, open_pool, refusal
from infra.settings import Settings
from ops.services import Endpoints
from ops.services.endpoints import without_password
from schemas.errors import FanMemoryError, Misconfigured
from tests.secured import KEY_PASSWORD, Authority, Made, tls_front


class Secured(NamedTuple):
    """The session's PostgreSQL behind two fronts: one for everybody, one for known clients."""

    url: str
    """As it is behind the fronts."""
    port: int
    mutual: int
    authority: Authority
    client: Made
    other: Authority


@pytest.fixture(scope="module")
def secured(services: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, other = Authority(folder / "ours"), Authority(folder / "theirs", "other")
    server = authority.make("server", "localhost")
    url = services.postgres_url
    with (
        tls_front(url, server, postgres=True) as port,
        tls_front(url, server, authority, postgres=True) as mutual,
    ):
        client = authority.make("client", password=KEY_PASSWORD)
        yield Secured(url, port, mutual, authority, client, other)


def settings_of(
    secured: Secured, port: int = 0, host: str = "localhost", **changes: Any
) -> Settings:
    """TLS with the password apart from the URL."""
    parts = urlsplit(secured.url)
    right = {
        "postgres_url": f"postgresql://{parts.username}@{host}:{port or secured.port}{parts.path}",
        "postgres_password": parts.password,
        "postgres_tls": True,
        "postgres_ca_file": str(secured.authority.file),
    }
    return Settings(**right | changes)


async def connected_as(settings: Settings) -> str:
    async with connecting(address(settings)) as connection:
        return str(await connection.fetchval("SELECT current_user"))


async def refused(settings: Settings) -> FanMemoryError:
    with pytest.raises(Exception) as raised:
        async with database_errors():
            await connected_as(settings)
    told = refusal(raised.value)
    assert told is not None, raised.value
    return told


async def test_a_connection_is_encrypted_and_the_password_stands_apart(secured: Secured) -> None:
    settings = settings_of(secured)
    assert await connected_as(settings) == urlsplit(secured.url).username
    pool = await open_pool(address(settings))
    try:
        assert await pool.fetchval("SELECT 1") == 1
    finally:
        await pool.close()


async def test_a_client_certificate_is_shown_where_one_is_wanted(secured: Secured) -> None:
    changes = {
        "postgres_cert_file": str(secured.client.certificate),
        "postgres_key_file": str(secured.client.key),
        "postgres_key_password": KEY_PASSWORD,
    }
    settings = settings_of(secured, secured.mutual, **changes)
    assert await connected_as(settings) == urlsplit(secured.url).username


async def test_a_wrong_password_is_named_as_such(secured: Secured) -> None:
    told = await refused(settings_of(secured, postgres_password="wrong"))
    assert "FANMEMORY_POSTGRES_URL, or the password" in str(told)
    assert "FANMEMORY_POSTGRES_PASSWORD" in told.advice


async def test_an_unknown_authority_is_named_as_such(secured: Secured) -> None:
    told = await refused(settings_of(secured, postgres_ca_file=str(secured.other.file)))
    assert "FANMEMORY_POSTGRES_CA_FILE" in str(told)


async def test_a_certificate_for_another_host_is_named_as_such(secured: Secured) -> None:
    told = await refused(settings_of(secured, host="127.0.0.1"))
    assert "not for the host that FANMEMORY_POSTGRES_URL names" in str(told)


async def test_a_server_without_tls_is_named_as_such(secured: Secured) -> None:
    parts = urlsplit(secured.url)
    told = await refused(settings_of(secured, parts.port or 0, parts.hostname or ""))
    assert "speaks no TLS" in str(told)
    assert "FANMEMORY_POSTGRES_TLS" in told.advice


async def test_a_database_that_is_missing_is_named_as_such(secured: Secured) -> None:
    url = settings_of(secured).postgres_url.rpartition("/")[0] + "/nothing"
    assert "no database" in str(await refused(settings_of(secured, postgres_url=url)))


def test_the_address_can_be_completed_twice_and_shows_no_secret(secured: Secured) -> None:
    changes: dict[str, Any] = {
        "postgres_password": "p@ss/w?rd&",
        "postgres_cert_file": str(secured.client.certificate),
        "postgres_key_file": str(secured.client.key),
        "postgres_key_password": KEY_PASSWORD,
    }
    settings = settings_of(secured, **changes)
    complete = address(settings)
    assert address(settings.model_copy(update={"postgres_url": complete})) == complete
    shown = without_password(complete)
    assert shown == settings.postgres_url
    assert not any(secret in shown for secret in ("ss/w", KEY_PASSWORD, "p%40"))


def test_without_tls_and_password_the_address_is_the_url() -> None:
    url = "postgresql://a:b@one:5432,two:5433/db?application_name=x"
    assert address(Settings(postgres_url=url)) == url
    assert address(Settings(postgres_url="")) == ""


def test_a_bad_file_is_named_before_anything_connects(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    for name in ("ca", "cert"):
        changes: dict[str, Any] = {f"postgres_{name}_file": str(tmp_path / "none.pem")}
        with pytest.raises(Misconfigured, match=f"FANMEMORY_POSTGRES_{name.upper()}_FILE"):
            address(settings_of(secured, **changes))
