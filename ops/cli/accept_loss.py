"""`fanmemory accept-loss`: give up what a log lacks, so that its partition goes on."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

from admin.accept_loss import accept_loss as accept
from admin.accept_loss import operator
from infra.settings import Settings
from ops.cli import options, print_json
from ops.services import discover


@click.command("accept-loss")
@click.argument("topic")
@click.argument("partition", type=click.IntRange(0))
@click.option("--by", default=operator, show_default="you", help="Who takes the loss.")
@options.data
@options.as_json
def accept_loss(topic: str, partition: int, by: str, data: Path, as_json: bool) -> None:
    """Give up what a partition's log lacks, so that it goes on.

    It is recorded in the table log_break: who, when, which offsets.
    """
    settings = discover.with_kafka(data, Settings())
    settings = settings.model_copy(update={"postgres_url": discover.postgres_url(data, settings)})
    lost = asyncio.run(accept(settings, topic, partition, by))
    if as_json:
        print_json([one._asdict() for one in lost])
        return
    console = Console(highlight=False, soft_wrap=True)
    for one in lost:
        console.print(f"{one}; given up by {by}, reading on from {one.resume}.")
