"""`fanmemory keys`: what an operator does with the keys of fans."""

import asyncio
import secrets
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from admin import keys as admin
from admin.keys import Survey
from infra import migrations
from infra.postgres import Connection, connecting, database_errors
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.secrets import ring_file, with_secrets, write_ring
from privacy.binding import Bound
from privacy.binding import bind as bind_keys
from privacy.keys import Entry, Keyring, new_entry, newest_of, parse_ring, without
from privacy.wrappers import VaultTransit
from schemas.errors import Misconfigured
from schemas.random_ids import id_text
from stores import rotation
from stores.migrate import MIGRATIONS
from stores.rotation import Rotated

SHOWN_MAX = 20


@click.group()
def keys() -> None:
    """Look after the keys of fans."""


@keys.command()
@options.data
@options.as_json
def bind(data: Path, as_json: bool) -> None:
    """Bind every fan's key to its creator and fan, for a database of a former release.

    Run it once, when no process of the former release is left: those can't open bound keys.
    Everything may run meanwhile; interrupted, run it again. Afterwards an unbound key opens
    nothing. Exit code 1 when some keys open for no relationship.
    """
    settings = with_secrets(Settings(), data)
    done = asyncio.run(_bind(settings, quiet=as_json))
    broken = [id_text(subject) for subject in done.broken]
    if as_json:
        print_json({"bound": done.bound, "broken": broken})
    else:
        click.echo(f"{done.bound:,} keys were bound; from now on an unbound one opens nothing")
        for subject in broken[:SHOWN_MAX]:
            click.echo(f"subject {subject}: its wrapped key was altered and opens nothing")
        if len(broken) > SHOWN_MAX:
            click.echo(f"… and {len(broken) - SHOWN_MAX:,} more (see --json)")
    sys.exit(bool(broken))


@keys.command()
@click.argument("id", required=False)
@click.option("--service", is_flag=True, help="Wrapped by the key service: nothing else opens it.")
@click.option("--add", is_flag=True, help="Put it first in the keyring of the data directory.")
@options.data
@options.as_json
def new(id: str | None, service: bool, add: bool, data: Path, as_json: bool) -> None:
    """Make a key-encryption key, as it is written in FANMEMORY_KEYRING.

    It is shown only now; with --add it is written, not shown, and counts when everything that runs
    on the directory is started again.
    """
    settings = Settings()
    by = VaultTransit.of(settings) if service else None
    if service and by is None:
        raise Misconfigured(
            "No key service is set.", hint="Set FANMEMORY_KEY_SERVICE_URL and its token."
        )
    named = id or f"k{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(3)}"
    entry = new_entry(named, by)
    parse_ring(str(entry))  # an id that a ring can't hold
    if add:
        known = _written(settings, data)
        if any(one.id == entry.id for one in known):
            raise click.UsageError("The keyring has a key of this id.")
        write_ring(data, [entry, *known])
    if as_json:
        print_json({"id": entry.id} | ({} if add else {"entry": str(entry)}))
    elif add:
        click.echo(f"{entry.id} is first in {ring_file(data)}: restart what runs on it")
    else:
        click.echo(str(entry))


@keys.command("list")
@options.data
@options.as_json
def list_(data: Path, as_json: bool) -> None:
    """Show each key-encryption key, and what it wraps."""
    settings = with_secrets(Settings(), data)
    ring = parse_ring(settings.keyring.get_secret_value())
    newest = newest_of(ring)
    found: Survey = asyncio.run(_with(settings, lambda db: admin.survey(db, settings)))
    shown = []
    for id in dict.fromkeys(
        [*(entry.id for entry in ring), *found.wrapped, *sorted(found.retired)]
    ):
        use = next((entry.use for entry in ring if entry.id == id), "lacking")
        state = "retired" if id in found.retired else "newest" if id == newest else use
        shown.append({"id": id, "state": state, "wraps": found.wrapped.get(id, {})})
    if as_json:
        print_json({"keys": shown})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("key", "state", "wraps"):
        table.add_column(column, overflow="fold")
    for one in shown:
        table.add_row(str(one["id"]), str(one["state"]), _counts(one["wraps"]))
    Console(highlight=False).print(table)


