"""Embedded services under everything that may happen to them. All on the real servers."""

import http.server
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from pydantic import SecretStr

from admin import topics
from infra.kafka import admin, client_options
from infra.settings import Settings
from ops.services import NAMES, EmbeddedServices, Endpoints, discover, kafka, postgres
from ops.services.endpoints import KAFKA_USER
from ops.services.jars import KAFKA_VERSION, Jar, damaged, install, jars, kafka_home
from ops.services.ports import free_port, is_free
from ops.services.process import launcher
from schemas.errors import (
    BrokerUnavailable,
    DataDirectoryInUse,
    Misconfigured,
    NotRunning,
    ServiceFailed,
)
from schemas.topics import INTERACTIONS
from tests.services import with_new_secrets

ORPHANS_GONE_SECONDS_MAX = 10.0
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")

PARENT = textwrap.dedent(
    """
    import json, sys, time
    from pathlib import Path
    from ops.services import EmbeddedServices
    services = EmbeddedServices(Path(sys.argv[1]))
    print("starting", flush=True)
    services.start()
    print(json.dumps(services.pids()), flush=True)
    time.sleep(600)
    """
)


def start_parent(data: Path) -> subprocess.Popen[str]:
    """Another process that runs services on `data`; it has said "starting" on return."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(data)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "starting\n"
    return parent


def end(parent: subprocess.Popen[str]) -> None:
    """Kill it, and close our end of its output."""
    parent.kill()
    parent.wait()
    assert parent.stdout is not None
    parent.stdout.close()


def processes_in(data: Path) -> list[psutil.Process]:
    """Every process that works below `data`, whoever started it."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(data):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def eventually(condition: Callable[[], bool], seconds_max: float) -> bool:
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def settings_of(endpoints: Endpoints, data: Path) -> Settings:
    return with_new_secrets(Settings(), data, endpoints)


async def leave_marks(endpoints: Endpoints, data: Path, mark: str) -> None:
    """Commit a row and have a record acknowledged."""
    settings = settings_of(endpoints, data)
    await topics.create(settings)
    connection = await asyncpg.connect(endpoints.postgres_owner_url)
    await connection.execute("CREATE TABLE IF NOT EXISTS mark (text text)")
    await connection.execute("INSERT INTO mark VALUES ($1)", mark)
    await connection.close()
    producer = AIOKafkaProducer(**client_options(endpoints.reached_by(Settings())), acks="all")
    await producer.start()
    await producer.send_and_wait(INTERACTIONS.name, mark.encode(), partition=0)
    await producer.stop()


async def marks(endpoints: Endpoints, count: int) -> tuple[list[str], list[str]]:
    """What PostgreSQL and Kafka still know."""
    connection = await asyncpg.connect(endpoints.postgres_owner_url)
    rows = [row["text"] for row in await connection.fetch("SELECT text FROM mark")]
    await connection.close()
    options = client_options(endpoints.reached_by(Settings()))
    consumer = AIOKafkaConsumer(INTERACTIONS.name, **options, auto_offset_reset="earliest")
    await consumer.start()
    records: list[str] = []
    while len(records) < count:
        batch = await consumer.getmany(timeout_ms=10_000)
        assert batch, "Kafka lost an acknowledged record"
        records += [record.value.decode() for found in batch.values() for record in found]
    await consumer.stop()
    return rows, records


async def test_every_service_serves_when_start_returns(own_services: EmbeddedServices) -> None:
    endpoints = own_services.endpoints
    connection = await asyncpg.connect(endpoints.postgres_url)
    assert (await connection.fetchval("SHOW server_version")).startswith("18.")
    assert await connection.fetchval("SHOW synchronous_commit") == "on"
    assert await connection.fetchval("SHOW fsync") == "on"
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    await connection.close()
    client = redis.asyncio.from_url(endpoints.redis_url)
    assert (await client.info("server"))["valkey_version"].startswith("9.")
    assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "allkeys-lru"
    await client.aclose()
    await leave_marks(endpoints, own_services.data, "first")


