"""`fanmemory sweep`: erase whom a creator's retention names."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from admin.sweep import Swept, proofs
from admin.sweep import sweep as sweep_now
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.secrets import with_secrets
from schemas.receipts import SignedReceipt


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@click.option(
    "--receipts",
    type=click.File("wb", lazy=True),
    help="Write the receipt of each erasure, one a line.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=60.0,
    show_default=True,
    help="With --receipts: seconds for the erasures to be completed.",
)
@options.data
@options.as_json
def sweep(dry_run: bool, receipts: Any, wait: float, data: Path, as_json: bool) -> None:
    """Erase the fans who have been silent for longer than their creator keeps them.

    `fanmemory up` does it once a day; elsewhere let a timer do it. Exit code 1 when --receipts
    lacks one that is not completed yet, or another sweep is under way.
    """
    settings = with_secrets(Settings(), data)
    done, signed, missing = asyncio.run(
        _sweep(settings, dry_run, None if receipts is None else wait, hidden=as_json)
    )
    for one in signed:
        receipts.write(msgspec.json.encode(one) + b"\n")
    if as_json:
        told = {"rules": done.rules, "fans": done.fans, "erased": not dry_run, "busy": done.busy}
        print_json(told | {"receipts": len(signed), "receiptsMissing": missing})
    elif done.busy:
        click.echo("another sweep is under way")
    else:
        verb = "would be" if dry_run else "were"
        click.echo(f"{done.fans:,} fans {verb} erased, by the rules of {done.rules:,} creators")
        if missing:
            click.echo(
                f"{missing:,} are not completed yet: `fanmemory receipt show` has them later"
            )
    sys.exit(bool(missing or done.busy))


async def _sweep(
    settings: Settings, dry_run: bool, wait: float | None, *, hidden: bool
) -> tuple[Swept, list[SignedReceipt], int]:
    with Bar("sweeping", hidden=hidden) as bar:
        bar.begin(None)
        done = await sweep_now(settings, dry_run=dry_run, progress=bar.advance)
    if wait is None or not done.erasures:
        return done, [], 0
    return done, *await proofs(settings, done.erasures, wait)
