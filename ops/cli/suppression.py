"""`fanmemory suppression`: fans who asked that nothing more be remembered of them."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from infra.postgres import Pool
from ops.cli import options, pooled, print_json
from privacy.keys import Keyring
from schemas.relationship import Relationship, check_id
from schemas.times import from_datetime, render_time
from stores import suppression as stored

_Do = Callable[[Pool, Keyring, Relationship], Awaitable[Any]]


@click.group()
def suppression() -> None:
    """Say of whom nothing more is to be remembered."""


@suppression.command()
@options.fan
@options.data
@options.as_json
def put(creator: str, fan: str, data: Path, as_json: bool) -> None:
    """Take nothing more of a fan: events are counted and dropped, without a copy.

    What is remembered already stays, until it is erased.
    """
    _tell(_ask(data, creator, fan, stored.put), as_json)


@suppression.command()
@options.fan
@options.data
@options.as_json
def lift(creator: str, fan: str, data: Path, as_json: bool) -> None:
    """Take a fan's events again; what came meanwhile is gone."""
    _ask(data, creator, fan, stored.lift)
    _tell(None, as_json)


@suppression.command()
@options.fan
@options.data
@options.as_json
def show(creator: str, fan: str, data: Path, as_json: bool) -> None:
    """Say whether a fan is suppressed, and since when. Nobody can list who is."""
    _tell(_ask(data, creator, fan, stored.since), as_json)


def _ask(data: Path, creator: str, fan: str, do: _Do) -> Any:
    who = check_id("creatorId", creator), check_id("fanId", fan)
    return pooled.run(data, lambda settings, pool: do(pool, Keyring.of(settings), who))


def _tell(since: Any, as_json: bool) -> None:
    at = None if since is None else render_time(from_datetime(since))
    if as_json:
        print_json({"suppressed": at is not None, "since": at})
    else:
        click.echo("not suppressed" if at is None else f"suppressed since {at}")
