"""`fanmemory up`, `doctor`, `services` and `topics` as a person runs them: as processes."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.settings import Settings
from ops.services import Endpoints
from ops.services.endpoints import load, without_password
from ops.services.ports import free_port
from tests import cli
from tests import services as helpers
from tests.cli import clean_environment
from tests.forked import COMMAND
from tests.numbers import Numbers

READY_SECONDS_MAX = 60.0
STOPPED_SECONDS_MAX = 30.0
URLS = ("FANMEMORY_KAFKA_URL", "FANMEMORY_POSTGRES_URL", "FANMEMORY_REDIS_URL")


def fanmemory(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given: dict[str, Any] = dict(environment)
    return cli.fanmemory(*words, **given)


@dataclass
class Up:
    """A running `fanmemory up` and what it said when it was ready."""

    process: subprocess.Popen[str]
    said: dict[str, Any]


def start_up(data: Path, *words: str, **environment: str) -> Up:
    process = subprocess.Popen(
        [*COMMAND, "up", "--data", str(data), "--json", *words],
        env=clean_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f"`up` ended with code {process.wait()}")
    return Up(process, json.loads(line))


def ended(process: subprocess.Popen[str]) -> int:
    """Its exit code; closes our end of its output."""
    code = process.wait(STOPPED_SECONDS_MAX)
    assert process.stdout is not None
    process.stdout.close()
    return code


def eventually(condition: Callable[[], bool], seconds_max: float = 30.0) -> None:
    deadline = time.monotonic() + seconds_max
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    ports = ("--api-port", "0", "--kafka-port", str(free_port()))
    running = start_up(tmp_path_factory.mktemp("up"), "--workers", "2", *ports)
    assert running.said["endpoints"]["kafka"].rpartition(":")[2] == ports[-1]
    yield running
    running.process.terminate()
    assert ended(running.process) == 0


def data_of(system: Up) -> str:
    return str(system.said["data"])


DOCUMENTED = re.compile(r"`(memory_\w+)`")
MONITORING = Path(__file__).parents[2] / "docs" / "monitoring.md"


def documented(heading: str) -> set[str]:
    """The metrics that a section's table has in its first column."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## )", MONITORING.read_text(), re.S | re.M)
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in DOCUMENTED.findall(row)}


@pytest.mark.parametrize(
    ("process", "heading"),
    [
        ("api", "Of the API"),
        ("worker-1", "Of a worker"),
        ("worker-2", "Of a worker"),
        ("llm", "Of the LLM agent"),
    ],
)
def test_each_process_tells_prometheus_what_the_docs_name(
    system: Up, process: str, heading: str
) -> None:
    url = f"http://127.0.0.1:{cli.metrics_port(Path(data_of(system)), process)}"
    with urllib.request.urlopen(f"{url}/metrics", timeout=READY_SECONDS_MAX) as answer:
        told = Numbers(answer.read().decode()).names
    named = documented(heading)
    assert len(named) > 5
    assert named == {name for name in told if name.startswith("memory_")}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= told
    with urllib.request.urlopen(f"{url}/health/live", timeout=READY_SECONDS_MAX) as answer:
        assert answer.status == 200


def test_up_says_where_everything_is_and_keeps_passwords_to_itself(system: Up) -> None:
    endpoints = load(Path(data_of(system)))
    assert endpoints is not None
    assert system.said["endpoints"] == endpoints.public()
    assert set(system.said["processes"]) == {"api", "llm", "worker-1", "worker-2"}
    with urllib.request.urlopen(endpoints.api_url + "/health/live", timeout=5) as answer:
        assert answer.status == 200


def test_the_doctor_finds_a_running_system_healthy(system: Up) -> None:
    ran = fanmemory("doctor", "--data", data_of(system), "--json")
    told = json.loads(ran.stdout)
    assert ran.returncode == 0, told
    checks = {finding["check"]: finding["verdict"] for finding in told["findings"]}
    assert {"kafka", "topics", "postgres", "schema", "keyring", "redis", "clock", "api"} <= {
        *checks
    }
    assert "problem" not in checks.values()


def test_the_doctor_knows_a_missing_key_and_a_topic_that_differs(system: Up) -> None:
    wrong = {"FANMEMORY_KEYRING": "not a keyring", "FANMEMORY_JOURNAL_PARTITIONS": "7"}
    ran = fanmemory("doctor", "--data", data_of(system), "--json", **wrong)
    findings = {finding["check"]: finding for finding in json.loads(ran.stdout)["findings"]}
    assert ran.returncode == 1
    assert findings["secrets"]["verdict"] == "problem"
    assert findings["topics"]["verdict"] == "problem"
    assert all(f["advice"] for f in findings.values() if f["verdict"] == "problem")
    assert "not a keyring" not in ran.stdout + ran.stderr


