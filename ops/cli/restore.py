"""`fanmemory restore`: a backup, put back where nothing is yet."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from admin.backup import Manifest, PutBack, checked, put_back, read_manifest
from infra.settings import Settings
from ops import restoring
from ops.cli import options, print_json
from ops.cli.backup import programs
from ops.cli.progress import Bar
from ops.secrets import place_kept, read_kept, with_keyring, with_secrets
from ops.services import EmbeddedServices, discover, kafka
from ops.system import embedded_names
from schemas.errors import Misconfigured


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--secrets",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The file that `backup --secrets` wrote.",
)
@click.option(
    "--database-only",
    is_flag=True,
    help="The topics are there and stay as they are: only the database was lost.",
)
@options.data
@options.as_json
def restore(
    folder: Path, secrets: Path | None, database_only: bool, data: Path, as_json: bool
) -> None:
    """Put the backup in FOLDER back: into a new data directory, or into empty servers.

    Refused where anything is already. Nothing of ours may run there. What was embedded can be put
    back into servers of yours, and the reverse.
    """
    manifest = read_manifest(folder)
    settings = Settings()
    with _target(settings, data, secrets), Bar("restore", hidden=as_json) as bar:
        opening = with_keyring(settings, data)
        key = checked(opening, folder, manifest, bar.begin, bar.advance)
        with EmbeddedServices(data, names=embedded_names(settings)) as services:
            complete = with_secrets(settings, data, services.endpoints.under(settings))
            done = asyncio.run(
                put_back(
                    complete.model_copy(update={"data": data}),
                    folder,
                    manifest,
                    key,
                    programs(),
                    database_only=database_only,
                    begin=bar.begin,
                    progress=bar.advance,
                )
            )
    _show(data, manifest, done, as_json, embedded=bool(embedded_names(settings)))


@contextmanager
def _target(settings: Settings, data: Path, secrets: Path | None) -> Iterator[None]:
    """A data directory for what runs embedded; what was made there goes again after a failure."""
    names = embedded_names(settings)
    if names:
        restoring.begin(data)
    try:
        there = [name for name in names if (data / name).exists()]
        if there:
            raise Misconfigured(
                f"{data} holds a system already: a restore would mix two.",
                hint="Name a new directory with --data.",
            )
        if secrets is not None:
            place_kept(read_kept(secrets), data, broker=kafka.NAME in names)
        yield
    except BaseException:
        if names:
            restoring.end(data, whole=False)
        raise
    if names:
        restoring.end(data, whole=True)


def _show(data: Path, manifest: Manifest, done: PutBack, as_json: bool, *, embedded: bool) -> None:
    if as_json:
        print_json(
            {
                "backup": manifest.backup,
                "madeAt": manifest.made_at,
                "fans": done.fans,
                "forgottenAgain": done.forgotten_again,
                "toRead": done.to_read,
                "toFold": done.to_fold,
            }
        )
        return
    click.echo(f"{done.fans:,} fans are there again, as of {manifest.made_at}.")
    if done.forgotten_again:
        click.echo(
            f"{done.forgotten_again:,} of whom something was erased since are forgotten again."
        )
    click.echo(
        f"The workers will read {done.to_read:,} events and fold {done.to_fold:,} records that came"
        " after it."
    )
    click.echo(
        "Whoever was erased after the backup was made, and is not in its ledger, has to be erased"
        " again: nothing here knows of them."
    )
    where = discover.data_words(data) if embedded else ""
    click.echo(f"Start it with `fanmemory up{where}`, then ask `fanmemory verify{where}`.")
