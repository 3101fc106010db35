"""`fanmemory forget`: forget some messages of one fan."""

import asyncio
import sys
from pathlib import Path

import click

from infra import failpoints
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.erase import WAITS
from ops.secrets import with_secrets
from schemas.control import EVENTS_MAX
from schemas.errors import MessageNotFound
from schemas.random_ids import id_text
from schemas.relationship import Relationship, check_event_id, check_id
from stores.erasure import Status
from stores.forgetting import Forgetter
from stores.opened import open_stores


@click.command()
@options.fan
@click.argument("event_ids", nargs=-1, required=True, metavar="EVENT_ID...")
@options.wait
@options.data
@options.as_json
def forget(
    creator: str, fan: str, event_ids: tuple[str, ...], wait: float, data: Path, as_json: bool
) -> None:
    """Forget some messages of a fan with a creator, for good, with what they were edited to.

    The views are then those of a world without them, and nothing opens a copy of them any more.
    Exit code 1 when something has not confirmed yet: the workers go on with it by themselves, each
    second.
    """
    who = (check_id("creator", creator), check_id("fan", fan))
    if len(event_ids) > EVENTS_MAX:
        raise click.BadParameter(f"at most {EVENTS_MAX} at once", param_hint="EVENT_ID")
    for event_id in event_ids:
        check_event_id("EVENT_ID", event_id)
    settings = with_secrets(Settings(), data)
    found = asyncio.run(_forget(settings, who, event_ids, wait))
    done = found.completed_at is not None
    if as_json:
        print_json(
            {
                "forgettingId": id_text(found.erasure),
                "events": found.events,
                "completed": done,
                "waitsFor": found.waits_for,
            }
        )
    else:
        click.echo(f"forgot {found.events:,} events; forgetting {id_text(found.erasure)}")
        for one in found.waits_for:
            click.echo(f"waits for {WAITS[one]}")
    sys.exit(not done)


async def _forget(
    settings: Settings, who: Relationship, event_ids: tuple[str, ...], seconds: float
) -> Status:
    failpoints.arm(settings.fail_at)
    async with open_stores(settings, connections_max=3) as stores:
        forgetter = Forgetter(settings, stores.pool, stores.cache, stores.keyring)
        try:
            if await forgetter.knows(who, event_ids) != set(event_ids):
                raise MessageNotFound
            return await forgetter.forget(who, event_ids, seconds)
        finally:
            await forgetter.close()