@pytest.mark.parametrize("name", NAMES)
async def test_a_service_killed_with_9_serves_again_with_all_it_had_promised(
    own_services: EmbeddedServices, name: str
) -> None:
    before = own_services.endpoints
    mark = f"before {name} dies"
    await leave_marks(before, own_services.data, mark)
    own_services.kill(name)
    assert own_services.alive() == {other: other != name for other in NAMES}
    own_services.start_one(name)
    assert own_services.endpoints == before
    rows, records = await marks(own_services.endpoints, 1)
    assert mark in rows
    assert mark in records


@pytest.mark.parametrize("name", NAMES)
def test_a_service_can_be_restarted_politely_and_twice(
    own_services: EmbeddedServices, name: str
) -> None:
    before = own_services.pids()
    own_services.restart(name)
    own_services.start_one(name)
    after = own_services.pids()
    assert after[name] not in (None, before[name])
    assert {key: pid for key, pid in after.items() if key != name} == {
        key: pid for key, pid in before.items() if key != name
    }


def test_a_paused_service_can_be_stopped(own_services: EmbeddedServices) -> None:
    own_services.kill("valkey", signal.SIGSTOP)
    own_services.stop("valkey")
    assert own_services.alive()["valkey"] is False
    own_services.start_one("valkey")


