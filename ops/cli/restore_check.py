"""`fanmemory restore-check`: whom a restored database would have to forget."""

import asyncio
import sys
from pathlib import Path

import click

from admin.ledger import Behind, behind
from infra.postgres import connecting
from infra.settings import Settings
from ops.cli import options, print_json
from ops.services import discover


@click.command("restore-check")
@options.data
@options.as_json
def restore_check(data: Path, as_json: bool) -> None:
    """Compare a restored database with the ledger of erasures, before anything else is started.

    Changes nothing: whom it names is erased again by the first worker, before it folds anything,
    and by the API, before it serves. Exit code 1 when there is somebody.
    """
    settings = discover.with_kafka(data, Settings())
    settings = settings.model_copy(update={"postgres_url": discover.postgres_url(data, settings)})
    found = asyncio.run(_compare(settings))
    left = len(found.subjects) + len(found.forgetting)
    if as_json:
        print_json({"ledger": found.read, "toForget": left})
    else:
        click.echo(
            f"{found.read:,} records of the ledger; {left:,} fans have to be forgotten again,"
        )
        click.echo("whole or in part")
    sys.exit(bool(left))


async def _compare(settings: Settings) -> Behind:
    async with connecting(settings.postgres_url, command_timeout=60) as connection:
        return await behind(settings, connection, whole=True)
