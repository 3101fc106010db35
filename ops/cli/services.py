"""Running everything: `up`, `services`, `doctor`."""

import asyncio
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.settings import Settings
from ops.cli import options, print_json
from ops.services import discover
from ops.services.endpoints import without_password
from ops.services.lock import holder, is_held

if TYPE_CHECKING:  # slow to import, and only `up` needs them
    from ops.supervisor import Restart
    from ops.system import System
    from stores.log_breaks import Lost

VERDICT_STYLE = {"ok": "green", "note": "yellow", "problem": "bold red"}


@click.command()
@options.data
@click.option(
    "--api-port",
    type=click.IntRange(0, 65535),
    help="Port of the API; 0 takes any free one.  [default: 8080, or a free one]",
)
@click.option(
    "--kafka-port",
    type=click.IntRange(1, 65535),
    help="Port of the embedded Kafka.  [default: the last one, or a free one]",
)
@click.option("--workers", type=click.IntRange(0, 64), help="Worker processes.  [default: 2]")
@options.as_json
def up(
    data: Path,
    api_port: int | None,
    kafka_port: int | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Run the whole system until Ctrl-C.

    What has no FANMEMORY_*_URL runs embedded, below the data directory.
    """
    console = Console(stderr=True)
    with suppress(asyncio.CancelledError):
        asyncio.run(_up(data, api_port, kafka_port, workers, as_json, console))


async def _up(
    data: Path,
    api_port: int | None,
    kafka_port: int | None,
    workers: int | None,
    as_json: bool,
    console: Console,
) -> None:
    from admin.sweep import daily
    from ops.stopped import tell_stopped
    from ops.system import running_system

    task = asyncio.current_task()
    stop_on_signals(task)
    with console.status("Starting") as status:

        def on_step(step: str) -> None:
            status.update(step)

        def on_restart(restart: "Restart") -> None:
            console.print(
                f"{restart.name} ended ({restart.reason}); starting it again in"
                f" {restart.pause_seconds:.1f} s" + (f": {restart.said}" if restart.said else ""),
                style="yellow",
                markup=False,
            )

        def on_stopped(lost: "Lost") -> None:
            console.print(f"A partition stands still. {lost}. {lost.advice}", style="bold red")

        async with running_system(
            Settings(),
            data,
            workers=workers,
            api_port=api_port,
            kafka_port=kafka_port,
            on_step=on_step,
            on_restart=on_restart,
        ) as system:
            status.stop()
            if as_json:
                print_json(describe(system))
                sys.stdout.flush()
            else:
                show(system)
            looking = asyncio.create_task(tell_stopped(system.settings, on_stopped))
            with suppress(asyncio.CancelledError):
                await daily(system.settings)
            looking.cancel()
            status.start()
    console.print("Stopped.")


def stop_on_signals(task: "asyncio.Task[None] | None") -> None:
    """Let the first SIGINT or SIGTERM cancel a task; the next one ends the process as usual."""
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        if task is not None:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)


def describe(system: "System") -> dict[str, object]:
    """Where everything is, for machines; passwords stay in `endpoints.json`."""
    return {
        "data": str(system.data),
        "endpoints": system.endpoints.public(),
        "services": system.services.pids(),
        "processes": system.supervisor.pids(),
        "topicsCreated": system.topics_created,
        "migrationsApplied": system.migrations_applied,
    }


def show(system: "System") -> None:
    """The same for people."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold cyan")
    table.add_column(overflow="fold")
    for name, url in (
        ("API", system.endpoints.api_url),
        ("Kafka", system.endpoints.kafka),
        ("PostgreSQL", without_password(system.endpoints.postgres_url)),
        ("Redis", without_password(system.endpoints.redis_url)),
        ("Data", str(system.data)),
        ("Logs", str(system.data / "logs")),
        ("Processes", ", ".join(f"{n} {pid}" for n, pid in system.supervisor.pids().items())),
    ):
        table.add_row(name, url)
    console = Console()
    console.print(table)
    token = f"fanmemory token --creator ID{discover.data_words(system.data)}"
    console.print(Text(f"A token: {token}\nCtrl-C stops everything.", "dim"))


@click.group()
def services() -> None:
    """Install and look at the embedded services."""


@services.command()
def install() -> None:
    """Fetch and verify Kafka's jars and make its start-up cache; needs the network once."""
    from ops.services import install as module

    module.main()


@services.command()
@options.data
@options.as_json
def status(data: Path, as_json: bool) -> None:
    """Say whether a system runs on the data directory, and where. Exit code 1 when none does."""
    from ops.services import discover

    running = is_held(data)
    found = discover.endpoints(data, Settings()).public() if running else {}
    if as_json:
        pid = int(holder(data) or 0) if running else None
        print_json({"running": running, "pid": pid, "endpoints": found})
    elif running:
        click.echo(f"runs as pid {holder(data)}")
        for name, url in found.items():
            click.echo(f"{name:12} {url}")
    else:
        click.echo(f"nothing runs on {data.absolute()}")
    sys.exit(not running)


@click.command()
@options.data
@options.as_json
def doctor(data: Path, as_json: bool) -> None:
    """Say what is wrong and what to do. Exit code 1 when something is."""
    from ops.doctor import examine

    findings = asyncio.run(examine(data, Settings()))
    healthy = all(finding.verdict != "problem" for finding in findings)
    if as_json:
        print_json({"healthy": healthy, "findings": [asdict(finding) for finding in findings]})
        sys.exit(not healthy)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(overflow="fold")
    for finding in findings:
        style = VERDICT_STYLE[finding.verdict]
        table.add_row(finding.check, f"[{style}]{finding.verdict}[/]", _escaped(finding.saw))
        if finding.advice:
            table.add_row("", "", f"[dim]→ {_escaped(finding.advice)}[/]")
    Console().print(table, highlight=False)
    sys.exit(not healthy)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
