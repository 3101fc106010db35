"""`fanmemory sweep`: erase and forget what a creator's retention names."""

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
    help="Write the receipt of each erasure and forgetting, one a line.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=60.0,
    show_default=True,
    help="With --receipts: seconds for all of them to be completed.",
)
@options.data
@options.as_json
def sweep(dry_run: bool, receipts: Any, wait: float, data: Path, as_json: bool) -> None:
    """Erase the fans who have been silent for longer than their creator keeps them, and forget
    the events that are older than their creator keeps events.

    `fanmemory up` does it once a day; elsewhere let a timer do it. Exit code 1 when --receipts
    lacks one that is not completed yet, when another sweep is under way, and when the workers are
    away or behind, so that the next one has to go on.
    """
    settings = with_secrets(Settings(), data)
    done, signed, missing = asyncio.run(
        _sweep(settings, dry_run, None if receipts is None else wait, hidden=as_json)
    )
    for one in signed:
        receipts.write(msgspec.json.encode(one) + b"\n")
    if as_json:
        told = {"rules": done.rules, "fans": done.fans, "shortened": done.shortened}
        told |= {"erased": not dry_run, "busy": done.busy, "behind": done.behind}
        print_json(told | {"receipts": len(signed), "receiptsMissing": missing})
    elif done.busy:
        click.echo("another sweep is under way")
    else:
        verb = "would be" if dry_run else "were"
        click.echo(
            f"{done.fans:,} fans {verb} erased, the history of {done.shortened:,} {verb} shortened,"
            f" by the rules of {done.rules:,} creators"
        )
        if done.behind:
            click.echo("the workers are away or behind: the next sweep goes on")
        if missing:
            click.echo(
                f"{missing:,} are not completed yet: `fanmemory receipt show` has them later"
            )
    sys.exit(bool(missing or done.busy or done.behind))


async def _sweep(
    settings: Settings, dry_run: bool, wait: float | None, *, hidden: bool
) -> tuple[Swept, list[SignedReceipt], int]:
    with Bar("sweeping", hidden=hidden) as bar:
        bar.begin(None)
        done = await sweep_now(settings, dry_run=dry_run, progress=bar.advance)
    if wait is None or not done.begun:
        return done, [], 0
    return done, *await proofs(settings, done.begun, wait)
