"""Faults beside the stream: a topic that only tells, a worker with another keyring."""

import asyncio
import base64
import secrets
from typing import Final

from pydantic import SecretStr

from admin import topics
from infra.kafka import admin
from lab.chaos.fans import read_fans
from lab.chaos.fault import Fault, Stage
from lab.chaos.progress import wait_for
from schemas.topics import MEMORY_UPDATES

GONE_TRIES: Final = 100
GONE_EVENTS: Final = 200
REFUSED_SECONDS_MAX: Final = 60.0


class UpdatesDeleted(Fault):
    """`memory-updates` is deleted with all its records, and recreated a while later.

    The views must go on without it; what was told before is lost, what was not yet is told then.
    """

    name = "memory-updates deleted"
    _went_on = False

    async def inject(self, stage: Stage) -> None:
        async with admin(stage.settings) as client:
            await client.delete_topics([MEMORY_UPDATES.name])
            for _ in range(GONE_TRIES):
                if MEMORY_UPDATES.name not in await client.list_topics():
                    break
                await asyncio.sleep(0.1)
        fans = await read_fans(stage.settings)
        stage.excused.untold |= {who: row.version for who, row in fans.items()}
        self._went_on = await stage.folded_more(GONE_EVENTS)

    async def seen(self, stage: Stage) -> bool:
        return self._went_on

    async def heal(self, stage: Stage) -> None:
        await topics.create(stage.settings)


class KeyMissing(Fault):
    """A worker starts with a ring that lacks the key of every fan: it must not take their part."""

    name = "worker without the fans' key"
    _refused = False

    async def inject(self, stage: Stage) -> None:
        ring = f"other:{base64.b64encode(secrets.token_bytes(32)).decode()}"
        worker = stage.fleet.join(keyring=SecretStr(ring))
        try:
            self._refused = await wait_for(
                lambda: any(
                    death.name == worker.name and "keyring lacks" in death.said
                    for death in stage.fleet.deaths
                ),
                REFUSED_SECONDS_MAX,
            )
        finally:
            await stage.fleet.leave(worker)

    async def seen(self, stage: Stage) -> bool:
        return self._refused
