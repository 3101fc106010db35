"""`fanmemory connections`: the platforms whose webhooks are taken."""

import asyncio
import secrets
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra import migrations
from infra.postgres import connecting, database_errors
from infra.settings import Settings
from integrations.platforms import DELIVERING
from ops.cli import options, print_json
from ops.cli.imports import CREATOR, CURRENCY, MAPPING, ME, OPTION, ZONE
from ops.secrets import with_secrets
from ops.show import printable
from privacy.keys import Keyring
from stores import connections as stored
from stores.connections import Ways
from stores.migrate import MIGRATIONS

SECRET_LENGTH_MAX = 1000


@click.group()
def connections() -> None:
    """Look after the platforms whose webhooks are taken."""


@connections.command()
@click.option(
    "--platform",
    type=click.Choice(sorted(DELIVERING)),
    required=True,
    help="Which one delivers.",
)
@CREATOR
@click.option(
    "--secret-file",
    type=click.File("r", encoding="utf-8"),
    help="With the platform's signing secret; - reads stdin [default: one is made and shown].",
)
@ME
@ZONE
@CURRENCY
@MAPPING
@OPTION
@options.data
@options.as_json
def add(
    platform: str,
    creator: str,
    secret_file: Any,
    me: tuple[str, ...],
    zone: ZoneInfo,
    currency: str | None,
    mapping: Any,
    more: dict[str, str],
    data: Path,
    as_json: bool,
) -> None:
    """Take a platform's webhooks for a creator; prints the path to give to the platform.

    The secret is kept sealed under the keyring and is never shown again.
    """
    if platform == "generic" and mapping is None:
        raise click.UsageError("generic needs --mapping.")
    given = None if secret_file is None else secret_file.read(SECRET_LENGTH_MAX + 1).strip()
    if given is not None and not 0 < len(given) <= SECRET_LENGTH_MAX:
        raise click.UsageError(f"The secret must have 1 to {SECRET_LENGTH_MAX} characters.")
    secret = given if given is not None else secrets.token_urlsafe(32)
    settings = with_secrets(Settings(), data)
    keyring = Keyring.of(settings)
    ways = Ways(secret, me, zone.key, currency, more, mapping)
    id = asyncio.run(_with(settings, lambda db: stored.add(db, keyring, platform, creator, ways)))
    path = f"/api/webhooks/{platform}/{id}"
    told = {"connection": id, "platform": platform, "path": path}
    if as_json:
        print_json(told | ({"secret": secret} if given is None else {}))
        return
    click.echo(path)
    if given is None:
        click.echo(f"secret, shown only now: {secret}")


@connections.command("list")
@options.data
@options.as_json
def list_(data: Path, as_json: bool) -> None:
    """Show the connections, without their secrets."""
    settings = with_secrets(Settings(), data)
    found = asyncio.run(_with(settings, stored.list_all))
    told = [
        {
            "connection": one.id,
            "platform": one.platform,
            "creatorId": one.creator_id,
            "createdAt": one.created_at,
        }
        for one in found
    ]
    if as_json:
        print_json({"connections": told})
        return
    if not told:
        click.echo("no connections")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("connection", "platform", "creator", "since"):
        table.add_column(column, overflow="fold")
    for one in told:
        shown = (one["connection"], one["platform"], one["creatorId"], one["createdAt"][:19])
        table.add_row(*(Text(printable(text)) for text in shown))
    Console(highlight=False).print(table)


@connections.command()
@click.argument("connection")
@options.data
def remove(connection: str, data: Path) -> None:
    """Take no more of CONNECTION's deliveries; what it delivered stays."""
    settings = with_secrets(Settings(), data)
    if not asyncio.run(_with(settings, lambda db: stored.remove(db, connection))):
        click.echo("there is no such connection", err=True)
        sys.exit(1)
    click.echo("removed")


async def _with(settings: Settings, do: Any) -> Any:
    async with (
        database_errors(),
        connecting(settings.postgres_url, command_timeout=60) as connection,
    ):
        await migrations.check(connection, MIGRATIONS)
        return await do(connection)