def test_the_doctor_notices_an_api_that_refuses_its_tokens(system: Up) -> None:
    other = {"FANMEMORY_JWT_SECRET": "another secret of more than 32 bytes"}
    ran = fanmemory("doctor", "--data", data_of(system), "--json", **other)
    findings = {finding["check"]: finding for finding in json.loads(ran.stdout)["findings"]}
    assert ran.returncode == 1
    assert findings["api"]["verdict"] == "problem"
    assert "FANMEMORY_JWT_SECRET" in findings["api"]["advice"]
    assert "another secret" not in ran.stdout + ran.stderr


def test_the_doctor_does_not_take_another_systems_api_for_its_own(
    system: Up, tmp_path: Path
) -> None:
    port = system.said["endpoints"]["api_url"].rpartition(":")[2]
    ran = fanmemory("doctor", "--data", str(tmp_path), "--json", FANMEMORY_API_PORT=port)
    findings = {finding["check"]: finding for finding in json.loads(ran.stdout)["findings"]}
    assert findings["api"]["verdict"] == "note"
    assert "can't be told" in findings["api"]["saw"]


def test_up_refuses_a_malformed_keyring_before_anything_starts(tmp_path: Path) -> None:
    ran = fanmemory("up", "--data", str(tmp_path), "--json", FANMEMORY_KEYRING="main:c2hvcnQ=")
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["error"].startswith("The keyring must be")
    assert not (tmp_path / "postgres").exists()


