"""`fanmemory backup`: everything that a system has to be put back from, sealed."""

import asyncio
from pathlib import Path

import click

from admin.backup import Made, back_up
from admin.backup.database import Programs
from infra.settings import Settings
from ops import __version__
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.secrets import kept_of, write_kept
from ops.services import postgres
from ops.system import at_hand, embedded_names
from schemas.errors import Misconfigured

APART = (
    "The backup opens with the key {kek} of the keyring, which is not in it: keep that apart."
    " Whoever has both can read everything."
)


@click.command()
@click.argument("to", type=click.Path(path_type=Path))
@click.option(
    "--secrets",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the keyring and the other secrets into this file, to be kept elsewhere.",
)
@options.data
@options.as_json
def backup(to: Path, secrets: Path | None, data: Path, as_json: bool) -> None:
    """Copy a whole system into the new folder TO, while it runs or while it is stopped.

    It has the database, the journal, the ledger of erasures, dead letters, and what was not read
    yet. All of it is sealed under the keyring, which is not in it.
    """
    if secrets is not None:
        if secrets.exists():
            raise Misconfigured(f"{secrets} is there already.", hint="Name a new file.")
        if secrets.absolute().is_relative_to(to.absolute()):
            raise Misconfigured(
                "The secrets would lie in the backup that they open.", hint="Name another folder."
            )
    with at_hand(data) as settings, Bar("backup", hidden=as_json) as bar:
        made = asyncio.run(back_up(settings, to, programs(), __version__, bar.begin, bar.advance))
        if secrets is not None:
            write_kept(secrets, kept_of(settings, data))
    _show(to, made, secrets, as_json)


def programs() -> Programs:
    """PostgreSQL's, as they fit the server that the settings name."""
    embedded = postgres.NAME in embedded_names(Settings())
    names = ("pg_dump", "pg_restore")
    return Programs(*(postgres.program(name, embedded=embedded) for name in names))


def _show(to: Path, made: Made, secrets: Path | None, as_json: bool) -> None:
    manifest = made.manifest
    if as_json:
        print_json(
            {
                "folder": str(to),
                "backup": manifest.backup,
                "madeAt": manifest.made_at,
                "kek": manifest.kek,
                "fans": manifest.fans,
                "bytes": made.size,
                "records": {one.name: one.records for one in manifest.files if one.logs},
                "secrets": None if secrets is None else str(secrets),
                "seconds": round(made.seconds, 3),
            }
        )
        return
    click.echo(
        f"{to}: {manifest.fans:,} fans as of {manifest.made_at}, {made.size:,} bytes, in"
        f" {made.seconds:.1f} s"
    )
    for one in manifest.files:
        if one.logs:
            click.echo(f"  {one.name}: {one.records:,} records")
    click.echo(APART.format(kek=manifest.kek))
    if secrets is not None:
        click.echo(f"It is in {secrets}, with the other secrets.")