def test_a_second_start_on_the_directory_is_refused_and_names_the_first(
    own_services: EmbeddedServices,
) -> None:
    with pytest.raises(DataDirectoryInUse, match=rf"pid {os.getpid()}\b"):
        EmbeddedServices(own_services.data).start()
    parent = subprocess.run(
        [sys.executable, "-c", PARENT, str(own_services.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert parent.returncode == 1
    assert f"pid {os.getpid()}" in parent.stderr
    assert all(own_services.alive().values())


def test_other_commands_find_the_system_by_its_directory(
    own_services: EmbeddedServices, tmp_path: Path
) -> None:
    settings = Settings(kafka_url="", postgres_url="", redis_url="")
    assert discover.endpoints(own_services.data, settings) == own_services.endpoints
    own_kafka = settings.model_copy(update={"kafka_url": "kafka.example:9092"})
    assert discover.endpoints(own_services.data, own_kafka).kafka == "kafka.example:9092"
    with pytest.raises(NotRunning):
        discover.endpoints(tmp_path, settings)


def test_nothing_but_the_owner_may_read_what_is_in_the_directory(
    own_services: EmbeddedServices,
) -> None:
    settings_of(own_services.endpoints, own_services.data)
    passwords = [f"{name}/password" for name in NAMES]
    configured = ["kafka/server.properties", "valkey/valkey.conf"]
    for name in ("endpoints.json", "keyring", "jwt_secret", *passwords, *configured):
        assert (own_services.data / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.parametrize("port", ["kafka", "kafka_controller"])
def test_without_the_password_a_client_on_this_machine_reads_nothing_of_kafka(
    own_services: EmbeddedServices, port: str
) -> None:
    ports = json.loads((own_services.data / "ports.json").read_text())
    known = (own_services.data / "kafka" / "password").read_text()
    assert kafka.lists_itself(ports["kafka"], known)
    assert tells_its_quorum(ports[port], known)
    for password in ("", "x", known[:-1], known + "x"):
        assert not kafka.lists_itself(ports[port], password)
        assert not tells_its_quorum(ports[port], password)


def tells_its_quorum(port: int, password: str) -> bool:
    """Whether a client is told of the log of all metadata, which brokers and controllers tell;
    without `password`, not SASL."""
    topic = b"__cluster_metadata"
    login = f"\0{KAFKA_USER}\0{password}".encode()
    sasl = [
        (17, 1, struct.pack(">h5s", 5, b"PLAIN")),
        (36, 0, struct.pack(">i", len(login)) + login),
    ]
    # DescribeQuorum, version 0: no tags, one topic of one partition.
    named = bytes([2, len(topic) + 1]) + topic + bytes([2, 0, 0, 0, 0, 0, 0, 0])
    answer = b""
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        for api, version, body in (*(sasl if password else ()), (55, 0, b"\0" + named)):
            asked = struct.pack(">hhih", api, version, 1, -1) + body
            try:
                connection.sendall(struct.pack(">i", len(asked)) + asked)
                answer = connection.recv(4096)
            except ConnectionError:
                return False
    # Behind size, correlation and tags: an error, 0 for none.
    return answer[9:11] == b"\0\0"


async def test_a_client_without_the_password_is_told_so(own_services: EmbeddedServices) -> None:
    reached = own_services.endpoints.reached_by(Settings())
    async with admin(reached) as client:
        assert await client.list_topics() is not None
    wrong = reached.model_copy(update={"kafka_password": SecretStr("wrong")})
    with pytest.raises(Misconfigured, match="refused the user"):
        async with admin(wrong):
            pass
    plain = Settings(kafka_url=own_services.endpoints.kafka)
    with pytest.raises(BrokerUnavailable, match="closes the connection"):
        async with admin(plain) as client:
            await client.list_topics()


def test_no_password_is_shown(own_services: EmbeddedServices) -> None:
    endpoints = own_services.endpoints
    passwords = [(own_services.data / name / "password").read_text() for name in NAMES]
    assert all(passwords)
    assert not any(password in json.dumps(endpoints.public()) for password in passwords)
    assert endpoints.kafka_password not in repr(endpoints)


def test_secrets_are_made_once(tmp_path: Path) -> None:
    endpoints = Endpoints("k", "p", "r")
    first = with_new_secrets(Settings(), tmp_path, endpoints)
    assert with_new_secrets(Settings(), tmp_path, endpoints) == first
    assert with_new_secrets(Settings(), tmp_path / "other", endpoints).keyring != first.keyring
    named = Settings(keyring="k1:" + "A" * 43 + "=", jwt_secret="named")
    assert with_new_secrets(named, tmp_path, endpoints).keyring == named.keyring


async def test_a_killed_parent_leaves_no_orphans_and_the_next_start_has_everything(
    tmp_path: Path,
) -> None:
    parent = start_parent(tmp_path)
    assert parent.stdout is not None
    pids = json.loads(parent.stdout.readline())
    endpoints = discover.endpoints(tmp_path, Settings(kafka_url="", postgres_url="", redis_url=""))
    await leave_marks(endpoints, tmp_path, "promised")
    assert {process.pid for process in processes_in(tmp_path)} >= set(pids.values())

    end(parent)
    assert eventually(lambda: not processes_in(tmp_path), ORPHANS_GONE_SECONDS_MAX)
    with pytest.raises(NotRunning):
        discover.endpoints(tmp_path, Settings(kafka_url="", postgres_url="", redis_url=""))

    with EmbeddedServices(tmp_path) as services:
        assert await marks(services.endpoints, 1) == (["promised"], ["promised"])


def test_a_start_right_after_the_kill_waits_for_the_dying(tmp_path: Path) -> None:
    parent = start_parent(tmp_path)
    assert parent.stdout is not None
    former = set(json.loads(parent.stdout.readline()).values())
    end(parent)
    with EmbeddedServices(tmp_path) as services:
        assert all(services.alive().values())
        assert not former & set(services.pids().values())


@pytest.mark.parametrize("delay_seconds", [0.1, 0.4, 0.8])
def test_a_first_start_killed_half_way_does_not_spoil_the_second(
    tmp_path: Path, delay_seconds: float
) -> None:
    parent = start_parent(tmp_path)
    time.sleep(delay_seconds)
    end(parent)
    with EmbeddedServices(tmp_path) as services:
        assert all(services.alive().values())


def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(tmp_path: Path) -> None:
    with EmbeddedServices(tmp_path, names=("postgres",)):
        pass
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        pid_file = tmp_path / "postgres" / "cluster" / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n/nowhere\n0\n5432\n\n127.0.0.1\n0 0\nready\n")
        with EmbeddedServices(tmp_path, names=("postgres",)) as services:
            assert services.alive() == {"postgres": True}
        assert stranger.poll() is None
        stranger.kill()


async def test_paths_may_have_spaces_quotes_commas_letters_of_all_kinds_and_be_long(
    tmp_path: Path,
) -> None:
    data = tmp_path / "a b, 'c' \"d\" $HOME" / ("ключ-鍵-é-" + "x" * 60) / ("y" * 60)
    with EmbeddedServices(data) as services:
        await leave_marks(services.endpoints, data, "odd")
    with EmbeddedServices(data) as services:
        assert await marks(services.endpoints, 1) == (["odd"], ["odd"])


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for data in (tmp_path / "file" / "data", Path("/proc/fanmemory")):
        with pytest.raises(Misconfigured, match=str(data)):
            EmbeddedServices(data).start()


def test_modes_and_owners_outside_the_directory_stay_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in tmp_path.parents]
    (tmp_path / "neighbour").write_text("mine")
    (tmp_path / "neighbour").chmod(0o640)
    with EmbeddedServices(tmp_path / "data", names=("postgres", "valkey")):
        pass
    assert before == [(path, path.stat().st_mode, path.stat().st_uid) for path in tmp_path.parents]
    assert (tmp_path / "neighbour").stat().st_mode & 0o777 == 0o640
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@as_root
def test_root_runs_postgres_in_a_namespace_so_that_every_file_stays_roots(tmp_path: Path) -> None:
    if not postgres.namespaces_allowed():
        pytest.skip("user namespaces are refused here")
    with EmbeddedServices(tmp_path, names=("postgres",)) as services:
        assert services.alive() == {"postgres": True}
    assert {path.stat().st_uid for path in (tmp_path / "postgres").rglob("*")} == {0}


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that anybody may enter (pytest's own are 0700)."""
    path = Path(tempfile.mkdtemp(prefix="fanmemory-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@as_root
def test_without_namespaces_root_runs_postgres_as_nobody(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = postgres.untraversable(postgres.binary("postgres"), NOBODY, NOBODY)
    if blocked is not None:
        pytest.skip(f"nobody may not enter {blocked}, where this environment is")
    data = open_directory / "data"
    monkeypatch.setattr(postgres, "namespaces_allowed", lambda: False)
    data.mkdir(mode=0o711)
    for _ in range(2):
        with EmbeddedServices(data, names=("postgres",)) as services:
            pid = services.pids()["postgres"]
            assert psutil.Process(pid).uids().real == NOBODY
            services.kill("postgres")
            services.start_one("postgres")
    assert (data / "postgres").stat().st_uid == NOBODY
    assert data.stat().st_uid == 0
    monkeypatch.undo()
    with EmbeddedServices(data, names=("postgres",)) as services:  # its owner stays its owner
        assert psutil.Process(services.pids()["postgres"]).uids().real == NOBODY


@as_root
def test_a_killed_parent_leaves_no_orphans_of_nobody_either(open_directory: Path) -> None:
    blocked = postgres.untraversable(postgres.binary("postgres"), NOBODY, NOBODY)
    if blocked is not None:
        pytest.skip(f"nobody may not enter {blocked}, where this environment is")
    home = open_directory / "postgres"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY, NOBODY)
    parent = start_parent(open_directory)
    assert parent.stdout is not None
    server = psutil.Process(json.loads(parent.stdout.readline())["postgres"])
    assert server.uids().real == NOBODY
    end(parent)
    assert eventually(lambda: not processes_in(open_directory), ORPHANS_GONE_SECONDS_MAX)


@as_root
def test_an_ordinary_user_runs_everything_as_it_is(tmp_path: Path) -> None:
    if not postgres.namespaces_allowed():
        pytest.skip("user namespaces are refused here")
    code = PARENT.replace("time.sleep(600)", "services.close()")
    words = [*launcher(signal.SIGKILL, "namespace"), sys.executable, "-c"]
    ran = subprocess.run(
        [*words, "import os; assert os.geteuid() == 65534\n" + code, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert set(json.loads(ran.stdout.splitlines()[1])) == set(NAMES)


@as_root
def test_without_namespaces_a_private_parent_directory_is_named_and_nothing_is_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(postgres, "namespaces_allowed", lambda: False)
    with pytest.raises(Misconfigured, match="may not enter"):
        EmbeddedServices(tmp_path / "data").start()
    assert processes_in(tmp_path) == []
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_ports_are_taken_as_given_and_kept_for_the_next_time(tmp_path: Path) -> None:
    port = free_port()
    with EmbeddedServices(tmp_path, {"valkey": port}, names=("valkey",)) as services:
        assert services.endpoints.redis_url.endswith(f"127.0.0.1:{port}/0")
    with EmbeddedServices(tmp_path, names=("valkey",)) as services:
        assert services.endpoints.redis_url.endswith(f"127.0.0.1:{port}/0")
        assert not is_free(port)


def test_a_given_port_that_is_taken_is_refused_and_a_former_one_is_replaced(
    tmp_path: Path,
) -> None:
    with EmbeddedServices(tmp_path / "first", names=("valkey",)) as first:
        port = int(first.endpoints.redis_url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(ServiceFailed, match=f"Port {port}"):
            EmbeddedServices(tmp_path / "second", {"valkey": port}, names=("valkey",)).start()
        (tmp_path / "third").mkdir()
        (tmp_path / "third" / "ports.json").write_text(json.dumps({"valkey": port}))
        with EmbeddedServices(tmp_path / "third", names=("valkey",)) as third:
            assert f":{port}/" not in third.endpoints.redis_url


def test_a_service_that_cannot_start_says_why_and_the_others_end(tmp_path: Path) -> None:
    with EmbeddedServices(tmp_path, names=("postgres",)):
        pass
    (tmp_path / "postgres" / "cluster" / "PG_VERSION").write_text("9.1\n")
    with pytest.raises(ServiceFailed, match="incompatible"):
        EmbeddedServices(tmp_path).start()
    assert processes_in(tmp_path) == []
    with EmbeddedServices(tmp_path, names=("valkey",)):
        pass


# Installing


def offline() -> dict[str, str]:
    nowhere = "http://127.0.0.1:9"
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
    return {**os.environ, **dict.fromkeys(names, nowhere), "NO_PROXY": "", "no_proxy": ""}


def test_once_installed_no_network_is_needed(tmp_path: Path) -> None:
    installing = subprocess.run(
        [sys.executable, "-m", "ops.services.install"], env=offline(), check=False
    )
    assert installing.returncode == 0
    starting = subprocess.run(
        [sys.executable, "-c", PARENT.replace("time.sleep(600)", ""), str(tmp_path)],
        env=offline(),
        check=False,
        capture_output=True,
    )
    assert starting.returncode == 0


@pytest.fixture
def incomplete(tmp_path: Path) -> tuple[Path, Jar]:
    """A Kafka home from which the first jar is missing."""
    home = tmp_path / f"kafka-{KAFKA_VERSION}"
    home.mkdir()
    missing, *others = jars()
    for jar in others:
        (home / jar.file_name).hardlink_to(kafka_home() / jar.file_name)
    return home, missing


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTP server on this machine that has the first jar, as Maven Central lays it out."""
    root = tmp_path / "mirror"
    jar = jars()[0]
    folder = root.joinpath(*jar.group.split("."), jar.artifact, jar.version)
    folder.mkdir(parents=True)
    served = folder / jar.file_name
    shutil.copy(kafka_home() / jar.file_name, served)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", served
        server.shutdown()


def test_what_is_missing_is_fetched_and_verified(
    incomplete: tuple[Path, Jar], mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    home, missing = incomplete
    assert damaged(home) == [missing]
    fetched: list[Jar] = []
    assert install(home, maven_url=mirror[0], on_jar=fetched.append) == 1
    assert fetched == [missing]
    assert damaged(home) == []
    assert install(home, maven_url="http://127.0.0.1:9") == 0


def test_an_altered_jar_is_refused(
    incomplete: tuple[Path, Jar], mirror: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    home, missing = incomplete
    url, served = mirror
    with served.open("ab") as file:
        file.write(b"something more")
    with pytest.raises(Misconfigured, match=missing.file_name):
        install(home, maven_url=url)
    assert not (home / missing.file_name).exists()
    assert [path.name for path in home.parent.iterdir() if path.name.startswith(".fetch")] == []


def test_without_network_an_unfinished_install_says_what_to_do(
    incomplete: tuple[Path, Jar],
) -> None:
    home, missing = incomplete
    with pytest.raises(ServiceFailed, match=missing.file_name) as caught:
        install(home, maven_url="http://127.0.0.1:9")
    assert "fanmemory services install" in caught.value.advice
