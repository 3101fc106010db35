"""`fanmemory export`: everything that is remembered of one fan, for the fan."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click

from admin.export import as_json, as_page
from infra.clock import now_ms
from infra.settings import Settings
from ops.cli import options
from ops.secrets import with_secrets
from schemas.relationship import Relationship, check_id
from stores.export import exported
from stores.opened import open_stores


@click.command()
@options.fan
@click.option("--html", is_flag=True, help="One page to be read, without scripts, instead of JSON.")
@click.option(
    "--output",
    type=click.File("wb", lazy=True),
    default="-",
    help="Where to [default: standard output].",
)
@options.data
def export(creator: str, fan: str, html: bool, output: Any, data: Path) -> None:
    """Write everything that is remembered of a fan with a creator: personal data.

    Every interaction, every view and what it came from, what the assistant was asked and drafted,
    who decided, what it cost, and whether the fan is suppressed.
    """
    who = check_id("creatorId", creator), check_id("fanId", fan)
    asyncio.run(_write(with_secrets(Settings(), data), who, html, output))


async def _write(settings: Settings, who: Relationship, html: bool, output: Any) -> None:
    async with open_stores(settings, connections_max=3) as stores:
        parts = exported(settings, stores.pool, stores.keyring, who, now_ms())
        async with aclosing(parts):
            async for piece in (as_page if html else as_json)(parts):
                output.write(piece)
