"""`fanmemory token`: a JWT for development."""

from pathlib import Path

import click

from infra.settings import Settings
from ops.cli import options, print_json
from ops.secrets import with_jwt_secret


@click.command()
@click.option(
    "--creator",
    required=True,
    multiple=True,
    help="The creatorId that the token is for; an agency's has several.",
)
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
    creator: tuple[str, ...],
    user: str,
    hours: float,
    scope: tuple[str, ...],
    data: Path,
    as_json: bool,
) -> None:
    """Print a token that the API of this system accepts."""
    from api.tokens import issue_token

    settings = with_jwt_secret(Settings(), data)
    seconds = int(hours * 3600)
    whose = creator[0] if len(creator) == 1 else creator
    issued = issue_token(settings, whose, user, seconds, scope=" ".join(scope) if scope else None)
    if as_json:
        named = {"creatorId": whose} if whose is not creator else {"creatorIds": creator}
        print_json({"token": issued, **named, "expiresInSeconds": seconds})
    else:
        click.echo(issued)
