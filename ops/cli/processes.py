"""The production processes: worker, api, llm; migrate, and the roles that it serves."""

import asyncio
from pathlib import Path

import click

from admin.preflight import preflight
from infra import logs
from infra.settings import Settings
from ops.cli import options
from ops.secrets import with_jwt_secret, with_secrets
from ops.services import discover


@click.command()
@options.data
def worker(data: Path) -> None:
    """Run one worker process: ingest and project of the partitions that it is given.

    Run as many as there are cores; they share the partitions.
    """
    settings = with_secrets(Settings(), data)
    asyncio.run(preflight(settings))
    from streams.app import run_worker

    logs.configure("worker", settings.log_level)
    run_worker(settings)


@click.command()
@options.data
def llm(data: Path) -> None:
    """Run one process of the LLM agent: drafts, approved sends, and what they cost."""
    settings = with_secrets(Settings(), data)
    asyncio.run(preflight(settings))
    import uvloop

    from llm.agent import serve

    logs.configure("llm", settings.log_level)
    uvloop.run(serve(settings))


@click.command()
@options.data
@click.option("--port", type=click.IntRange(0, 65535), help="Instead of FANMEMORY_API_PORT.")
def api(data: Path, port: int | None) -> None:
    """Run the API process."""
    settings = with_jwt_secret(with_secrets(Settings(), data), data)
    asyncio.run(preflight(settings))
    from api.serve import run

    if port is not None:
        settings = settings.model_copy(update={"api_port": port})
    logs.configure("api", settings.log_level)
    run(settings)


@click.command()
@options.data
def migrate(data: Path) -> None:
    """Bring the database schema up to date; safe to run again."""
    from stores.migrate import migrate as run
    from stores.migrate import views_fit

    url = discover.postgres_url(data, Settings(), "owner")
    applied = asyncio.run(run(url))
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("nothing to apply")
    if not asyncio.run(views_fit(url)):
        click.echo(
            "The live views are of another release, whose processes go on with them. Those of this"
            f" one start after `fanmemory rebuild{discover.data_words(data)}`."
        )


@click.command()
def roles() -> None:
    """Print the SQL that makes the database's roles, and hands its tables to their owner.

    For a superuser, in a database that holds nothing else. Give each role a password afterwards,
    and run `fanmemory migrate`, which lets it do its work.
    """
    from stores.roles import CREATE

    click.echo(CREATE, nl=False)
