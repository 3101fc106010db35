"""`fanmemory topics`: list what there is, create what is missing, check and repair what differs."""

import asyncio
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from admin import topics as cluster
from admin.topics import Difference, TopicState
from infra.postgres import connecting, database_errors
from infra.settings import Settings
from ops.cli import options, print_json
from ops.services import discover
from schemas.times import DAY_MS
from schemas.topics import INTERACTIONS, UNLIMITED
from stores import positions
from stores.generations import INTAKE_GENERATION


def _settings(data: Path) -> Settings:
    return discover.with_kafka(data, Settings())


@click.group()
def topics() -> None:
    """List, create, check and repair the topics."""


@topics.command(name="list")
@options.data
@options.as_json
def list_(data: Path, as_json: bool) -> None:
    """Show every topic with what it carries."""
    states = asyncio.run(cluster.check(_settings(data)))
    if as_json:
        print_json([_as_dict(state) for state in states])
        return
    table = Table(box=None, pad_edge=False)
    for column in ("topic", "partitions", "replicas", "kept"):
        table.add_column(column, no_wrap=True)
    table.add_column("key → value", overflow="fold")
    for state in states:
        topic = state.topic
        there = str(state.partitions) if state.partitions else "missing"
        carries = f"{topic.key} → {topic.value}"
        table.add_row(topic.name, there, str(state.replicas), _kept(state), carries)
    Console().print(table)


@topics.command()
@options.data
@options.as_json
def create(data: Path, as_json: bool) -> None:
    """Create the topics that are missing; one that exists is never changed."""
    created = asyncio.run(cluster.create(_settings(data)))
    if as_json:
        print_json({"created": created})
    else:
        click.echo("\n".join(f"created {name}" for name in created) or "nothing is missing")


@topics.command()
@options.data
@options.as_json
def check(data: Path, as_json: bool) -> None:
    """Compare the cluster with what the topics must be. Exit code 1 when something differs."""
    states = asyncio.run(cluster.check(_settings(data)))
    differences = [difference for state in states for difference in state.differences]
    if as_json:
        print_json([_as_dict(state) for state in states])
    else:
        for difference in differences:
            click.echo(
                f"{difference.topic}: {difference.what} is {difference.is_},"
                f" should be {difference.should_be}.\n  → {difference.advice}"
            )
        if not differences:
            click.echo(f"{len(states)} topics are as they must be")
    sys.exit(bool(differences))


@topics.command()
@options.data
@options.as_json
def repair(data: Path, as_json: bool) -> None:
    """Set the configuration of existing topics to what it must be; `check` says what differs.

    A shorter retention deletes what is older. Partition counts stay. Exit code 1 when something
    still differs.
    """
    settings = _settings(data)
    repaired = asyncio.run(cluster.repair(settings))
    left = [
        difference
        for state in asyncio.run(cluster.check(settings))
        for difference in state.differences
    ]
    if as_json:
        print_json({"repaired": list(map(_changed, repaired)), "left": list(map(_changed, left))})
    else:
        for one in repaired:
            click.echo(f"{one.topic}: {one.what} was {one.is_}, is {one.should_be}")
        if not repaired:
            click.echo("nothing is to be repaired")
        for one in left:
            click.echo(f"{one.topic}: {one.what} is {one.is_}, should be {one.should_be}.")
            click.echo(f"  → {one.advice}")
    sys.exit(bool(left))


@topics.command()
@options.data
@options.as_json
def trim(data: Path, as_json: bool) -> None:
    """Delete what ingest has read of `interactions` now, and not only when its 3 days are over.

    That topic holds what was sent in clear. The journal has all of it, sealed; but should the
    journal lose its tail, what was trimmed can't be written there again.
    """
    settings = _settings(data)
    url = discover.postgres_url(data, settings)
    trimmed = asyncio.run(_trim(settings.model_copy(update={"postgres_url": url})))
    if as_json:
        print_json({"deleted": sum(trimmed.values()), "partitions": trimmed})
    else:
        click.echo(f"{sum(trimmed.values()):,} records deleted of {INTERACTIONS.name}")


async def _trim(settings: Settings) -> dict[int, int]:
    async with connecting(settings.postgres_url) as connection, database_errors():
        known = await positions.rows(connection, INTAKE_GENERATION, INTERACTIONS.name)
    return await cluster.trim(settings, {row.partition: row.next for row in known.values()})


def _changed(difference: Difference) -> dict[str, str]:
    return {
        "topic": difference.topic,
        "what": difference.what,
        "is": difference.is_,
        "shouldBe": difference.should_be,
    }


def _kept(state: TopicState) -> str:
    if state.topic.retention_ms == UNLIMITED:
        return "unlimited"
    days = state.topic.retention_ms / DAY_MS
    return "1 day" if days == 1 else f"{days:g} days"


def _as_dict(state: TopicState) -> dict[str, object]:
    return {
        "name": state.topic.name,
        "partitions": state.partitions,
        "replicas": state.replicas,
        "retentionMs": state.topic.retention_ms,
        "differences": [
            {"what": d.what, "is": d.is_, "shouldBe": d.should_be, "advice": d.advice}
            for d in state.differences
        ],
    }
