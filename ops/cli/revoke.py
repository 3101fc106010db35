"""`fanmemory revoke`: end tokens before they expire."""

import asyncio
from pathlib import Path

import click

from infra import migrations
from infra.postgres import connecting
from infra.settings import Settings
from ops.cli import options
from ops.secrets import with_secrets
from schemas.errors import InvalidInput
from stores import revocations
from stores.migrate import MIGRATIONS

LENGTH_MAX = 255


@click.command()
@click.option("--id", "token_id", help="The token's own id (jti): that token.")
@click.option("--user", help="A user's id (sub): all tokens that they were issued until now.")
@options.data
def revoke(token_id: str | None, user: str | None, data: Path) -> None:
    """End one token, or all of a user's; each API process knows it within about a second."""
    if (token_id is None) == (user is None):
        raise click.UsageError("Name a token by --id, or a user by --user.")
    id = user if token_id is None else token_id
    if id is None or not 0 < len(id) <= LENGTH_MAX:
        raise InvalidInput("--id" if user is None else "--user", f"1 to {LENGTH_MAX} characters")
    what: revocations.What = "user" if token_id is None else "token"
    asyncio.run(_revoke(with_secrets(Settings(), data), what, id))
    click.echo("revoked")


async def _revoke(settings: Settings, what: revocations.What, id: str) -> None:
    async with connecting(settings.postgres_url) as connection:
        await migrations.check(connection, MIGRATIONS)
        await revocations.revoke(connection, what, id)
