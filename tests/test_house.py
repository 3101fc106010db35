"""House rules that no linter knows."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from infra import logs
from schemas.topics import TOPICS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = tuple(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
TEXT_BYTES_MAX = 2_000_000
HERE = Path(__file__).relative_to(ROOT).as_posix()


def tracked() -> list[str]:
    """What git keeps; outside a working copy, what is in the rooms."""
    ran = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if ran.returncode == 0:
        return [name for name in ran.stdout.decode().split("\0") if name]
    folders = (*ROOMS, "tests", "docs", "deploy", "requirements")
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    return [path.relative_to(ROOT).as_posix() for path in paths if path.is_file()]


def texts() -> dict[str, str]:
    """The text of every file that has one."""
    found = {}
    for name in tracked():
        path = ROOT / name
        if not path.is_file() or path.stat().st_size > TEXT_BYTES_MAX:
            continue
        try:
            found[name] = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
    return found


TEXTS = texts()
SOURCES = {name: text for name, text in TEXTS.items() if name.endswith(".py")}
MODULES = sorted(
    name.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    for name in SOURCES
    if name.partition("/")[0] in ROOMS and not name.endswith("__main__.py")
)


def lines_with(pattern: str, files: dict[str, str]) -> list[str]:
    """`file:line` of every match, this file aside."""
    search = re.compile(pattern).search
    return [
        f"{name}:{number}"
        for name, text in files.items()
        if name != HERE
        for number, line in enumerate(text.splitlines(), 1)
        if search(line)
    ]


def test_nothing_names_this_machine_or_a_registry() -> None:
    assert TEXTS
    top = Path("/")
    beside = [ROOT] if ROOT.parent == top else list(ROOT.parent.iterdir())
    places = [place for place in (Path.home(), *beside) if place != top]
    names = (re.escape(str(place)) + r"\b" for place in places)
    pattern = "|".join((*names, r"index-url", r"\.pypi\."))
    assert lines_with(pattern, TEXTS) == []


def test_the_locks_pin_by_hash_and_name_no_host() -> None:
    locks = {name: text for name, text in TEXTS.items() if name.endswith(".lock")}
    assert len(locks) >= 4
    assert lines_with(r"://|--index|--find-links|--trusted", locks) == []
    for name, text in locks.items():
        if not name.startswith("requirements/"):
            continue
        pins = re.findall(r"^[a-z0-9][^\s\\]*==", text, re.MULTILINE)
        assert pins
        for part in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
            assert "--hash=sha256:" in part, (name, part.partition("\n")[0])


def test_the_locks_of_npm_pin_by_hash_name_no_registry_and_run_nothing() -> None:
    locks = [text for name, text in TEXTS.items() if Path(name).name == "package-lock.json"]
    assert locks
    for text in locks:
        packages = {path: one for path, one in json.loads(text)["packages"].items() if path}
        assert packages
        for path, one in packages.items():
            assert one["integrity"].startswith("sha512-"), path
            assert not {"resolved", "hasInstallScript"} & one.keys(), path


def test_nothing_is_left_to_be_done() -> None:
    assert lines_with(r"\b(TODO|FIXME|XXX|HACK)\b", TEXTS) == []


def test_no_error_is_swallowed_unseen() -> None:
    found = []
    for name, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            silent = all(isinstance(step, ast.Pass | ast.Continue) for step in node.body)
            if broad and silent:
                found.append(f"{name}:{node.lineno}")
    assert found == []


def test_every_module_says_what_it_is_for() -> None:
    empty = [
        name
        for name, text in SOURCES.items()
        if text.strip() and not ast.get_docstring(ast.parse(text))
    ]
    assert empty == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_map_of_a_room_names_every_module_of_it(room: str) -> None:
    map_ = ast.get_docstring(ast.parse(TEXTS[f"{room}/__init__.py"])) or ""
    inside = {name.split("/")[1].removesuffix(".py") for name in SOURCES if name.startswith(room)}
    missing = {name for name in inside - {"__init__"} if not re.search(rf"\b{name}\b", map_)}
    assert missing == {name for name in missing if name.startswith("_")}


def test_every_exception_from_a_rule_says_which() -> None:
    assert lines_with(r"#\s*(type: ignore|noqa)(?![\[:])", SOURCES) == []


def test_every_list_of_the_rooms_names_them_all() -> None:
    tools = PROJECT["tool"]
    (layers,) = (one for one in tools["importlinter"]["contracts"] if one["type"] == "layers")
    layered = {room.strip() for layer in layers["layers"] for room in layer.split("|")}
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms == set(ROOMS) == layered == set(logs.ROOMS)
    assert rooms == set(tools["importlinter"]["root_packages"])
    assert rooms <= set(tools["mypy"]["files"])


def test_every_field_given_to_a_log_line_is_let_through_and_every_such_field_is_used() -> None:
    used = set()
    for name, text in SOURCES.items():
        if name.partition("/")[0] not in ROOMS:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.keyword) and node.arg == "extra" and _is_logged(node):
                assert isinstance(node.value, ast.Dict), f"{name}:{node.value.lineno} is no literal"
                for key in node.value.keys:
                    assert isinstance(key, ast.Constant), f"{name}:{node.value.lineno}"
                    used.add(key.value)
    assert used == set(logs.FIELDS)


def _is_logged(keyword: ast.keyword) -> bool:
    """`extra="ignore"` is pydantic's."""
    return not isinstance(keyword.value, ast.Constant)


