"""`fanmemory demo`: run everything and show it on sample conversations."""

import asyncio
import shlex
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from admin.reading import read_values
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.services import stop_on_signals
from ops.demo import CREATOR, FAN, SAMPLE, Shown, run_sample
from ops.services import discover
from ops.show import printable, show_context
from ops.system import System, running_system


@click.command()
@options.data
@click.option("--exit", "exit_after", is_flag=True, help="Stop when the sample has been shown.")
@click.option("--api-port", type=click.IntRange(0, 65535), help="0: any free one.")
@options.as_json
def demo(data: Path, exit_after: bool, api_port: int | None, as_json: bool) -> None:
    """Run everything and show it on sample conversations.

    Stays up until Ctrl-C, so that the API can be tried; the data directory keeps everything.
    """
    with suppress(asyncio.CancelledError):
        asyncio.run(_demo(data, exit_after, api_port, as_json))


async def _demo(data: Path, exit_after: bool, api_port: int | None, as_json: bool) -> None:
    stop_on_signals(asyncio.current_task())
    console = Console(stderr=True, quiet=as_json)
    with console.status("Starting") as status:
        # Nobody writes while it is shown: its reply waits for no silence.
        settings = Settings().model_copy(update={"reply_quiet_seconds": 0.0})
        async with running_system(
            settings, data, api_port=api_port, on_step=status.update
        ) as system:
            status.stop()
            shown = await _with_progress(system, console)
            if as_json:
                print_json(describe(system, shown))
                sys.stdout.flush()
            else:
                show(system, shown)
            if not exit_after:
                console.print("[dim]Running until Ctrl-C.[/]")
                with suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
            status.start()
    console.print("Stopped.")


async def _with_progress(system: System, console: Console) -> Shown:
    total = sum(1 for _ in read_values(SAMPLE))
    with Progress(
        TextColumn("sample events in the views"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("events", total=total)
        return await run_sample(system, lambda done: progress.update(task, completed=done))


def describe(system: System, shown: Shown) -> dict[str, object]:
    """The demo's result for machines."""
    account = shown.account
    return {
        "sent": shown.emitted.sent,
        "applied": account.applied,
        "duplicates": account.duplicates,
        "deadLetters": account.dead_letters,
        "deadLetterReasons": [
            {"source": letter.source, "field": letter.field, "reason": letter.reason}
            for letter in shown.dead_letters
        ],
        "lag": shown.lag,
        "seconds": round(shown.seconds, 3),
        "engagementScore": shown.score.score,
        "context": msgspec.to_builtins(shown.context),
        "reply": {
            "workflowId": shown.replied.workflow_id,
            "state": shown.replied.state,
            "provider": shown.replied.provider,
            "messages": list(shown.replied.messages),
            "flags": list(shown.replied.flags),
        },
        "endpoints": system.endpoints.public(),
    }


def show(system: System, shown: Shown) -> None:
    """The same for people."""
    console = Console()
    console.print(show_context(shown.context))
    console.print(Panel(_account(shown), title="what became of the events", border_style="cyan"))
    console.print(Panel(_reply(shown), title="a reply from that memory", border_style="cyan"))
    url = f"{system.endpoints.api_url}/api/of-memory/context?fanId={FAN}&creatorId={CREATOR}"
    console.print(f"\nThe API listens on {system.endpoints.api_url}. With a token for 12 hours:\n")
    # One line, however narrow the terminal: it is to be copied whole.
    command = f"curl -s -H 'Authorization: Bearer {shown.token}' {shlex.quote(url)}"
    console.print(Text(command, style="green"), soft_wrap=True)
    where = discover.data_words(system.data)
    console.print(Text(f"\nWhat was refused, opened: fanmemory dlq --open{where}", "dim"))


def _reply(shown: Shown) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    replied = shown.replied
    table.add_row("workflow", f"{replied.workflow_id}, drafted by {replied.provider}")
    for text in replied.messages:
        table.add_row("message", Text(printable(text)))
    if replied.flags:
        table.add_row("flags", " ".join(replied.flags))
    table.add_row("state", f"{replied.state}: approved by demo, recorded, sent to nobody")
    return table


def _account(shown: Shown) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    counts = {name: count for name, count in asdict(shown.account).items() if count}
    table.add_row("sent", f"{shown.emitted.sent}")
    for name, count in counts.items():
        if name != "accepted":
            table.add_row(name.replace("_", " "), f"{count}")
    table.add_row("lag", f"{shown.lag}")
    table.add_row(
        "visible",
        f"all of them {shown.seconds:.2f} s after the first was sent:"
        f" {shown.emitted.sent / shown.seconds:,.0f} events/s",
    )
    for letter in shown.dead_letters:
        table.add_row("refused", Text(f"{letter.source}  {letter.field}: {letter.reason}", "red"))
    table.add_row("score now", f"{shown.score.score:.4f}")
    return table
