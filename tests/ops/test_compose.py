"""What can be held true of the container files without a container engine."""

import re
import subprocess
import sys
from pathlib import Path

from infra.settings import Settings
from ops import __version__
from ops.services import kafka, postgres, valkey
from ops.services.jars import KAFKA_VERSION
from privacy.keys import Keyring
from privacy.receipts import Signer

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "compose.yml").read_text("utf-8")
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
IGNORED = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8")


def test_every_variable_given_to_our_containers_is_a_setting() -> None:
    named = set(re.findall(r"\bFANMEMORY_([A-Z_]+)", COMPOSE)) - {""}
    assert {name.lower() for name in named if not name.endswith("_")} <= set(Settings.model_fields)


def test_the_images_are_the_versions_that_are_embedded() -> None:
    assert f"image: apache/kafka:{KAFKA_VERSION}" in COMPOSE
    ran = subprocess.run(
        [postgres.binary("postgres"), "-V"], capture_output=True, text=True, check=True
    )
    assert re.search(r" (\d+)\.", ran.stdout).group(1) == "18"  # type: ignore[union-attr]
    assert "image: postgres:18\n" in COMPOSE
    ran = subprocess.run([valkey.binary(), "--version"], capture_output=True, text=True, check=True)
    assert " v=9." in ran.stdout
    assert "image: valkey/valkey:9\n" in COMPOSE


def test_kafka_in_a_container_is_set_as_the_embedded_one_is() -> None:
    for name in (
        "auto.create.topics.enable",
        "offsets.topic.num.partitions",
        "offsets.retention.minutes",
        "group.initial.rebalance.delay.ms",
        "broker.session.timeout.ms",
        "broker.heartbeat.interval.ms",
    ):
        variable = "KAFKA_" + name.upper().replace(".", "_")
        found = re.search(rf"^ +{variable}: \"?(\w+)\"?$", COMPOSE, re.MULTILINE)
        assert found is not None, variable
        assert found.group(1) == kafka.PROPERTIES[name]


def test_postgres_in_a_container_keeps_values_out_of_its_log() -> None:
    for name, value in postgres.SETTINGS.items():
        if name.startswith(("log_error", "log_min", "log_parameter")):
            assert f"-c{name}={value}\n" in COMPOSE


def test_the_image_has_every_room_but_the_lab() -> None:
    copied = re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.MULTILINE)
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "lab"}
    assert set(copied) == rooms
    assert IGNORED.splitlines()[1] == "*"
    assert {f"!{room}" for room in rooms} <= set(IGNORED.splitlines())


def test_secrets_are_written_once_for_the_owner_alone_and_fit(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "deploy" / "make_env.py")]
    subprocess.run(words, cwd=tmp_path, check=True)
    file = tmp_path / ".env"
    text = file.read_text("ascii")
    assert file.stat().st_mode & 0o077 == 0
    values = dict(line.split("=", 1) for line in text.splitlines())
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE))
    # An `.env` of before there were receipts lacks it, and still starts.
    assert set(values) == required | {"FANMEMORY_RECEIPT_KEY"}
    Keyring.parse(values["FANMEMORY_KEYRING"])
    Signer(values["FANMEMORY_RECEIPT_KEY"])
    again = subprocess.run(words, cwd=tmp_path, check=False, capture_output=True)
    assert again.returncode == 1
    assert file.read_text("ascii") == text


def test_every_file_that_names_the_version_names_the_same_one() -> None:
    for text in (COMPOSE, DOCKERFILE):
        assert set(re.findall(r"fanmemory:(\d[\w.]*)", text)) == {__version__}
