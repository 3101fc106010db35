"""`fanmemory emit`: publish InteractionEvents from a file."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admin.accounting import wait_until_folded
from admin.emit import Emitted, shifted, to_now_ms
from admin.emit import emit as publish
from admin.judging import Judge
from admin.reading import read_values
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.secrets import with_secrets
from ops.services import discover
from stores.opened import open_stores

STANDSTILL_SECONDS_MAX: Final = 30.0
"""With --wait: how long nothing may move before it is an error."""


@click.command()
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0.1),
    help="Events per second [default: as fast as possible].",
)
@click.option("--now", is_flag=True, help="Shift the times so that the newest one is now.")
@click.option("--wait", is_flag=True, help="Return when all of it is in the views.")
@options.data
@options.as_json
def emit(file: Path, rate: float | None, now: bool, wait: bool, data: Path, as_json: bool) -> None:
    """Publish the InteractionEvents of FILE: JSON lines, an array, or any JSON; - reads stdin.

    FILE may be compressed by gzip or zstd, and be UTF-8 or UTF-16. What will be refused is
    published too, and kept as a dead letter; it is counted by its reason, and the exit code is 1.
    """
    settings = discover.with_kafka(data, Settings())
    file = options.source(file)
    again = file.is_file()  # a pipe can be read only once
    if now and not again:
        raise click.UsageError("--now has to read a file twice, and a pipe can't be.")
    total = sum(1 for _ in read_values(file)) if again else None
    lines = read_values(file)
    if now:
        lines = shifted(lines, to_now_ms(read_values(file)))
    judge = Judge(settings.currency)
    with Bar("publishing", hidden=as_json) as bar:
        bar.begin(total)
        result = asyncio.run(publish(settings, judge.watch(lines), rate=rate, progress=bar.advance))
    if wait:
        asyncio.run(_visible(with_secrets(Settings(), data)))
    _report(result, judge, as_json)
    sys.exit(bool(judge.refused or result.too_long))


async def _visible(settings: Settings) -> None:
    async with open_stores(settings) as stores:
        await wait_until_folded(stores.store, settings, 0, STANDSTILL_SECONDS_MAX)


def _report(result: Emitted, judge: Judge, as_json: bool) -> None:
    per_second = result.sent / result.seconds if result.seconds else 0.0
    if as_json:
        print_json(
            {
                "sent": result.sent,
                "tooLong": result.too_long,
                "refused": [
                    {"field": field, "reason": reason, "count": count}
                    for (field, reason), count in judge.refused.most_common()
                ],
                "seconds": round(result.seconds, 3),
                "eventsPerSecond": round(per_second, 1),
            }
        )
        return
    click.echo(f"{result.sent:,} events in {result.seconds:.1f} s ({per_second:,.0f}/s)")
    if result.too_long:
        click.echo(f"left out, too long for Kafka: {result.too_long:,}", err=True)
    if judge.refused:
        _show_refused(judge)


def _show_refused(judge: Judge) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("refused", justify="right")
    table.add_column("field")
    table.add_column("why", overflow="fold")
    for (field, reason), count in judge.refused.most_common():
        table.add_row(f"{count:,}", Text(field), Text(reason))
    console = Console(stderr=True, highlight=False)
    console.print(table)
    console.print(Text("They are kept as dead letters: `fanmemory dlq --open` shows them.", "dim"))
