"""`fanmemory log-id`: what stands for a creator and a fan in the logs."""

import asyncio
from pathlib import Path

import click

from infra.postgres import connecting, database_errors
from infra.settings import Settings
from ops.cli import options, print_json
from ops.secrets import with_secrets
from privacy import log_ids
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.errors import SealBroken
from schemas.relationship import Relationship, check_id


@click.command(name="log-id")
@click.option("--creator", required=True, help="creatorId")
@click.option("--fan", help="fanId; without it only the creator's is told.")
@options.data
@options.as_json
def log_id(creator: str, fan: str | None, data: Path, as_json: bool) -> None:
    """Print what stands for a creator, and for a fan, in the log's creatorId and fanId.

    An erased fan has none any more, and a creator one more for each key that was retired.
    """
    settings = with_secrets(Settings(), data)
    keyring = Keyring.of(settings)
    creator = check_id("creatorId", creator)
    creators = log_ids.creators(keyring, creator)
    found = None
    if fan is not None:
        who = (creator, check_id("fanId", fan))
        found = asyncio.run(_subject(settings, keyring, who))
    if as_json:
        print_json({"creatorId": creators, "fanId": found})
        return
    for one in creators:
        click.echo(f"creatorId {one}")
    if fan is not None:
        click.echo(f"fanId {found}" if found else "fanId: nothing is remembered of this fan")


async def _subject(settings: Settings, keyring: Keyring, who: Relationship) -> str | None:
    locked: dict[Relationship, SealBroken] = {}
    async with connecting(settings.postgres_url) as connection, database_errors():
        found = await Subjects(keyring, 1).find(connection, [who], locked)
    if locked:
        raise locked[who]
    return log_ids.fan(found[who].id) if who in found else None
