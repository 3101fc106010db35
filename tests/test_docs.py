"""The docs are true: every command in them runs, every name in them exists, every table is ours."""

import gzip
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
from pydantic import SecretStr

from admin.reading import read_values
from api.auth import signing_key
from infra.settings import Settings
from ops.cli import fanmemory
from ops.demo import SAMPLE
from ops.reference import TABLES, leaves, rewritten, tables_in
from ops.services.endpoints import load
from ops.services.ports import free_port
from privacy.keys import Keyring
from schemas.errors import InvalidInput
from schemas.events import parse_interaction
from schemas.topics import TOPICS
from tests.cli import STOPPED_SECONDS_MAX, Running, clean_environment, eventually
from tests.documented import ROOT, shell_of
from tests.forked import COMMAND
from tests.services import kafka_variables

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LEAVES = dict(leaves(fanmemory))
VARIABLES = {f"FANMEMORY_{name.upper()}" for name in Settings.model_fields}
SECRET_FILES = {
    f"FANMEMORY_{name.upper()}_FILE"
    for name, field in Settings.model_fields.items()
    if field.annotation is SecretStr
}
LONG_RUNNING = ("up", "worker", "api")
"""Run until they are stopped."""
BASH = shutil.which("bash") or "bash"
MAKE = shutil.which("make") or "make"
ELSEWHERE = {
    "demo": "every test of `demonstrated` runs it",
    "bench": "takes the whole machine for a minute",
    "chaos": "has its own shorter run in tests/lab/test_chaos.py",
    "train": "needs the labelled texts",
    "evaluate": "needs the labelled texts",
}
"""Only their words are checked here."""

UPGRADE = "docs/upgrade.md"
"""Its blocks are run by tests/ops/test_upgrade.py and tests/stores/test_rolling_update.py."""

