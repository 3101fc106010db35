"""Kafka behind TLS and SASL: every way in, and what is said when there is none."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from infra import kafka
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, FanMemoryError, Misconfigured
from tests.secured import KEY_PASSWORD, PASSWORD, USER, Authority, Broker, Made, secured_kafka


class Secured(NamedTuple):
    """A broker, and certificates of its authority and of another."""

    broker: Broker
    authority: Authority
    client: Made
    other: Authority
    stranger: Made


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, other = Authority(folder / "ours"), Authority(folder / "theirs", "other")
    client = authority.make("client", password=KEY_PASSWORD)
    with secured_kafka(folder / "data", authority, authority.make("broker", "localhost")) as broker:
        yield Secured(broker, authority, client, other, other.make("stranger"))


def sasl(secured: Secured, **changes: Any) -> Settings:
    """The settings of a user with a password, over TLS."""
    right = {
        "kafka_url": secured.broker.sasl_tls,
        "kafka_security": "SASL_SSL",
        "kafka_ca_file": str(secured.authority.file),
        "kafka_user": USER,
        "kafka_password": PASSWORD,
    }
    return Settings(**right | changes)


def mutual(secured: Secured, **changes: Any) -> Settings:
    """The settings of a client with a certificate, its key locked."""
    right = {
        "kafka_url": secured.broker.mutual,
        "kafka_security": "SSL",
        "kafka_ca_file": str(secured.authority.file),
        "kafka_cert_file": str(secured.client.certificate),
        "kafka_key_file": str(secured.client.key),
        "kafka_key_password": KEY_PASSWORD,
    }
    return Settings(**right | changes)


async def brokers(settings: Settings) -> int:
    async with kafka.admin(settings) as client:
        return len((await client.describe_cluster())["brokers"])


async def refused(settings: Settings) -> FanMemoryError:
    with pytest.raises(FanMemoryError) as raised:
        await brokers(settings)
    return raised.value


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_user_gets_in_by_each_mechanism(secured: Secured, mechanism: str) -> None:
    assert await brokers(sasl(secured, kafka_sasl_mechanism=mechanism)) == 1


async def test_sasl_works_without_tls_where_a_cluster_has_it_so(secured: Secured) -> None:
    without = {"kafka_url": secured.broker.sasl, "kafka_security": "SASL_PLAINTEXT"}
    assert await brokers(sasl(secured, **without)) == 1


async def test_a_client_gets_in_by_its_certificate(secured: Secured) -> None:
    assert await brokers(mutual(secured)) == 1


async def test_certificate_and_key_may_stand_in_one_file(secured: Secured) -> None:
    one = secured.authority.make("together").both
    settings = mutual(secured, kafka_cert_file=str(one), kafka_key_file="", kafka_key_password="")
    assert await brokers(settings) == 1


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_wrong_password_is_named_as_such(secured: Secured, mechanism: str) -> None:
    settings = sasl(secured, kafka_sasl_mechanism=mechanism, kafka_password="wrong")
    error = await refused(settings)
    assert isinstance(error, Misconfigured)
    assert "FANMEMORY_KAFKA_USER" in str(error)
    assert "FANMEMORY_KAFKA_PASSWORD" in error.advice
    assert "wrong" not in f"{error} {error.advice}"


async def test_an_unknown_authority_is_named_as_such(secured: Secured) -> None:
    error = await refused(sasl(secured, kafka_ca_file=str(secured.other.file)))
    assert isinstance(error, Misconfigured)
    assert "FANMEMORY_KAFKA_CA_FILE" in str(error)


async def test_a_certificate_for_another_host_is_named_as_such(secured: Secured) -> None:
    elsewhere = secured.broker.sasl_tls.replace("localhost", "127.0.0.1")
    error = await refused(sasl(secured, kafka_url=elsewhere))
    assert isinstance(error, Misconfigured)
    assert "not for the host that FANMEMORY_KAFKA_URL names" in str(error)


@pytest.mark.parametrize("shown", ["nothing", "a stranger's"])
async def test_a_client_certificate_that_is_not_taken_is_named_as_such(
    secured: Secured, shown: str
) -> None:
    path = "" if shown == "nothing" else str(secured.stranger.both)
    error = await refused(mutual(secured, kafka_cert_file=path, kafka_key_file=""))
    assert isinstance(error, Misconfigured)
    assert "FANMEMORY_KAFKA_CERT_FILE" in str(error)


async def test_a_broker_that_speaks_otherwise_is_told_from_one_that_is_away(
    secured: Secured,
) -> None:
    for settings in (
        Settings(kafka_url=secured.broker.sasl_tls),
        sasl(secured, kafka_url=secured.broker.plain),
    ):
        error = await refused(settings)
        assert isinstance(error, BrokerUnavailable)
        assert "FANMEMORY_KAFKA_SECURITY" in error.advice


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kafka_ca_file": "/nowhere/ca.pem"}, "FANMEMORY_KAFKA_CA_FILE: there is no such file"),
        ({"kafka_cert_file": "/nowhere/client.pem"}, "FANMEMORY_KAFKA_CERT_FILE"),
        ({"kafka_key_password": "wrong"}, "_KEY_PASSWORD"),
        ({"kafka_key_password": ""}, "_KEY_PASSWORD"),
        ({"kafka_cert_file": ""}, "FANMEMORY_KAFKA_KEY_FILE is set without"),
        ({"kafka_security": "SASL_SSL"}, "FANMEMORY_KAFKA_USER is empty"),
    ],
)
def test_what_can_not_work_is_said_before_anything_connects(
    secured: Secured, changes: dict[str, str], named: str
) -> None:
    with pytest.raises(Misconfigured) as raised:
        kafka.client_options(mutual(secured, **changes))
    assert named in str(raised.value)


def test_a_key_of_another_certificate_is_told(secured: Secured) -> None:
    changes = {"kafka_key_file": str(secured.stranger.key), "kafka_key_password": ""}
    with pytest.raises(Misconfigured, match="does not belong to the certificate"):
        kafka.client_options(mutual(secured, **changes))


def test_faust_is_let_in_as_the_other_clients_are(secured: Secured) -> None:
    options = kafka.faust_options(sasl(secured), "kafka+fetch")
    assert options["broker"] == [f"kafka+fetch://{secured.broker.sasl_tls}"]
    credentials = options["broker_credentials"]
    assert (credentials.username, credentials.password) == (USER, PASSWORD)
    assert credentials.protocol.value == "SASL_SSL"
    assert kafka.faust_options(mutual(secured), "x")["broker_credentials"].protocol.value == "SSL"
    assert set(kafka.faust_options(Settings(kafka_url="a:1, b:2"), "x")) == {"broker"}
