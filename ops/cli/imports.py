"""`fanmemory import`: bring in what a platform exports."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.text import Text

from admin.emit import emit as publish
from admin.staging import Progress, Staged, Staging
from infra.clock import now_ms
from infra.settings import Settings
from integrations import generic
from integrations.converted import Context, Skipped
from integrations.platforms import PLATFORMS
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.cli.staged import table, told
from ops.importing import stage
from ops.services import discover
from schemas.errors import InvalidInput
from schemas.relationship import check_id

FOLDER = "imports"
"""Of the data directory: how far interrupted imports got."""


def _pairs(_context: Any, _parameter: Any, given: tuple[str, ...]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    if not all(name and equals and value for name, equals, value in pairs):
        raise click.BadParameter("must be NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _zone(_context: Any, _parameter: Any, given: str) -> ZoneInfo:
    try:
        return ZoneInfo(given)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise click.BadParameter("is no time zone such as Europe/Berlin") from None


def _mapping(_context: Any, _parameter: Any, given: Path | None) -> Any:
    if given is None:
        return None
    try:
        return generic.check(json.loads(given.read_bytes()))
    except (ValueError, RecursionError):
        raise click.BadParameter("is not JSON") from None
    except InvalidInput as error:
        raise click.BadParameter(f"{error.field} {error.reason}") from None


def _currency(_context: Any, _parameter: Any, given: str | None) -> str | None:
    if given is None:
        return None
    if len(given) != 3 or not given.isascii() or not given.isalpha():
        raise click.BadParameter("is no currency code such as EUR")
    return given.upper()


def _creator(_context: Any, _parameter: Any, given: str) -> str:
    try:
        check_id("creatorId", given)
    except InvalidInput as error:
        raise click.BadParameter(error.reason) from None
    return given


CREATOR = click.option("--creator", required=True, callback=_creator, help="Whose fans these are.")
ME = click.option("--me", multiple=True, help="The creator's own name or id there; repeatable.")
ZONE = click.option(
    "--zone", default="UTC", show_default=True, callback=_zone, help="Of times without a zone."
)
CURRENCY = click.option("--currency", callback=_currency, help="Of amounts without a currency.")
MAPPING = click.option(
    "--mapping",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    callback=_mapping,
    help="For generic: where the fields are, as JSON.",
)
OPTION = click.option(
    "--option", "more", multiple=True, callback=_pairs, help="NAME=VALUE, of the platform's own."
)


@click.command("import")
@click.option(
    "--from", "platform", type=click.Choice(sorted(PLATFORMS)), required=True, help="Whose export."
)
@CREATOR
@ME
@ZONE
@CURRENCY
@MAPPING
@OPTION
@click.option("--dry-run", is_flag=True, help="Only say what would be imported.")
@options.data
@options.as_json
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
def import_(
    platform: str,
    creator: str,
    me: tuple[str, ...],
    zone: ZoneInfo,
    currency: str | None,
    mapping: Any,
    more: dict[str, str],
    dry_run: bool,
    data: Path,
    as_json: bool,
    files: tuple[Path, ...],
) -> None:
    """Publish what a platform's FILES hold, in the order of time.

    Everything is read and judged first. Interrupted, run it again: it goes on where it was; and
    whatever is imported twice counts once. Exit code 1 when something was refused, conflicts with
    another event of the files, or was left out unexpectedly.
    """
    context = Context(now_ms(), frozenset(me), zone, currency, more, mapping)
    settings = Settings() if dry_run else discover.with_kafka(data, Settings())
    with Staging(settings.currency) as staging, Bar("reading", hidden=as_json) as bar:
        bar.begin(None)
        left_out = stage(staging, platform, creator, files, context, bar.advance)
        staged = staging.told()
        digest, sent, resumed = staging.digest, 0, 0
        if not dry_run:
            progress = Progress(data / FOLDER, digest)
            events = staged.accepted + staged.conflicts
            resumed = min(progress.sent, events)
            bar.begin(events - resumed, "publishing")

            def advance(count: int) -> None:
                progress.advance(count)
                bar.advance(count)

            values = staging.values(resumed)
            sent = asyncio.run(publish(settings, values, progress=advance)).sent
            progress.forget()
    if as_json:
        how_far = {"digest": digest, "sent": sent, "alreadySent": resumed}
        print_json(told(staged) | _left_out(left_out) | how_far)
    else:
        _show(staged, left_out)
        click.echo("nothing is published" if dry_run else f"{sent:,} events are published")
    refused = staged.refused or staged.conflicts
    sys.exit(bool(refused) or any(not one.expected for one in left_out))


def _left_out(left_out: Counter[Skipped]) -> dict[str, Any]:
    return {
        "leftOut": [
            {"reason": reason, "expected": expected, "count": count}
            for (reason, expected), count in left_out.most_common()
        ]
    }


def _show(staged: Staged, left_out: Counter[Skipped]) -> None:
    rows = table(staged)
    for (field, reason), count in staged.refused.most_common():
        rows.add_row(f"{count:,}", Text(f"refused: {field} {reason}", "red"))
    for one, count in left_out.most_common():
        style = "dim" if one.expected else "red"
        rows.add_row(f"{count:,}", Text(f"left out: {one.reason}", style))
    Console(highlight=False).print(rows)
