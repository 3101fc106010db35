"""`fanmemory token`: a JWT for development."""

from pathlib import Path

import click

from infra.settings import Settings
from ops.cli import options, print_json
from ops.secrets import with_jwt_secret


@click.command()
@click.option("--creator", required=True, help="The creatorId that the token may read.")
@click.option("--user", default="developer", show_default=True, help="The user (sub).")
@click.option(
    "--hours",
    type=click.FloatRange(min=0.01, max=720),
    default=12.0,
    show_default=True,
    help="How long it is valid.",
)
@click.option(
    "--scope",
    type=click.Choice(["memory:read", "memory:write", "memory:erase"]),
    multiple=True,
    help="What it may do; without any, everything.",
)
@options.data
@options.as_json
def token(
    creator: str, user: str, hours: float, scope: tuple[str, ...], data: Path, as_json: bool
) -> None:
    """Print a token that the API of this system accepts."""
    from api.tokens import issue_token

    settings = with_jwt_secret(Settings(), data)
    issued = issue_token(
        settings, creator, user, int(hours * 3600), scope=" ".join(scope) if scope else None
    )
    if as_json:
        print_json({"token": issued, "creatorId": creator, "expiresInSeconds": int(hours * 3600)})
    else:
        click.echo(issued)