@keys.command()
@options.data
@options.as_json
def rotate(data: Path, as_json: bool) -> None:
    """Wrap everything again under the keyring's newest key, while everything runs.

    Before, every process has to know that key: docs/operations.md has the steps. Interrupted, run
    it again. Exit code 1 when something is left under another key: made meanwhile by a process that
    has to be restarted, or a wrapped key that was altered and opens nothing.
    """
    settings = with_secrets(Settings(), data)
    started = time.perf_counter()
    done: Rotated = asyncio.run(
        _with(settings, lambda db: _rotate(db, Keyring.of(settings), hidden=as_json))
    )
    seconds = time.perf_counter() - started
    broken = [id_text(subject) for subject in done.broken]
    if as_json:
        print_json(
            {
                "rewrapped": done.subjects,
                "connections": done.connections,
                "left": done.left,
                "broken": broken,
                "seconds": round(seconds, 3),
            }
        )
    else:
        rate = done.subjects / seconds
        click.echo(f"{done.subjects:,} keys of fans were wrapped again, {rate:,.0f} a second")
        if done.connections:
            click.echo(f"{done.connections:,} connections to platforms, too")
        if done.left:
            click.echo(f"{done.left:,} are under another key: restart who made them, run it again")
        for subject in broken[:SHOWN_MAX]:
            click.echo(f"subject {subject}: its wrapped key was altered and opens nothing")
    sys.exit(bool(done.left or broken))


@keys.command()
@click.argument("id")
@options.data
@options.as_json
def retire(id: str, data: Path, as_json: bool) -> None:
    """Give the key ID up: refused, with exit code 1, while anything is wrapped by it.

    From then on the database takes nothing under it. It is taken out of the data directory's
    keyring; from FANMEMORY_KEYRING, and from every copy of that, take it yourself. Then what old
    backups hold under it opens for nobody.
    """
    settings = with_secrets(Settings(), data)
    ring = parse_ring(settings.keyring.get_secret_value())
    if id == newest_of(ring):
        raise Misconfigured(
            "This is the newest key: everything new is wrapped by it.",
            hint="Put another one before it, and `fanmemory keys rotate`.",
        )
    left: dict[str, int] = asyncio.run(_with(settings, lambda db: admin.retire(db, settings, id)))
    if left:
        if as_json:
            print_json({"retired": False, "wraps": left})
        else:
            click.echo(f"not retired: it wraps {_counts(left)}", err=True)
        sys.exit(1)
    kept = without(ring, id, VaultTransit.of(settings))
    fresh = [str(entry) for entry in kept if entry not in ring]
    written = not Settings().keyring.get_secret_value()
    if written:
        write_ring(data, kept)
    if as_json:
        print_json({"retired": True, "removed": written, "instead": fresh})
        return
    click.echo(f"{id} is retired")
    if written:
        click.echo(f"and no longer in {ring_file(data)}; destroy every copy of it")
    else:
        click.echo("take it out of FANMEMORY_KEYRING everywhere, and destroy every copy of it")
        for entry in fresh:
            click.echo(f"and put at the end, in its place: {entry}")


def _written(settings: Settings, data: Path) -> list[Entry]:
    """The ring in the data directory; raises `Misconfigured` where there is another one."""
    if settings.keyring.get_secret_value():
        raise Misconfigured(
            "The keyring stands in FANMEMORY_KEYRING.", hint="Write the key there yourself."
        )
    path = ring_file(data)
    if not path.exists():
        raise Misconfigured(f"There is no {path}.", hint="`fanmemory up` makes it.")
    return parse_ring(path.read_text("ascii"))


def _counts(wraps: Any) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in wraps.items()) or "nothing"


async def _rotate(connection: Connection, keyring: Keyring, *, hidden: bool) -> Rotated:
    with Bar("wrapping", hidden=hidden) as bar:
        bar.begin(await rotation.to_rotate(connection, keyring))
        return await rotation.rotate(connection, keyring, progress=bar.advance)


async def _with(settings: Settings, do: Callable[[Connection], Awaitable[Any]]) -> Any:
    async with (
        database_errors(),
        connecting(settings.postgres_url, command_timeout=600) as connection,
    ):
        await migrations.check(connection, MIGRATIONS)
        return await do(connection)


async def _bind(settings: Settings, *, quiet: bool) -> Bound:
    def progress(bound: int) -> None:
        if not quiet:
            click.echo(f"{bound:,} bound", err=True)

    keyring = Keyring.of(settings)
    bound: Bound = await _with(settings, lambda db: bind_keys(db, keyring, progress=progress))
    return bound
