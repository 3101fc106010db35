"""Options that several commands share."""

from pathlib import Path

import click

from schemas.settings import Settings

data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: Settings().data,
    show_default="$FANMEMORY_DATA or .fanmemory",
    help="Data directory of the embedded system.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
