"""A group of commands that are imported when they are called: listing them imports none."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import click

Commands = Mapping[str, tuple[str, str]]
"""Command -> (`module:attribute`, its line in the help)."""


class LazyGroup(click.Group):
    """For `click.group(cls=LazyGroup, lazy=COMMANDS)`."""

    def __init__(self, *arguments: Any, lazy: Commands, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lazy = {name: found for name, found in lazy.items() if _is_installed(found[0])}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._lazy:
            return None
        module, _, attribute = self._lazy[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name][1]) for name in self.list_commands(ctx)])


def _is_installed(place: str) -> bool:
    """Whether the room of a command is there: the image leaves the lab out."""
    return importlib.util.find_spec(place.partition(".")[0]) is not None