PLAIN = re.compile(r"fanmemory [^|$<>&;'\"]*")
"""A line that needs no shell."""
INLINE = re.compile(r"`(fanmemory [^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
"""A file and a heading in it."""
VARIABLE = re.compile(r"FANMEMORY_[A-Z_]*[A-Z](?![A-Z_*])")


class Block(NamedTuple):
    """One fenced block of commands; continued lines are joined."""

    page: str
    number: int
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def blocks() -> list[Block]:
    found = []
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        found += [Block(name, number, lines) for number, lines in enumerate(shell_of(page), 1)]
    return found


def commands_in(line: str) -> list[list[str]]:
    """The words of every call of `fanmemory` in a line of shell."""
    calls = re.findall(r"(?:^|\|\s*|\$\()fanmemory ([^|)]*)", line)
    return [shlex.split(call) for call in calls]


def leaf(words: list[str]) -> tuple[click.Command, list[str]] | None:
    """The command that words call, and the words that are its own."""
    for length in (2, 1):
        command = LEAVES.get(("fanmemory", *words[:length]))
        if command is not None:
            return command, words[length:]
    return None


def is_accepted(line: bytes) -> bool:
    try:
        parse_interaction(line, time.time_ns() // 1_000_000)
    except InvalidInput:
        return False
    return True


PLATFORMS = ROOT / "docs" / "platforms.md"
PAYMENT = json.dumps(
    {
        "action": "payment.succeeded",
        "data": {
            "id": "pay_1",
            "user": {"id": "user_6"},
            "final_amount": 2,
            "currency": "usd",
            "created_at": "2026-11-20 23:24:44 +0200",
        },
    }
)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A directory with the files that the docs name, and the command in `bin`."""
    lines = [line for line in read_values(SAMPLE) if is_accepted(line)]
    (tmp_path / "events.jsonl").write_bytes(b"\n".join(lines))
    (tmp_path / "events.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines)))
    (tmp_path / "chat.txt").write_text(
        "20/11/2026, 10:14 - Jo: hi\n20/11/2026, 10:15 - Luna: hello\n"
    )
    mapping = re.findall(
        r"^```text\n(\{\"rules.*?)^```$", PLATFORMS.read_text(), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "mapping.json").write_text(mapping[0])
    (tmp_path / "payments.jsonl").write_text(PAYMENT)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "fanmemory"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    return tmp_path


def surroundings(desk: Path, system: Running, **more: str) -> dict[str, str]:
    python_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return clean_environment(
        PATH=f"{desk / 'bin'}{os.pathsep}{os.environ['PATH']}",
        PYTHONPATH=python_path,
        FANMEMORY_DATA=str(system.data),
        **more,
    )


# Commands.


@pytest.mark.parametrize("block", [one for one in blocks() if one.page != UPGRADE], ids=str)
def test_every_command_runs(block: Block, desk: Path, demonstrated: Running) -> None:
    script = []
    exported: dict[str, Any] = {}
    for line in block.lines:
        first = line.split()[0]
        calls = commands_in(line)
        name = calls[0][0] if calls else ""
        if first == "make":
            assert_is_made(line)
        elif first == "export":
            assert_is_a_setting(line, exported)
        elif first == "docker":
            continue  # tests/ops/test_compose.py holds what it starts to what it says
        elif "psql" in shlex.split(line):
            continue  # tests/stores/test_roles.py makes the roles as their command's output says
        elif name in LONG_RUNNING:
            assert_runs_until_stopped(calls[0], desk, demonstrated)
        elif name in ELSEWHERE:
            continue
        elif PLAIN.fullmatch(line):
            ran = demonstrated.run(*calls[0], cwd=desk)
            assert ran.returncode == 0, (line, ran.stdout[-2000:], ran.stderr[-2000:])
        else:
            assert calls or first in ("curl", "python3"), f"nobody knows how to try: {line}"
            line = line.replace("http://127.0.0.1:8080", demonstrated.api_url)
            script.append(line.replace("http://127.0.0.1:9464", demonstrated.metrics_url("api")))
    if script:
        assert_is_run("\n".join(script), desk, demonstrated)


def assert_is_run(script: str, desk: Path, system: Running) -> None:
    """As it stands, by a shell."""
    if "curl" in script and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    ran = subprocess.run(
        [BASH, "-euo", "pipefail", "-c", script],
        cwd=desk,
        env=surroundings(desk, system),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, (script, ran.stdout[-2000:], ran.stderr[-2000:])


def assert_is_made(line: str) -> None:
    ran = subprocess.run(
        [MAKE, "-n", *line.split()[1:]], cwd=ROOT, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def assert_is_a_setting(line: str, exported: dict[str, Any]) -> None:
    """Its name is known, and what the shell makes of its value is accepted, with what stands above
    it."""
    variable = line.split()[1].partition("=")[0]
    shown = subprocess.run(
        [BASH, "-euc", f'{line}\nprintf %s "${variable}"'], capture_output=True, check=True
    )
    assert variable in VARIABLES | SECRET_FILES
    field = variable.removeprefix("FANMEMORY_").lower()
    exported[field] = shown.stdout.decode()
    settings = Settings(**exported)
    if field == "keyring":
        Keyring.of(settings)
    if field == "jwt_secret":
        assert signing_key(settings) is not None


def assert_runs_until_stopped(words: list[str], desk: Path, system: Running) -> None:
    endpoints = load(system.data)
    assert endpoints is not None
    port = free_port()
    words = [str(port) if word == "8080" else word for word in words]
    logs = desk / f"{words[0]}.log"
    with logs.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=desk,
            env=surroundings(
                desk,
                system,
                **kafka_variables(endpoints.reached_by(Settings())),
                FANMEMORY_POSTGRES_URL=endpoints.postgres_owner_url,
                FANMEMORY_REDIS_URL=endpoints.redis_url,
                FANMEMORY_KEYRING=(system.data / "keyring").read_text().strip(),
                FANMEMORY_JWT_SECRET=(system.data / "jwt_secret").read_text().strip(),
                FANMEMORY_API_PORT=str(port),
            )
            | ({"FANMEMORY_DATA": str(desk / "data")} if words[0] == "up" else {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def is_up() -> bool:
        assert process.poll() is None, logs.read_text()
        if words[0] == "worker":
            status = Path(f"/proc/{process.pid}/status").read_text()
            caught = int(re.findall(r"SigCgt:\s+(\w+)", status)[0], 16)
            return bool(caught >> (signal.SIGTERM - 1) & 1)  # it would hear us
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as one:
                return bool(one.status == 200)
        except OSError:
            return False

    try:
        eventually(is_up)
    finally:
        process.terminate()
        code = process.wait(STOPPED_SECONDS_MAX)
    assert code == 0, logs.read_text()


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_every_command_is_rightly_spelled(
    block: Block, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    for line in block.lines:
        for words in commands_in(line):
            found = leaf(words)
            assert found is not None, line
            command, own = found
            own = [word for word in own if not word.startswith("$")]
            command.make_context(words[0], own)


def test_every_command_that_prose_names_is_one() -> None:
    groups = {path[1] for path in LEAVES}
    for page in PAGES:
        for call in INLINE.findall(page.read_text()):
            words = [word for word in call.split()[1:] if word != "…"]
            assert words[0] in groups or words[0].startswith("-"), (page.name, call)
            found = leaf(words)
            if found is None:
                continue
            known = {option for param in found[0].params for option in param.opts} | {"--help"}
            used = {word.strip("[]") for word in words if word.strip("[]").startswith("--")}
            assert used <= known, (page.name, call)


# Names.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, heading in LINK.findall(page.read_text()):
        if target.startswith("https://"):
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not heading or heading in anchors(there), (target, heading)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings of a page: letters, digits, `-` for a space."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {target for target, _ in LINK.findall(index.read_text())}
    assert {page.name for page in index.parent.glob("*.md")} - {index.name} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_is_a_setting(page: Path) -> None:
    assert set(VARIABLE.findall(page.read_text())) <= VARIABLES | SECRET_FILES


def test_every_test_that_the_docs_name_is_one() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    tests = "\n".join(page.read_text() for page in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20
    assert named <= set(re.findall(r"^(?:async )?def (test_\w+)", tests, re.MULTILINE))


def test_the_compose_file_names_only_settings() -> None:
    assert set(VARIABLE.findall((ROOT / "compose.yml").read_text())) <= VARIABLES


def test_every_decision_has_its_number_a_date_and_a_status() -> None:
    numbers = []
    for page in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        title, _, rest = page.read_text().partition("\n")
        numbers.append(int(page.name[:4]))
        assert re.match(rf"# 0*{numbers[-1]}[.:] ", title), page.name
        assert re.search(r"20\d\d-\d\d-\d\d", rest[:200]), page.name
        assert re.search(r"(?i)accepted|superseded|proposed", rest[:200]), page.name
    assert len(set(numbers)) == len(numbers)


def test_the_glossary_is_sorted() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text()
    words = re.findall(r"^\| \*\*([^*]+)\*\*", page, re.MULTILINE)
    assert len(words) >= 20
    assert words == sorted(words)


# Tables.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_are_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert rewritten(text) == text, "run `make docs`"


def test_every_table_is_on_one_page() -> None:
    found = [name for page in PAGES for name in tables_in(page.read_text())]
    assert sorted(found) == sorted(TABLES)


def test_the_settings_table_has_every_setting_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(FANMEMORY_\w+)` \| (?:`([^`]+)`|empty) \| \S", page, re.MULTILINE)
    assert {name for name, _ in rows} == VARIABLES
    shown = {name.removeprefix("FANMEMORY_").lower(): value for name, value in rows}
    assert Settings(**{name: value for name, value in shown.items() if value}) == Settings(
        _env_file=None
    )


def test_the_topics_table_has_every_topic_with_its_retention() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    for topic in TOPICS:
        days = topic.retention_ms / 86_400_000
        kept = "unlimited" if topic.retention_ms < 0 else f"{days:g} d"
        assert re.search(rf"^\| `{re.escape(topic.name)}` \|.*\| {kept} \|", page, re.MULTILINE)


def test_the_events_shown_are_accepted() -> None:
    page = (ROOT / "docs" / "events.md").read_text()
    shown = re.findall(r"^```json\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    assert shown
    now = time.time_ns() // 1_000_000
    for text in shown:
        event = parse_interaction(text.encode(), now)
        assert event.creator_id == json.loads(text)["creatorId"]


def test_the_sizes_that_prose_tells_are_those_of_the_code() -> None:
    from infra.kafka import GROUP
    from schemas.events import AHEAD_MS_MAX, TIME_MIN_MS, VALUE_BYTES_MAX

    page = (ROOT / "docs" / "events.md").read_text()
    assert f"more than {VALUE_BYTES_MAX:,} bytes" in page
    assert f"more than {AHEAD_MS_MAX // 60_000} minutes after" in page
    assert f"before {time.gmtime(TIME_MIN_MS // 1000).tm_year}" in page
    assert f"group `{GROUP}`" in (ROOT / "docs" / "operations.md").read_text()


def test_python_is_as_new_as_the_docs_ask_for() -> None:
    asked = re.search(r"Python ≥ (\d+)\.(\d+)", (ROOT / "README.md").read_text())
    assert asked is not None
    assert sys.version_info >= (int(asked[1]), int(asked[2]))
    needed = f'requires-python = ">={asked[1]}.{asked[2]}"'
    assert needed in (ROOT / "pyproject.toml").read_text()
