"""A log that lacks something, as its operator meets it: the doctor says so, accept-loss goes on."""

import json
from subprocess import CompletedProcess
from typing import Any

from infra.postgres import connecting
from infra.settings import Settings
from ops.system import environment
from schemas.topics import JOURNAL
from stores import log_breaks
from stores.log_breaks import Lost
from tests.cli import fanmemory

PARTITION = 2
LOST = Lost(JOURNAL.name, PARTITION, "the log ends before the position", 5, 9, 5)


async def stop_partition(settings: Settings) -> None:
    """As a worker leaves it, whose journal lost what no other log has."""
    async with connecting(settings.postgres_url) as connection:
        await connection.execute(
            "INSERT INTO position (generation, topic, partition, next, epoch)"
            " SELECT generation, $1, $2, 9, 1 FROM generation WHERE status = 'live'",
            JOURNAL.name,
            PARTITION,
        )
        await log_breaks.record_stopped(connection, LOST)


def run(settings: Settings, *words: str) -> CompletedProcess[str]:
    return fanmemory(*words, cwd=None, stdin=None, **environment(settings))


def finding(settings: Settings, check: str) -> dict[str, Any]:
    ran = run(settings, "doctor", "--json")
    (found,) = [one for one in json.loads(ran.stdout)["findings"] if one["check"] == check]
    return dict(found)


async def test_a_stopped_partition_is_a_problem_until_its_loss_is_accepted(
    settings: Settings,
) -> None:
    assert finding(settings, "logs")["verdict"] == "ok"
    await stop_partition(settings)
    problem = finding(settings, "logs")
    assert problem["verdict"] == "problem"
    assert "journal-2" in problem["saw"]
    assert "offsets 5 to 8 are missing" in problem["saw"]
    assert f"fanmemory accept-loss journal {PARTITION}" in problem["advice"]

    words = ("accept-loss", "journal", str(PARTITION), "--by", "maya")
    ran = run(settings, *words)
    assert ran.returncode == 0, ran.stderr
    assert "offsets 5 to 8 are missing; given up by maya, reading on from 5." in ran.stdout
    async with connecting(settings.postgres_url) as connection:
        (row,) = await connection.fetch("SELECT * FROM log_break")
        position = await connection.fetchrow(
            "SELECT next, epoch FROM position WHERE topic = $1", JOURNAL.name
        )
    assert (row["status"], row["settled_by"]) == ("accepted", "maya")
    assert position is not None
    assert (position["next"], position["epoch"]) == (5, 2)

    again = run(settings, *words)
    assert again.returncode == 1
    assert "does not wait for you" in again.stderr


async def test_a_position_beyond_its_log_is_a_problem(settings: Settings) -> None:
    async with connecting(settings.postgres_url) as connection:
        await connection.execute(
            "INSERT INTO position (generation, topic, partition, next) VALUES (0, $1, 1, 7)",
            "interactions",
        )
    problem = finding(settings, "logs")
    assert problem["verdict"] == "problem"
    assert "interactions-1 ends 7 records before the position" in problem["saw"]


async def test_only_a_log_that_is_read_from_a_position_can_be_given_up(settings: Settings) -> None:
    ran = run(settings, "accept-loss", "memory-updates", "0", "--json")
    assert ran.returncode == 1
    assert "is not read from a position" in ran.stdout + ran.stderr
