"""`fanmemory rebuild`: fold every view again, beside the live ones, and switch."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from admin.rebuild import Diff, Rebuilt, drop_former
from admin.rebuild import diff as compare
from admin.rebuild import rebuild as build
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.system import at_hand


@click.command()
@click.option("--diff", is_flag=True, help="Build, say what would change, and do not switch.")
@click.option("--drop-old", is_flag=True, help="Only drop the generations that were live before.")
@click.option("--fresh", is_flag=True, help="Start over instead of continuing an interrupted one.")
@options.data
@options.as_json
def rebuild(diff: bool, drop_old: bool, fresh: bool, data: Path, as_json: bool) -> None:
    """Fold all views again from the journal, beside the live ones, then switch.

    Events keep flowing and reads keep being answered meanwhile. Interrupted, it goes on where it
    stopped. The former generation stays until --drop-old.
    """
    with at_hand(data) as settings:
        if drop_old:
            _show_dropped(asyncio.run(drop_former(settings)), as_json)
        elif diff:
            with Bar("rebuilding", hidden=as_json) as bar:
                changes = asyncio.run(
                    compare(settings, fresh=fresh, begin=bar.begin, progress=bar.advance)
                )
            _show_diff(changes, as_json)
        else:
            with Bar("rebuilding", hidden=as_json) as bar:
                done = asyncio.run(
                    build(settings, fresh=fresh, begin=bar.begin, progress=bar.advance)
                )
            _show(done, as_json)


def _show_dropped(generations: list[int], as_json: bool) -> None:
    if as_json:
        print_json({"dropped": generations})
    elif generations:
        click.echo("dropped generation " + ", ".join(map(str, generations)))
    else:
        click.echo("there is no former generation")


def _show(done: Rebuilt, as_json: bool) -> None:
    folded = done.records - done.resumed
    per_second = round(folded / done.bulk_seconds, 1) if done.bulk_seconds else 0.0
    if as_json:
        print_json(
            {
                "generation": done.generation,
                "former": done.former,
                "viewVersion": done.view_version,
                "records": done.records,
                "resumed": done.resumed,
                "fans": done.fans,
                "seconds": done.seconds,
                "bulkSeconds": done.bulk_seconds,
                "eventsPerSecond": per_second,
                "switchSeconds": done.switch_seconds,
                "lastRecords": done.last_records,
                "cacheTold": done.cache_told,
            }
        )
        return
    click.echo(
        f"generation {done.generation} is live: {done.records:,} records, {done.fans:,} fans in"
        f" {done.seconds:.1f} s ({per_second:,.0f} events/s)"
    )
    if done.resumed:
        click.echo(f"{done.resumed:,} of them had been folded by an interrupted rebuild")
    click.echo(
        f"the switch held writers back for {done.switch_seconds * 1000:.0f} ms"
        f" and folded the last {done.last_records:,} records"
    )
    if not done.cache_told:
        click.echo("Redis did not answer: cached reads follow with the next commits", err=True)
    click.echo(f"generation {done.former} is kept until `fanmemory rebuild --drop-old`")


def _show_diff(changes: Diff, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "generation": changes.generation,
                "former": changes.former,
                "fans": changes.fans,
                "comparable": changes.comparable,
                "changed": changes.changed,
                "views": [
                    {**asdict(view), "examples": [one._asdict() for one in view.examples]}
                    for view in changes.views
                ],
            }
        )
        return
    console = Console()
    console.print(
        f"{changes.changed:,} of {changes.comparable:,} fans would change"
        f" ({changes.fans - changes.comparable:,} more are moving right now)"
    )
    for view in changes.views:
        fields = ", ".join(f"{name} ({count:,})" for name, count in sorted(view.fields.items()))
        console.print(f"\n[bold]{view.view}[/]: {view.fans:,} fans, at most {view.largest:.1%}")
        console.print(f"[dim]{fields}[/]", highlight=False)
        table = Table(box=None, pad_edge=False)
        for column in ("subject", "field"):
            table.add_column(column)
        for column in ("now", "next", "change"):
            table.add_column(column, justify="right")
        for one in view.examples:
            numbers = (f"{one.former:g}", f"{one.next:g}", f"{one.size:.1%}")
            table.add_row(one.subject, one.field, *numbers)
        console.print(table)
    console.print("\nNothing was switched; `fanmemory rebuild` continues from here.")
