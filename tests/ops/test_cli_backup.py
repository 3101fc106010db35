"""`fanmemory backup` and `restore` as a person runs them.

docs/backup.md is run for the way that succeeds, into a data directory of its own, and
tests/admin/test_backup.py looks at what is restored.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ops.secrets import read_kept
from tests.cli import Running, clean_environment, eventually, fanmemory
from tests.forked import COMMAND


@pytest.fixture(scope="module")
def kept(demonstrated: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a backup, `backup`, and its secrets, `secrets`."""
    folder = tmp_path_factory.mktemp("kept")
    ran = demonstrated.run(
        "backup", str(folder / "backup"), "--secrets", str(folder / "secrets"), "--json"
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["fans"] > 0 and told["records"]["journal"] > 0
    assert told["bytes"] == sum(
        path.stat().st_size
        for path in (folder / "backup").iterdir()
        if path.name != "manifest.json"
    )
    return folder


def test_the_secrets_are_those_of_the_system_and_for_their_owner_alone(
    demonstrated: Running, kept: Path
) -> None:
    path = kept / "secrets"
    assert path.stat().st_mode & 0o777 == 0o600
    secrets = read_kept(path)
    for name, text in (
        ("keyring", secrets.keyring),
        ("jwt_secret", secrets.jwt_secret),
        ("receipt_key", secrets.receipt_key),
        ("kafka/password", secrets.broker_password),
    ):
        assert (demonstrated.data / name).read_text().strip() == text
        assert text not in repr(secrets)
        for file in (kept / "backup").iterdir():
            assert text.encode() not in file.read_bytes()


def test_neither_a_backup_nor_secrets_are_written_over(demonstrated: Running, kept: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*")}
    for words, said in (
        ((str(kept / "backup"),), "there already"),
        ((str(kept / "new"), "--secrets", str(kept / "secrets")), "there already"),
        ((str(kept / "new"), "--secrets", str(kept / "new" / "secrets")), "lie in the backup"),
    ):
        ran = demonstrated.run("backup", *words)
        assert ran.returncode == 1
        assert said in ran.stderr
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*")} == before


def test_a_restore_over_a_system_is_refused(demonstrated: Running, kept: Path) -> None:
    ran = demonstrated.run("restore", str(kept / "backup"), "--secrets", str(kept / "secrets"))
    assert ran.returncode == 1
    assert "holds a system already" in ran.stderr


def test_what_can_not_be_restored_leaves_nothing_behind(kept: Path, tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    other.write_text(json.dumps({"keyring": "dev-0:" + "A" * 43 + "="}))
    damaged = tmp_path / "damaged"
    shutil.copytree(kept / "backup", damaged)
    with (damaged / "journal").open("r+b") as file:
        file.truncate(100)
    backup, secrets = str(kept / "backup"), str(kept / "secrets")
    for words, said in (
        ((backup,), "no keyring"),
        ((backup, "--secrets", str(other)), "which this keyring lacks"),
        ((backup, "--secrets", backup + "/manifest.json"), "no file that"),
        ((backup, "--secrets", str(tmp_path / "nothing")), "can't be read"),
        ((str(damaged), "--secrets", secrets), "has 100 bytes of"),
        ((str(tmp_path), "--secrets", secrets), "is no backup"),
    ):
        ran = fanmemory("restore", *words, "--data", str(data))
        assert ran.returncode == 1, words
        assert said in ran.stderr, ran.stderr
        assert "Traceback" not in ran.stderr
        assert not data.exists()


def test_where_a_restore_was_killed_nothing_starts_until_it_was_run_again(
    kept: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    words = ("restore", str(kept / "backup"), "--secrets", str(kept / "secrets"))
    process = subprocess.Popen(
        [*COMMAND, *words, "--data", str(data)],
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    eventually((data / "postgres" / "cluster").exists)  # it is in the midst of it
    process.kill()
    process.wait()
    for command in ("up", "rebuild"):
        ran = fanmemory(command, "--data", str(data))
        assert ran.returncode == 1
        assert "did not reach its end" in ran.stderr
        assert "restore` again" in ran.stderr
    found = json.loads(fanmemory("doctor", "--data", str(data), "--json").stdout)["findings"]
    (directory,) = [one for one in found if one["check"] == "data directory"]
    assert directory["verdict"] == "problem"
    ran = fanmemory(*words, "--data", str(data), "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["fans"] > 0
    assert not (data / "restoring").exists()


def test_another_keyring_in_the_target_is_not_written_over(kept: Path, tmp_path: Path) -> None:
    keyring = tmp_path / "keyring"
    keyring.write_text("dev-0:" + "A" * 43 + "=\n")
    before = keyring.read_text()
    ran = fanmemory(
        "restore", str(kept / "backup"), "--secrets", str(kept / "secrets"), "--data", str(tmp_path)
    )
    assert ran.returncode == 1
    assert "another one" in ran.stderr
    assert keyring.read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["keyring"]


def test_no_room_is_one_sentence_and_leaves_nothing(demonstrated: Running, tmp_path: Path) -> None:
    """Of files that may not grow: the kernel's refusal comes in the midst of the database."""
    ran = subprocess.run(
        # Set by a shell: Python code between fork and exec can hang where there are threads.
        [
            *("sh", "-c", 'ulimit -f 8; exec "$@"', "sh"),
            *(*COMMAND, "backup", str(tmp_path / "backup"), "--data", str(demonstrated.data)),
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert "no room" in ran.stderr
    assert list(tmp_path.iterdir()) == []
