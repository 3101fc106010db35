"""`fanmemory context`: what is remembered of one fan, straight from Postgres."""

import asyncio
from pathlib import Path

import click
import msgspec
from rich.console import Console

from infra.clock import now_ms
from infra.settings import Settings
from ops.cli import options
from ops.secrets import with_secrets
from ops.show import show_context
from schemas.context import MemoryContext
from schemas.errors import FanNotFound
from stores.opened import open_stores
from views.context import render_context


@click.command()
@options.fan
@options.data
@options.as_json
def context(creator: str, fan: str, data: Path, as_json: bool) -> None:
    """Print everything that is remembered of a fan with a creator."""
    document = asyncio.run(_read(with_secrets(Settings(), data), creator, fan))
    if as_json:
        click.echo(msgspec.json.encode(document))
    else:
        Console().print(show_context(document))


async def _read(settings: Settings, creator: str, fan: str) -> MemoryContext:
    async with open_stores(settings) as stores:
        remembered = await stores.store.read(creator, fan)
    if remembered is None:
        raise FanNotFound
    now = now_ms()
    return render_context(
        creator,
        fan,
        remembered.state,
        remembered.entries,
        now,
        settings.currency,
        remembered.notes,
        remembered.telling,
    )
