"""`fanmemory validate`: what would become of the events of some files, before they are sent."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admin.judging import Refusal
from admin.reading import read_values
from admin.staging import Staged, Staging
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.cli.staged import table, told

PLACES_MAX: Final = 5
"""How many events are named of those that are refused for one reason."""
CONFLICT: Final = Refusal("eventId", "is that of another event in these files")

Places = dict[Refusal, list[str]]
"""Reason -> where the first such events are: their number in the file."""


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
)
@options.as_json
def validate(files: tuple[Path, ...], as_json: bool) -> None:
    """Say what would become of the InteractionEvents of FILES, and send nothing; - reads stdin.

    Reads the same files as `emit`, and judges them by the same code as the workers. No service has
    to run, so what only a running system knows is not looked at: an id that it has already, a fan
    who is suppressed. Exit code 1 when something would be refused or conflicts with another event.
    """
    places: Places = defaultdict(list)
    with (
        Staging(Settings().currency, ids_needed=False) as staging,
        Bar("reading", hidden=as_json) as bar,
    ):
        bar.begin(None)
        for place, value in _numbered(files):
            verdict = staging.add(value)
            reason = CONFLICT if verdict == "conflict" else verdict
            if isinstance(reason, Refusal) and len(places[reason]) < PLACES_MAX:
                places[reason].append(place)
            bar.advance(1)
        staged = staging.told()
    if as_json:
        print_json(_told(staged, places))
    else:
        _show(staged, places)
    sys.exit(bool(staged.refused or staged.conflicts))


def _numbered(files: tuple[Path, ...]) -> Iterator[tuple[str, bytes]]:
    """Every value with its place: its number, counted from 1, behind its file's where there are
    several."""
    for path in files:
        before = f"{path}:" if len(files) > 1 else ""
        for number, value in enumerate(read_values(options.source(path)), 1):
            yield f"{before}{number}", value


def _told(staged: Staged, places: Places) -> dict[str, Any]:
    return told(staged) | {
        "withoutEventId": staged.without_id,
        "refused": [
            {"field": reason.field, "reason": reason.reason, "count": count, "at": places[reason]}
            for reason, count in staged.refused.most_common()
        ],
        "conflictsAt": places.get(CONFLICT, []),
    }


def _show(staged: Staged, places: Places) -> None:
    console = Console(highlight=False)
    rows = table(staged)
    if staged.without_id:
        twice = "have no eventId: sent again, they would count again"
        rows.add_row(f"{staged.without_id:,}", Text(twice, "yellow"))
    console.print(rows)
    if not places:
        return
    refused = Table(box=None, pad_edge=False)
    refused.add_column("refused", justify="right")
    refused.add_column("events", overflow="fold")
    refused.add_column("field")
    refused.add_column("why", overflow="fold")
    counts = [*staged.refused.most_common(), (CONFLICT, staged.conflicts)]
    for reason, count in counts:
        if count:
            at = ", ".join(places[reason]) + (" …" if count > len(places[reason]) else "")
            refused.add_row(f"{count:,}", Text(at), Text(reason.field), Text(reason.reason))
    console.print(refused)
