"""The system of compose.yml in containers: built, started, fed with the demo's sample, asked."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ops import __version__
from ops.demo import CREATOR, FAN, SAMPLE
from ops.services.ports import free_port
from tests.containers import images

ROOT = Path(__file__).parents[2]
IMAGE = f"fanmemory:{__version__}"
BUILD_SECONDS_MAX = 900
READY_SECONDS_MAX = 300


class Composed(NamedTuple):
    """A running system, and the words that reach it."""

    words: list[str]
    url: str
    environment: dict[str, str]

    def run(self, *words: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.words, *words],
            cwd=ROOT,
            env=self.environment,
            input=input,
            capture_output=True,
            timeout=READY_SECONDS_MAX,
            check=False,
        )

    def fanmemory(self, *words: str, input: bytes | None = None, code: int = 0) -> str:
        """A command in a container of its own, as the comment in compose.yml has it."""
        ran = self.run("run", "--rm", "--no-deps", "-T", "api", *words, input=input)
        assert ran.returncode == code, ran.stdout.decode() + ran.stderr.decode()
        return ran.stdout.decode()


@pytest.fixture(scope="module")
def image() -> str:
    images.ensure(images.PYTHON)
    subprocess.run(
        [
            *("docker", "build", "--quiet", "-f", "deploy/Dockerfile", "-t", IMAGE),
            *("--build-arg", f"PYTHON_IMAGE={images.PYTHON}", "."),
        ],
        cwd=ROOT,
        # The former builder: it needs no plugin, and takes base images that nobody can pull.
        env=os.environ | {"DOCKER_BUILDKIT": "0"},
        check=True,
        timeout=BUILD_SECONDS_MAX,
    )
    return IMAGE


@pytest.fixture(scope="module")
def composed(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    begin = images.compose()
    if begin is None:
        pytest.skip("neither `docker compose` nor docker-compose is installed")
    images.ensure(images.KAFKA, images.POSTGRES, images.VALKEY)
    folder = tmp_path_factory.mktemp("compose")
    subprocess.run([sys.executable, ROOT / "deploy" / "make_env.py"], cwd=folder, check=True)
    port = free_port()
    project = ["-p", f"fanmemory-{secrets.token_hex(4)}", "--env-file", str(folder / ".env")]
    made = Composed(
        [*begin, *project, "-f", str(ROOT / "compose.yml")],
        f"http://127.0.0.1:{port}",
        os.environ | images.VARIABLES | {"API_PORT": str(port)},
    )
    try:
        up = made.run("up", "-d")
        assert up.returncode == 0, up.stderr.decode()
        ready(made)
        yield made
    finally:
        print(made.run("logs", "--tail", "30").stdout.decode())
        made.run("down", "--volumes", "--timeout", "5")


def ready(composed: Composed) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            with urllib.request.urlopen(f"{composed.url}/health/ready", timeout=3) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(composed.run("ps").stdout.decode())
        time.sleep(0.5)


def test_the_image_says_its_version_and_has_no_lab_and_no_root(image: str) -> None:
    def inside(*words: str) -> str:
        run = ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", *words]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout

    assert inside(image, "--version") == f"fanmemory, version {__version__}\n"
    script = "import os, importlib.util as i; print(os.getuid(), i.find_spec('lab'))"
    assert inside("--entrypoint", "python", image, "-c", script) == "65532 None\n"


def test_the_demos_sample_is_remembered(composed: Composed) -> None:
    lines = SAMPLE.read_bytes()
    # The sample has wrong events, too, and `emit` says so.
    sent = json.loads(composed.fanmemory("emit", "--json", "-", input=lines, code=1))["sent"]
    assert sent == len(lines.splitlines())
    token = composed.fanmemory("token", "--creator", CREATOR).strip()
    deadline = time.monotonic() + READY_SECONDS_MAX
    while (context := asked(composed, token)) is None:
        assert time.monotonic() < deadline, "the sample does not arrive"
        time.sleep(0.5)
    assert context["data"]["fanId"] == FAN
    verified = composed.run("run", "--rm", "--no-deps", "-T", "api", "verify", "--json")
    assert verified.returncode == 0, verified.stdout.decode() + verified.stderr.decode()


def asked(composed: Composed, token: str) -> dict[str, dict[str, str]] | None:
    url = f"{composed.url}/api/of-memory/context?creatorId={CREATOR}&fanId={FAN}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, dict[str, str]] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        assert error.code == 404, error
        return None


def test_doctor_finds_nothing_wrong(composed: Composed) -> None:
    found = json.loads(composed.fanmemory("doctor", "--json"))
    wrong = [one for one in found["findings"] if one["verdict"] == "problem"]
    assert wrong == []
