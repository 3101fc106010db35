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
    assert f":-apache/kafka:{KAFKA_VERSION}@" in COMPOSE
    ran = subprocess.run(
        [postgres.binary("postgres"), "-V"], capture_output=True, text=True, check=True
    )
    version = re.search(r" (\d+\.\d+)", ran.stdout)
    assert version is not None
    assert f":-postgres:{version[1]}@" in COMPOSE
    ran = subprocess.run([valkey.binary(), "--version"], capture_output=True, text=True, check=True)
    version = re.search(r" v=(\S+)", ran.stdout)
    assert version is not None
    assert f":-valkey/valkey:{version[1]}@" in COMPOSE


def test_every_image_is_named_by_its_digest() -> None:
    """What a tag names, its owner can change; what a digest names, nobody."""
    others = [
        name
        for name in re.findall(r"^ +image: (.*)$", COMPOSE, re.MULTILINE)
        if "fanmemory:" not in name
    ]
    assert len(others) == 3
    assert all(
        re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[^@}]+@sha256:[0-9a-f]{64}\}", one) for one in others
    )
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"] * 2
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.11-slim@sha256:[0-9a-f]{64}$", DOCKERFILE, re.M)


def test_digests_are_renewed_all_together_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    for name in ("compose.yml", "deploy/Dockerfile"):
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    registry = tmp_path / "docker"

    def pin(answers: str) -> subprocess.CompletedProcess[str]:
        registry.write_text(f"#!/bin/sh\n{answers}\n")
        registry.chmod(0o755)
        return subprocess.run(
            [sys.executable, ROOT / "deploy" / "pin_images.py"],
            cwd=tmp_path,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    digest = "sha256:" + "ab" * 32
    # The tag comes last; one that is not answered spoils all.
    for refused in (f'case "$6" in valkey*) exit 1;; *) echo {digest};; esac', "echo latest"):
        ran = pin(refused)
        assert ran.returncode == 1
        assert "nothing was changed" in ran.stderr
        assert (tmp_path / "compose.yml").read_text("utf-8") == COMPOSE
    assert pin(f"echo {digest}").returncode == 0
    for name, before in (("compose.yml", COMPOSE), ("deploy/Dockerfile", DOCKERFILE)):
        pinned = re.sub(r"sha256:[0-9a-f]{64}", digest, before)
        assert (tmp_path / name).read_text("utf-8") == pinned


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
