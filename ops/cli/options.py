"""Options that several commands share."""

import shlex
from pathlib import Path

import click

from infra.settings import Settings

data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: Settings().data,
    show_default="$FANMEMORY_DATA or .fanmemory",
    help="Data directory of the embedded system.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def data_words(directory: Path) -> str:
    """What a command that is shown for copying needs to find this directory."""
    default = Settings().data.absolute()
    return "" if directory.absolute() == default else f" --data {shlex.quote(str(directory))}"