def test_every_query_that_is_named_stands_in_a_file_and_every_query_is_used() -> None:
    """What holds queries is called `…queries` or `…SQL` everywhere."""
    named = {
        query
        for name, text in TEXTS.items()
        if name.endswith(".sql")
        for query in re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)
    }
    used = {}
    for name, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and re.search(
                r"(queries|(\b|_)sql)(\([^()]*\))?$", ast.unparse(node.value), re.IGNORECASE
            ):
                used[node.attr] = f"{name}:{node.lineno}"
    assert {query: place for query, place in used.items() if query not in named} == {}
    assert named - set(used) == set()


def test_every_query_has_a_line_that_says_what_it_is_for() -> None:
    missing = [
        f"{name}: {query}"
        for name, text in TEXTS.items()
        if name.endswith(".sql")
        for line, query in re.findall(r"^(.*)\n-- name: (\w+)$", "\n" + text, re.MULTILINE)
        if not re.match(r"-- \S.*[.:;,\w)`]$", line)
    ]
    assert missing == []


HANDS_ON = {"ops/services/process.py", "ops/supervisor.py"}
"""What gives a child process its environment."""


def test_only_the_settings_read_the_environment() -> None:
    rooms = {name: text for name, text in SOURCES.items() if name.partition("/")[0] in ROOMS}
    readers = {where.partition(":")[0] for where in lines_with(r"os\.(environ|getenv)", rooms)}
    assert readers <= HANDS_ON | {"infra/settings.py"}


def test_no_error_is_answered_with_a_pause_but_in_the_module_that_bounds_pauses() -> None:
    """`infra.retry` grows, spreads and bounds them; the fault suite waits as it pleases."""
    found = [
        f"{name}:{node.lineno}"
        for name, text in SOURCES.items()
        if (room := name.partition("/")[0]) in ROOMS and room != "lab"
        for handler in ast.walk(ast.parse(text))
        if isinstance(handler, ast.ExceptHandler)
        for node in ast.walk(handler)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("asyncio.sleep", "time.sleep")
    ]
    assert found == []


def test_topics_are_named_in_one_place() -> None:
    # A column of `position` has that name, too.
    names = {topic.name for topic in TOPICS} - {"erasures"}
    found = []
    for name, text in SOURCES.items():
        room = name.partition("/")[0]
        if room not in ROOMS or room in ("schemas", "infra", "analysis"):
            continue
        docstrings = _docstrings(ast.parse(text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                where = (node.lineno, node.col_offset)
                if node.value in names and where not in docstrings:
                    found.append(f"{name}:{node.lineno}")
    assert found == []


def test_sql_stands_in_named_queries() -> None:
    """In the `.sql` files; the fault suite breaks databases by hand, with statements of its own."""
    statement = re.compile(
        r"\s*(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM|CREATE|ALTER|DROP|LOCK TABLE) ?\b.*\S"
    )
    found = [
        f"{name}:{node.lineno}"
        for name, text in SOURCES.items()
        if (room := name.partition("/")[0]) in ROOMS and room != "lab"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and statement.match(node.value)
    ]
    assert found == []


def _docstrings(tree: ast.AST) -> set[tuple[int, int]]:
    return {
        (node.value.lineno, node.value.col_offset)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


GUARD = """
import builtins, importlib, json, os, socket, subprocess, sys, tempfile, threading

sys.dont_write_bytecode = True
done = []

def watch(event, args):
    if not done:
        return
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        raise RuntimeError(f"opens {args[0]} for writing")
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
        if args[0] != os.devnull:
            raise RuntimeError(f"opens {args[0]} for writing")
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen",
                 "os.mkdir", "os.remove", "os.rename", "os.kill", "os.fork", "os.exec"):
        raise RuntimeError(event)

sys.addaudithook(watch)
wrong = {}
before = threading.active_count()
for name in json.loads(sys.argv[1]):
    done.append(name)
    try:
        importlib.import_module(name)
    except RuntimeError as error:
        wrong[name] = str(error)
    done.clear()
    if threading.active_count() > before:
        wrong[name] = "starts a thread"
        before = threading.active_count()
print(json.dumps(wrong))
"""


def test_importing_a_module_does_nothing_else() -> None:
    """No file written, no socket, no process, no thread; nor by what it imports."""
    ran = subprocess.run(
        [sys.executable, "-c", GUARD, json.dumps(MODULES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {}
    assert len(MODULES) > 50


@pytest.mark.parametrize("script", [name for name in TEXTS if name in (".ci/run",)])
def test_what_decides_stops_at_the_first_failure(script: str) -> None:
    assert "set -euo pipefail" in TEXTS[script]
    assert TEXTS[script].rstrip().endswith("make test")


def test_what_shares_a_fixture_runs_in_one_process(request: pytest.FixtureRequest) -> None:
    """pytest-xdist tells its groups by the ends of node ids: a pytest that makes these in another
    way would start the services of a module in each process, without a word."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith(f"@{request.path}")
