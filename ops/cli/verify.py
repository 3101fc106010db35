"""`fanmemory verify`: hold everything that is remembered against the journal."""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from admin.verify import Difference, Report
from admin.verify import verify as compare
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.secrets import with_secrets

SHOWN_MAX = 50
NOT_COMPARED = {
    "accounting": "the accounting needs all fans, and places of `interactions` used once only",
    "cache": "the cache did not answer",
}


@click.command()
@click.option("--sample", type=click.IntRange(min=1), help="Check N fans only, the same each time.")
@options.data
@options.as_json
def verify(sample: int | None, data: Path, as_json: bool) -> None:
    """Compare everything that is remembered with what came in.

    Refolds the journal and compares every state, history row and cached document, the counters, and
    every record that `interactions` still holds. The system may run meanwhile. Exit code 1 when
    anything differs.
    """
    settings = with_secrets(Settings(), data)
    with Bar("refolding", hidden=as_json) as bar:
        report = asyncio.run(
            compare(settings, sample=sample, begin=bar.begin, progress=bar.advance)
        )
    if as_json:
        print_json(_as_dict(report))
    else:
        _show(report)
    sys.exit(report.found > 0)


def _as_dict(report: Report) -> dict[str, object]:
    return {
        "generation": report.generation,
        "partitions": report.partitions,
        "records": report.records,
        "fans": report.fans,
        "events": report.events,
        "cached": report.cached,
        "referenced": report.referenced,
        "lookedAgain": report.looked_again,
        "spilled": report.spilled,
        "unindexed": report.unindexed,
        "applied": report.applied,
        "duplicates": report.duplicates,
        "conflicts": report.conflicts,
        "repeats": report.repeats,
        "forgotten": report.forgotten,
        "quarantined": report.quarantined,
        "unprojected": report.unprojected,
        "rewritten": report.rewritten,
        "intake": _camel(asdict(report.intake)),
        "seconds": report.seconds,
        "sample": report.sample,
        "notCompared": list(report.not_compared),
        "found": report.found,
        "differences": [asdict(difference) for difference in report.differences],
    }


def _camel(counts: dict[str, int]) -> dict[str, int]:
    return {name.replace("_letters", "Letters"): count for name, count in counts.items()}


def _show(report: Report) -> None:
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold cyan")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, count, meaning in (
        ("records", report.records, f"of {report.partitions} partitions, to the live positions"),
        ("applied", report.applied, ""),
        ("duplicates", report.duplicates, "events that had been applied before"),
        ("conflicts", report.conflicts, "of a known id, with other content: dead letters"),
        ("repeats", report.repeats, "ingest's own retries"),
        ("forgotten", report.forgotten, "of erased fans"),
        ("quarantined", report.quarantined, "could not be opened or folded"),
        ("fans", report.fans, f"states of generation {report.generation} compared"),
        ("unindexed", report.unindexed, "of them can't be listed until a worker has indexed them"),
        ("history rows", report.events, "compared"),
        ("cached", report.cached, f"compared, {report.looked_again} of them on the move"),
        ("by plain sums", report.referenced, "fans reckoned without the code of the views"),
        (
            "intake",
            report.intake.records,
            f"records still kept: {report.intake.remembered:,} remembered,"
            f" {report.intake.dead_letters:,} dead letters",
        ),
        ("not yet projected", report.unprojected, "records beyond the positions"),
    ):
        table.add_row(name, f"{count:,}", meaning)
    console.print(table)
    for name in report.not_compared:
        console.print(f"{NOT_COMPARED[name]}: not compared", style="yellow")
    for difference in report.differences[:SHOWN_MAX]:
        console.print(_line(difference), style="red", highlight=False, markup=False)
    if report.found > SHOWN_MAX:
        console.print(f"… and {report.found - SHOWN_MAX:,} more (see --json)", style="red")
    if report.found:
        console.print(f"[bold red]{report.found:,} differences[/] in {report.seconds:.1f} s")
    else:
        console.print(f"[bold green]0 differences[/] in {report.seconds:.1f} s")


def _line(difference: Difference) -> str:
    who = difference.position or difference.subject or _whole(difference.partition)
    line = f"{difference.where} {who} {difference.field}"
    if difference.expected is not None:
        line += f": {difference.actual}, expected {difference.expected}"
    return line


def _whole(partition: int) -> str:
    return "all partitions" if partition < 0 else f"partition {partition}"
