"""`fanmemory emit`: publish InteractionEvents from a file."""

import asyncio
from pathlib import Path
from typing import Final

import click

from admin.emit import Emitted, read_lines, shifted, to_now_ms
from admin.emit import emit as publish
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.services import discover

STDIN: Final = Path("/dev/stdin")


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
@options.data
@options.as_json
def emit(file: Path, rate: float | None, now: bool, data: Path, as_json: bool) -> None:
    """Publish the InteractionEvents of FILE (.jsonl or .jsonl.gz), one a line; - reads stdin."""
    settings = discover.with_kafka(data, Settings())
    if str(file) == "-":
        file = STDIN
    again = file.is_file()  # a pipe can be read only once
    if now and not again:
        raise click.UsageError("--now has to read a file twice, and a pipe can't be.")
    total = sum(1 for _ in read_lines(file)) if again else None
    lines = read_lines(file)
    if now:
        lines = shifted(lines, to_now_ms(read_lines(file)))
    with Bar("publishing", hidden=as_json) as bar:
        bar.begin(total)
        result = asyncio.run(publish(settings, lines, rate=rate, progress=bar.advance))
    _report(result, as_json)


def _report(result: Emitted, as_json: bool) -> None:
    per_second = result.sent / result.seconds if result.seconds else 0.0
    if as_json:
        print_json(
            {
                "sent": result.sent,
                "tooLong": result.too_long,
                "seconds": round(result.seconds, 3),
                "eventsPerSecond": round(per_second, 1),
            }
        )
        return
    click.echo(f"{result.sent:,} events in {result.seconds:.1f} s ({per_second:,.0f}/s)")
    if result.too_long:
        click.echo(f"left out, too long for Kafka: {result.too_long:,}", err=True)
