"""Every command: its help, its errors, what it prints for people and for machines."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from ops.cli import COMMANDS
from ops.cli import fanmemory as program
from ops.demo import CREATOR, FAN
from ops.reference import leaves
from ops.services.discover import data_words
from schemas.topics import TOPICS
from tests.cli import Running, clean_environment, fanmemory
from tests.forked import COMMAND

LEAVES = dict(leaves(program))
ON_A_SYSTEM = (
    ("context", "--creator", "c", "--fan", "f"),
    ("emit", "/dev/null"),
    ("dlq",),
    ("dlq", "--open"),
    ("topics", "list"),
    ("topics", "check"),
    ("topics", "create"),
    ("token", "--creator", "c"),
    ("migrate",),
    ("verify",),
    ("worker",),
    ("api",),
)
NOWHERE = {
    "FANMEMORY_KAFKA_URL": "127.0.0.1:9",
    "FANMEMORY_POSTGRES_URL": "postgresql://somebody:hidden-word@127.0.0.1:9/d",
    "FANMEMORY_REDIS_URL": "redis://:hidden-word@127.0.0.1:9",
}
SECRETS = {"FANMEMORY_KEYRING": "k:" + "A" * 43 + "=", "FANMEMORY_JWT_SECRET": "s" * 32}
CONTEXT_KEYS = {
    "fanId",
    "creatorId",
    "recentMessages",
    "personalityProfile",
    "preferences",
    "emotionalState",
    "engagementMetrics",
    "lastInteraction",
    "inbox",
}


def side_by_side(*commands: tuple[str, ...], **environment: Any) -> list[tuple[int, str, str]]:
    """(exit code, output, errors) of several commands."""
    with ThreadPoolExecutor(3) as pool:
        ran = pool.map(lambda words: fanmemory(*words, **environment), commands)
    return [(one.returncode, one.stdout, one.stderr) for one in ran]


# Help.


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_a_command_explains_itself_and_its_options(path: tuple[str, ...]) -> None:
    ran = CliRunner().invoke(program, [*path[1:], "--help"])
    assert ran.exit_code == 0, ran.output
    assert f"Usage: {program.name} {' '.join(path[1:])}" in ran.output
    command = LEAVES[path]
    assert command.help
    for option in command.params:
        assert isinstance(option, click.Argument) or option.opts[0] in ran.output


def test_the_help_lists_every_command_with_a_line() -> None:
    [(code, output, _)] = side_by_side(("--help",))
    assert code == 0
    for name, (_, line) in COMMANDS.items():
        assert f"{name} " in output
        assert line in output
    assert set(COMMANDS) == {path[1] for path in LEAVES}


def test_every_command_that_looks_at_a_system_finds_it_the_same_way() -> None:
    for words in ON_A_SYSTEM:
        name = tuple(word for word in words[:2] if not word.startswith(("-", "/")))
        options = {option for param in LEAVES["fanmemory", *name].params for option in param.opts}
        assert "--data" in options


def test_a_command_that_nobody_knows_is_wrong_usage() -> None:
    [(code, _, errors)] = side_by_side(("remember",))
    assert code == 2
    assert "No such command" in errors


# Errors.


def test_without_a_system_each_says_so_and_what_to_do(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    for code, output, errors in side_by_side(*ON_A_SYSTEM[::2], FANMEMORY_DATA=str(empty)):
        assert (code, output) == (1, "")
        assert errors.startswith(f"error: No Fan Memory runs on {empty}.\nStart one with")
        assert errors.count("\n") == 2
    assert not empty.exists(), "looking for a system makes nothing"


def test_a_machine_gets_the_same_error_as_one_document(tmp_path: Path) -> None:
    words = [(*words, "--json") for words in ON_A_SYSTEM[1::2] if "--json" in _options(words)]
    assert len(words) > 2
    for code, output, errors in side_by_side(*words, FANMEMORY_DATA=str(tmp_path)):
        assert (code, errors) == (1, "")
        told = json.loads(output)
        assert set(told) == {"error", "hint"}
        assert "fanmemory up" in told["hint"]


def _options(words: tuple[str, ...]) -> set[str]:
    name = tuple(word for word in words[:2] if not word.startswith(("-", "/")))
    return {option for param in LEAVES["fanmemory", *name].params for option in param.opts}


def test_a_wrong_setting_is_named_before_anything_starts(tmp_path: Path) -> None:
    new = tmp_path / "new"
    for words in (("up",), ("up", "--json"), ("token", "--creator", "c")):
        [(code, output, errors)] = side_by_side(
            (*words, "--data", str(new)), FANMEMORY_API_PORT="99999", FANMEMORY_WORKERS="2"
        )
        said = json.loads(output) if "--json" in words else None
        assert code == 1
        first = said["error"] if said else errors.removeprefix("error: ")
        assert first.startswith("FANMEMORY_API_PORT: ")
        assert "docs/operations.md" in (said["hint"] if said else errors)
    assert not new.exists()


def test_a_wrong_keyring_is_refused_without_being_repeated(tmp_path: Path) -> None:
    wrong = NOWHERE | SECRETS | {"FANMEMORY_KEYRING": "main:c2VjcmV0"}
    commands = (("context", "--creator", "c", "--fan", "f"), ("dlq", "--open"))
    for code, output, errors in side_by_side(*commands, FANMEMORY_DATA=str(tmp_path), **wrong):
        assert (code, output) == (1, "")
        assert errors.startswith("error: The keyring must be")
        assert "c2VjcmV0" not in errors


def test_a_short_token_secret_is_refused(tmp_path: Path) -> None:
    [(code, _, errors)] = side_by_side(
        ("token", "--creator", "c"), FANMEMORY_DATA=str(tmp_path), FANMEMORY_JWT_SECRET="short"
    )
    assert code == 1
    assert "FANMEMORY_JWT_SECRET" in errors
    assert "short" not in errors.replace("shorter", "").replace("too short", "")


def test_what_does_not_answer_is_one_sentence_and_no_traceback(tmp_path: Path) -> None:
    commands = (
        ("context", "--creator", "c", "--fan", "f"),
        ("emit", "-"),
        ("dlq",),
        ("topics", "list"),
        ("migrate",),
    )
    nowhere: dict[str, Any] = NOWHERE | SECRETS
    with ThreadPoolExecutor(3) as pool:
        ran = pool.map(
            lambda words: fanmemory(*words, stdin="{}", FANMEMORY_DATA=str(tmp_path), **nowhere),
            commands,
        )
    for words, one in zip(commands, ran, strict=True):
        said = [line for line in one.stderr.splitlines() if not line.startswith("publishing")]
        assert one.returncode == 1, words
        assert len([line for line in said if line.startswith("error: ")]) == 1, (words, said)
        assert "Traceback" not in one.stderr
        assert "hidden-word" not in one.stdout + one.stderr


def test_a_database_that_lets_nobody_in_is_said_without_its_address(
    demonstrated: Running, tmp_path: Path
) -> None:
    url = json.loads((demonstrated.data / "endpoints.json").read_text())["postgres_url"]
    head, _, tail = url.rpartition("/")
    wrong = {"FANMEMORY_POSTGRES_URL": f"{head}/no_such_database"}
    assert tail
    for code, _, errors in side_by_side(
        ("migrate",), ("context", "--creator", "c", "--fan", "f"),
        FANMEMORY_DATA=str(demonstrated.data), **wrong,
    ):  # fmt: skip
        assert code == 1
        assert errors.startswith("error: PostgreSQL has no database of the name in ")
        assert "Traceback" not in errors
        assert head not in errors


def test_an_unknown_fan_is_an_error_and_no_empty_page(demonstrated: Running) -> None:
    ran = demonstrated.run("context", "--creator", CREATOR, "--fan", "nobody")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: Fan not found")


# For machines.


def test_context_prints_the_public_document(demonstrated: Running) -> None:
    told = demonstrated.json("context", "--creator", CREATOR, "--fan", FAN)
    assert set(told) == CONTEXT_KEYS
    assert (told["fanId"], told["creatorId"]) == (FAN, CREATOR)


def test_token_topics_status_and_doctor_have_their_keys(demonstrated: Running) -> None:
    token = demonstrated.json("token", "--creator", "c", "--hours", "1")
    assert set(token) == {"token", "creatorId", "expiresInSeconds"}
    assert token["expiresInSeconds"] == 3600
    topics = demonstrated.json("topics", "list")
    assert [topic["name"] for topic in topics] == [topic.name for topic in TOPICS]
    assert all(
        set(topic) == {"name", "partitions", "replicas", "retentionMs", "differences"}
        for topic in topics
    )
    status = demonstrated.json("services", "status")
    assert set(status) == {"running", "pid", "endpoints"}
    doctor = demonstrated.json("doctor")
    assert set(doctor) == {"healthy", "findings"}
    assert doctor["healthy"]


def test_a_token_needs_no_running_system_once_its_secret_is_there(tmp_path: Path) -> None:
    (tmp_path / "jwt_secret").write_text("s" * 64)
    ran = fanmemory("token", "--creator", "c", "--data", str(tmp_path))
    assert ran.returncode == 0
    assert ran.stdout.count(".") == 2


def test_verify_finds_the_views_as_the_journal_has_them(demonstrated: Running) -> None:
    told = demonstrated.json("verify")
    assert told["found"] == 0
    assert told["differences"] == []
    assert told["fans"] >= 5


# For people.


def test_erasing_nobody_is_done_at_once_and_nobody_has_to_be_forgotten_again(
    demonstrated: Running,
) -> None:
    before = demonstrated.json("restore-check")
    erased = demonstrated.json("erase", "--creator", "a-creator", "--fan", "nobody")
    assert (erased["completed"], erased["held"], erased["waitsFor"]) == (True, False, [])
    assert demonstrated.json("restore-check") == before | {"toForget": 0}


def test_nothing_is_coloured_and_nothing_moves_in_a_pipe(demonstrated: Running) -> None:
    for words in (
        ("context", "--creator", CREATOR, "--fan", FAN),
        ("topics", "list"),
        ("doctor",),
    ):
        ran = demonstrated.run(*words)
        assert ran.returncode == 0, words
        assert "\x1b" not in ran.stdout + ran.stderr, words


@pytest.mark.parametrize("columns", [40, 100])
def test_a_context_fits_the_terminal(demonstrated: Running, columns: int) -> None:
    ran = demonstrated.run("context", "--creator", CREATOR, "--fan", FAN, COLUMNS=str(columns))
    lines = ran.stdout.splitlines()
    assert max(map(cell_len, lines)) == columns
    text = "".join(line.strip("│ ") for line in lines).replace(" ", "")
    assert "travelvideos" in text, "and its messages are whole"


async def test_what_a_fan_writes_is_never_read_as_markup(demonstrated: Running) -> None:
    await demonstrated.emit(
        {
            "eventId": "markup-1",
            "fanId": "[red]tricky[/]",
            "creatorId": CREATOR,
            "type": "message",
            "content": "[bold]see[/nothing] \x1b[31mred :smile:",
            "timestamp": "2024-05-01T10:00:00Z",
        }
    )
    words = ("context", "--creator", CREATOR, "--fan", "[red]tricky[/]")
    ran = demonstrated.run(*words, COLUMNS="120")
    assert "[red]tricky[/] with" in ran.stdout
    assert "[bold]see[/nothing]" in ran.stdout
    assert ":smile:" in ran.stdout
    assert "\x1b" not in ran.stdout, "a terminal would obey it"


async def test_a_context_shows_who_waits_what_was_said_and_the_notes(demonstrated: Running) -> None:
    about = {"fanId": "noted", "creatorId": CREATOR, "timestamp": "2024-05-01T10:00:00Z"}
    said, noted = "I live in Lisbon", "Prefers \x1b[31mevenings"
    await demonstrated.emit(
        about | {"eventId": "said", "type": "message", "content": said},
        about | {"eventId": "noted", "type": "note", "sender": "creator", "content": noted},
    )
    ran = demonstrated.run("context", "--creator", CREATOR, "--fan", "noted", COLUMNS="120")
    shown = {line.strip("│ ").partition("  ")[0]: line for line in ran.stdout.splitlines()}
    assert "since 2024-05-01 10:00 UTC, 1 unanswered" in shown["waits"]
    assert "place Lisbon" in shown["said"]
    assert "2024-05-01 10:00  Prefers \\x1b[31mevenings" in shown["notes"]
    assert "\x1b" not in ran.stdout
    ran = demonstrated.run("context", "--creator", CREATOR, "--fan", "[red]tricky[/]")
    assert "notes " not in ran.stdout


def test_a_reader_that_goes_away_is_no_error(demonstrated: Running) -> None:
    process = subprocess.Popen(
        [*COMMAND, "context", "--creator", CREATOR, "--fan", FAN],
        env=clean_environment(FANMEMORY_DATA=str(demonstrated.data)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(60)


def test_a_command_shown_for_copying_finds_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FANMEMORY_DATA", raising=False)
    assert data_words(tmp_path / ".fanmemory") == ""
    assert data_words(tmp_path / "my data") == f" --data '{tmp_path}/my data'"
    monkeypatch.setenv("FANMEMORY_DATA", "my data")
    assert data_words(tmp_path / "my data") == ""
