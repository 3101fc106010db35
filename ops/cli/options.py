"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from infra.settings import Settings

STDIN: Final = Path("/dev/stdin")

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=lambda: Settings().data,
    show_default="$FANMEMORY_DATA or .fanmemory",
    help="Data directory of the embedded system.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

wait = click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    help="Seconds to wait for it to be complete.",
)


def source(path: Path) -> Path:
    """The file to read for an argument that may be `-`."""
    return STDIN if str(path) == "-" else path


def fan(command: Decorated) -> Decorated:
    """Both sides of a relationship: `creator` and `fan`."""
    asked = click.option("--fan", required=True, help="fanId")(command)
    return click.option("--creator", required=True, help="creatorId")(asked)
