"""`fanmemory keys`: what an operator does with the keys of fans."""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

import click

from infra import migrations
from infra.postgres import connecting, database_errors
from infra.settings import Settings
from ops.cli import options, print_json
from ops.secrets import with_secrets
from privacy.binding import Bound
from privacy.binding import bind as bind_keys
from privacy.keys import Keyring
from stores.migrate import MIGRATIONS

SHOWN_MAX = 20


@click.group()
def keys() -> None:
    """Look after the keys of fans."""


@keys.command()
@options.data
@options.as_json
def bind(data: Path, as_json: bool) -> None:
    """Bind every fan's key to its creator and fan, for a database of a former release.

    Run it once, when no process of the former release is left: those can't open bound keys.
    Everything may run meanwhile; interrupted, run it again. Afterwards an unbound key opens
    nothing. Exit code 1 when some keys open for no relationship.
    """
    settings = with_secrets(Settings(), data)
    done = asyncio.run(_bind(settings, quiet=as_json))
    broken = [str(UUID(bytes=subject)) for subject in done.broken]
    if as_json:
        print_json({"bound": done.bound, "broken": broken})
    else:
        click.echo(f"{done.bound:,} keys were bound; from now on an unbound one opens nothing")
        for subject in broken[:SHOWN_MAX]:
            click.echo(f"subject {subject}: its wrapped key was altered and opens nothing")
        if len(broken) > SHOWN_MAX:
            click.echo(f"… and {len(broken) - SHOWN_MAX:,} more (see --json)")
    sys.exit(bool(broken))


async def _bind(settings: Settings, *, quiet: bool) -> Bound:
    def progress(bound: int) -> None:
        if not quiet:
            click.echo(f"{bound:,} bound", err=True)

    keyring = Keyring.of(settings)
    async with (
        database_errors(),
        connecting(settings.postgres_url, command_timeout=600) as connection,
    ):
        await migrations.check(connection, MIGRATIONS)
        return await bind_keys(connection, keyring, progress=progress)
