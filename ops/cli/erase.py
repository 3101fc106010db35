"""`fanmemory erase`: erase everything that is held of one fan."""

import asyncio
import sys
from pathlib import Path

import click

from infra import failpoints
from infra.settings import Settings
from ops.cli import options, print_json
from ops.secrets import with_secrets
from schemas.random_ids import id_text
from schemas.relationship import Relationship, check_id
from stores.erasing import Eraser
from stores.erasure import Status
from stores.opened import open_stores

WAITS = {
    "deletion": "Postgres, to delete what is held",
    "order": "Kafka, to order what is on its way to be erased",
    "ingest": "ingest, to come to that order",
    "cache": "Redis, to confirm that it has forgotten",
    "ledger": "Kafka, to note it outside the database",
}


@click.command()
@options.fan
@options.wait
@options.data
@options.as_json
def erase(creator: str, fan: str, wait: float, data: Path, as_json: bool) -> None:
    """Erase everything that is held of a fan with a creator, for good.

    What is held now is deleted first, and nothing opens a copy of it any more. Exit code 1 when
    something has not confirmed yet: the workers go on with it by themselves, each second.
    """
    who = (check_id("creator", creator), check_id("fan", fan))
    settings = with_secrets(Settings(), data)
    found = asyncio.run(_erase(settings, who, wait))
    done = found.completed_at is not None
    if as_json:
        print_json(
            {
                "erasureId": id_text(found.erasure),
                "held": bool(found.subjects),
                "events": found.events,
                "completed": done,
                "waitsFor": found.waits_for,
            }
        )
    else:
        click.echo(f"{_told(found)}; erasure {id_text(found.erasure)}")
        for one in found.waits_for:
            click.echo(f"waits for {WAITS[one]}")
    sys.exit(not done)


def _told(found: Status) -> str:
    if found.subjects:
        return f"erased {found.events:,} events"
    return "nothing was held" if found.erased_at is not None else "nothing is deleted yet"


async def _erase(settings: Settings, who: Relationship, seconds: float) -> Status:
    failpoints.arm(settings.fail_at)
    async with open_stores(settings, connections_max=3) as stores:
        eraser = Eraser(settings, stores.pool, stores.cache, stores.keyring)
        try:
            found = await eraser.erase(who, seconds)
            if found.erased_at is None:
                await eraser.deleted()
                found = await eraser.status(found.erasure) or found
            return found
        finally:
            await eraser.close()