def test_up_makes_no_new_keyring_beside_an_old_database(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")
    ran = fanmemory("up", "--data", str(tmp_path), "--json")
    told = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert "its keyring is gone" in told["error"]
    assert str(tmp_path / "keyring") in told["hint"]
    assert not (tmp_path / "keyring").exists()


@pytest.mark.parametrize(
    ("command", "missing"), [("worker", "KEYRING"), ("api", "KEYRING"), ("api", "JWT_SECRET")]
)
def test_on_servers_of_yours_nothing_starts_without_secrets_of_yours(
    tmp_path: Path, settings: Settings, command: str, missing: str
) -> None:
    given = {
        **helpers.kafka_variables(settings),
        "FANMEMORY_POSTGRES_URL": settings.postgres_url,
        "FANMEMORY_REDIS_URL": settings.redis_url,
        "FANMEMORY_KEYRING": "k:" + "A" * 43 + "=",
        "FANMEMORY_JWT_SECRET": "s" * 32,
    }
    del given[f"FANMEMORY_{missing}"]
    empty = tmp_path / "empty"
    ran = fanmemory(command, "--data", str(empty), **given)
    assert ran.returncode == 1
    assert "error: There is no " in ran.stderr
    assert f"FANMEMORY_{missing}" in ran.stderr
    assert not empty.exists()


def test_a_second_up_on_the_directory_is_refused(system: Up) -> None:
    ran = fanmemory("up", "--data", data_of(system), "--json")
    assert ran.returncode == 1
    assert f"pid {system.process.pid}" in json.loads(ran.stdout)["error"]


def test_topics_and_services_answer_machines(system: Up) -> None:
    listed = fanmemory("topics", "list", "--data", data_of(system), "--json")
    assert [topic["name"] for topic in json.loads(listed.stdout)][:1] == ["interactions"]
    checked = fanmemory("topics", "check", "--data", data_of(system), "--json")
    assert checked.returncode == 0
    assert all(topic["differences"] == [] for topic in json.loads(checked.stdout))
    created = fanmemory("topics", "create", "--data", data_of(system), "--json")
    assert json.loads(created.stdout) == {"created": []}
    status = json.loads(fanmemory("services", "status", "--data", data_of(system), "--json").stdout)
    assert status == {
        "running": True,
        "pid": system.process.pid,
        "endpoints": system.said["endpoints"],
    }


@pytest.mark.parametrize("name", ["worker-1", "api"])
def test_a_killed_process_is_started_again(system: Up, name: str) -> None:
    def command(process: psutil.Process) -> str:
        try:
            return process.cmdline()[-1]
        except (psutil.Error, IndexError):
            return ""

    kind = name.partition("-")[0]
    parent = psutil.Process(system.process.pid)
    before = {child.pid for child in parent.children() if command(child) == kind}
    victim = next(iter(before))
    os.kill(victim, signal.SIGKILL)

    def is_replaced() -> bool:
        now = {child.pid for child in parent.children() if command(child) == kind}
        return victim not in now and len(now) == len(before)

    eventually(is_replaced)
    endpoints = load(Path(data_of(system)))
    assert endpoints is not None

    def serves() -> bool:
        try:
            with urllib.request.urlopen(endpoints.api_url + "/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    eventually(serves)


def test_nothing_is_found_where_nothing_runs(tmp_path: Path) -> None:
    status = fanmemory("services", "status", "--data", str(tmp_path), "--json")
    assert status.returncode == 1
    assert json.loads(status.stdout)["running"] is False
    listed = fanmemory("topics", "list", "--data", str(tmp_path))
    assert listed.returncode == 1
    assert "fanmemory up" in listed.stderr
    examined = fanmemory("doctor", "--data", str(tmp_path), "--json")
    assert examined.returncode == 0
    findings = json.loads(examined.stdout)["findings"]
    assert [f["verdict"] for f in findings if f["check"] == "services"] == ["note"]


def test_the_doctor_says_what_does_not_answer(tmp_path: Path) -> None:
    nowhere = dict(
        zip(
            URLS,
            ("127.0.0.1:9", "postgresql://u:hidden@127.0.0.1:9/d", "redis://:hidden@127.0.0.1:9"),
            strict=True,
        )
    )
    ran = fanmemory("doctor", "--data", str(tmp_path), "--json", **nowhere)
    told = json.loads(ran.stdout)
    assert ran.returncode == 1
    problems = {f["check"] for f in told["findings"] if f["verdict"] == "problem"}
    assert {"kafka", "postgres", "redis"} <= problems
    assert "hidden" not in ran.stdout + ran.stderr


def test_the_doctor_survives_addresses_that_make_no_sense(tmp_path: Path) -> None:
    nonsense = dict(
        zip(
            URLS, (":::9", "postgresql://nowhere.invalid/d", "redis://nowhere.invalid"), strict=True
        )
    )
    ran = fanmemory("doctor", "--data", str(tmp_path), "--json", **nonsense)
    told = json.loads(ran.stdout)
    assert ran.returncode == 1
    problems = {f["check"] for f in told["findings"] if f["verdict"] == "problem"}
    assert {"kafka", "postgres", "redis"} <= problems


async def test_up_runs_on_services_of_others_when_given_their_urls(
    services: Endpoints, settings: Settings, tmp_path: Path
) -> None:
    settings = helpers.as_one_role(settings)
    urls = (settings.kafka_url, settings.postgres_url, settings.redis_url)
    given = helpers.kafka_variables(settings) | dict(zip(URLS, urls, strict=True))
    running = start_up(tmp_path, "--workers", "1", "--api-port", "0", **given)
    try:
        assert running.said["services"] == {}
        assert running.said["endpoints"]["postgres_url"] == without_password(settings.postgres_url)
        assert not (tmp_path / "postgres").exists()
    finally:
        running.process.send_signal(signal.SIGINT)
        assert ended(running.process) == 0
    await helpers.flush_redis(services)  # they still run


def test_a_given_api_port_that_is_taken_is_refused_and_nothing_stays_behind(
    system: Up, tmp_path: Path
) -> None:
    port = system.said["endpoints"]["api_url"].rpartition(":")[2]
    ran = fanmemory("up", "--data", str(tmp_path), "--api-port", port, "--json")
    assert ran.returncode == 1
    assert f"Port {port}" in json.loads(ran.stdout)["error"]
    assert fanmemory("services", "status", "--data", str(tmp_path)).returncode == 1


def test_a_given_kafka_port_that_is_taken_is_refused_and_nothing_stays_behind(
    system: Up, tmp_path: Path
) -> None:
    port = system.said["endpoints"]["kafka"].rpartition(":")[2]
    words = ("up", "--data", str(tmp_path), "--api-port", "0", "--kafka-port", port, "--json")
    ran = fanmemory(*words)
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["error"] == f"Port {port}, wanted for kafka, is in use."
    assert fanmemory("services", "status", "--data", str(tmp_path)).returncode == 1


@pytest.mark.parametrize(
    ("words", "environment", "error"),
    [
        (("--kafka-port", "19092"), {"FANMEMORY_KAFKA_URL": "127.0.0.1:9"}, "FANMEMORY_KAFKA_URL"),
        (("--kafka-port", "19092", "--api-port", "19092"), {}, "wanted for the API"),
    ],
)
def test_a_kafka_port_that_can_not_be_meant_is_refused_before_anything_starts(
    tmp_path: Path, words: tuple[str, ...], environment: dict[str, str], error: str
) -> None:
    ran = fanmemory("up", "--data", str(tmp_path), "--json", *words, **environment)
    assert ran.returncode == 1
    assert error in json.loads(ran.stdout)["error"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("delay_seconds", [0.0, 1.5])
def test_an_interrupt_while_starting_ends_cleanly(tmp_path: Path, delay_seconds: float) -> None:
    process = subprocess.Popen(
        [*COMMAND, "up", "--data", str(tmp_path), "--json"],
        env=clean_environment(FANMEMORY_API_PORT=str(free_port())),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually((tmp_path / "lock").exists)  # before that, Python itself is still starting
    time.sleep(delay_seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=STOPPED_SECONDS_MAX)
    assert "Traceback" not in errors
    left = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(p.info["cmdline"])]
    assert left == []
