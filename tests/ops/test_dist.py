"""Wheel and sdist: whole, alike, and good for an environment that has no working copy."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from ops import __version__
from tests.cli import clean_environment
from tests.documented import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = tuple(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
SITE = next(path for path in sys.path if path.endswith("site-packages"))
EVENT = (
    '{"eventId": "1", "fanId": "f", "creatorId": "c", "type": "message",'
    ' "content": "I love the beach", "timestamp": "2026-01-01T00:00:00Z"}'
)


class Built(NamedTuple):
    wheel: Path
    sdist: Path


def build(source: Path, folder: Path, *targets: str) -> Path:
    """What hatchling makes of a source, in `folder`."""
    wanted = [word for target in targets for word in ("-t", target)]
    ran = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder), *wanted],
        cwd=source,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = build(ROOT, tmp_path_factory.mktemp("dist"))
    return Built(next(folder.glob("*.whl")), next(folder.glob("*.tar.gz")))


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, and with what our own has beside the working copy."""
    home = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home / "env")], check=True)
    site = next((home / "env" / "lib").glob("python3*/site-packages"))
    # A path in such a file is looked in; what makes the working copy importable there is not read.
    (site / "others.pth").write_text(SITE)
    # Kafka's jars, which `fanmemory services install` would fetch.
    (home / "env" / "share").mkdir()
    (home / "env" / "share" / "fanmemory").symlink_to(Path(sys.prefix) / "share" / "fanmemory")
    python = home / "env" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    words = ("pip", "install", "--quiet", "--no-deps", "--offline", "--python", str(python))
    subprocess.run([str(uv), *words, str(built.wheel)], check=True, env=clean_environment())
    return home


def run(home: Path, *words: str, stdin: str = "") -> str:
    environment = clean_environment(FANMEMORY_DATA=str(home / "data"))
    environment.pop("PYTHONPATH", None)
    ran = subprocess.run(
        [str(home / "env" / "bin" / "fanmemory"), *words],
        cwd=home,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_wheel_is_all_of_the_rooms_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *ROOMS],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no working copy")
    kept = {name for name in listed.stdout.decode().split("\0") if name}
    assert inside == {name for name in kept if (ROOT / name).exists()}


def test_a_wheel_that_is_built_from_the_sdist_is_the_same(built: Built, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = next(build(source, tmp_path / "again", "wheel").glob("*.whl"))
    assert again.name == built.wheel.name
    assert again.read_bytes() == built.wheel.read_bytes()


def test_the_version_is_said_in_one_way(built: Built) -> None:
    assert built.wheel.name == f"fan_memory-{__version__}-py3-none-any.whl"
    for page in ("compose.yml", "deploy/Dockerfile"):
        assert set(re.findall(r"fanmemory:([\d.]+)", (ROOT / page).read_text())) == {__version__}
    shown = re.findall(r"fan_memory-([\d.]+)-py3", (ROOT / "docs" / "operations.md").read_text())
    assert set(shown) == {__version__}
    assert re.search(rf"^## {re.escape(__version__)} ", (ROOT / "CHANGELOG.md").read_text(), re.M)
    for name in ("openapi.json", "asyncapi.json"):
        published = json.loads((ROOT / "schemas" / "published" / name).read_text())
        assert published["info"]["version"] == __version__


def test_it_runs_where_no_working_copy_is(installed: Path) -> None:
    assert run(installed, "--version").strip().endswith(__version__)
    place = subprocess.run(
        [str(installed / "env" / "bin" / "python"), "-c", "import ops, lab; print(ops, lab)"],
        cwd=installed,
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert place.count(str(installed)) == 2
    assert json.loads(run(installed, "validate", "-", "--json", stdin=EVENT))["accepted"] == 1
    analysed = json.loads(run(installed, "analyse", "-", stdin="I love the beach\n"))
    assert analysed["sentiment"] == "positive"
    assert "CREATE ROLE" in run(installed, "roles")
    assert json.loads(run(installed, "doctor", "--json"))["healthy"]
