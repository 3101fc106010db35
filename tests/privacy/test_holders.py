"""Every place that could hold something of a fan is listed, once."""

import re
from pathlib import Path

import pytest

from ops.services import ADAPTERS
from privacy.holders import HOLDERS, WITHOUT_FANS, Kind
from schemas.topics import TOPICS

ROOT = Path(__file__).parents[2]
ROOMS = ("admin", "api", "infra", "integrations", "lab", "llm", "ops", "privacy", "stores")
SCHEMA = (ROOT / "stores" / "schema.sql").read_text()
LUA = (ROOT / "stores" / "lua" / "cache.lua").read_text()


def _tables() -> dict[str, str]:
    """Name -> definition of every table; those of a generation without their schema."""
    found = re.findall(r"^CREATE TABLE (?:g1\.)?(\w+) \((.*?)^\)", SCHEMA, re.M | re.S)
    return dict(found)


def _folders() -> set[str]:
    """Of the data directory, and temporary ones."""
    sources = [path.read_text() for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    made = {name for text in sources for name in re.findall(r'Directory\(\s*prefix="([^"]+)', text)}
    return made | {*ADAPTERS, "logs"}


def _holding(kind: Kind) -> set[str]:
    return {one.name for one in HOLDERS if one.kind == kind}


THERE: dict[Kind, set[str]] = {
    "table": set(_tables()),
    "cache": set(re.findall(r"args\[1\] \.\. '(\w+:?)'", LUA)),
    "topic": {topic.name for topic in TOPICS},
    "folder": _folders(),
}


@pytest.mark.parametrize("kind", THERE)
def test_every_place_is_listed_once_and_no_other(kind: Kind) -> None:
    holding, without = _holding(kind), set(WITHOUT_FANS[kind])

    assert holding | without == THERE[kind], "list it in privacy/holders.py"
    assert not holding & without
    assert len(holding) == sum(one.kind == kind for one in HOLDERS)


def test_every_table_with_a_subject_is_a_holder() -> None:
    with_subject = {
        name for name, columns in _tables().items() if re.search(r"^ +subject ", columns, re.M)
    }

    assert {"subject", "fan_state", "interaction", "quarantine", "outbox_record"} <= with_subject
    assert with_subject <= _holding("table")


def test_kinds_of_keys_are_found_where_they_are_made() -> None:
    """Python names keys too: no kind that the functions don't know."""
    made = {
        name
        for path in (ROOT / "stores").glob("*.py")
        for name in re.findall(r'prefix \+ b"(\w+:?)', path.read_text())
    }

    assert made <= THERE["cache"]


def test_what_is_named_is_said_of_each() -> None:
    for one in HOLDERS:
        assert one.holds and one.kept and one.erasure
