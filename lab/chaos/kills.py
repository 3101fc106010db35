"""Faults of services that end: killed with SIGKILL, and started again after a while."""

import asyncio

from lab.chaos.fault import Fault, Stage
from ops.services import kafka, postgres, valkey


class Killed(Fault):
    """A service is gone for up to `seconds`."""

    service: str

    async def inject(self, stage: Stage) -> None:
        await asyncio.to_thread(stage.services.kill, self.service)
        await asyncio.sleep(self.seconds)

    async def seen(self, stage: Stage) -> bool:
        return not stage.services.alive()[self.service]

    async def heal(self, stage: Stage) -> None:
        await asyncio.to_thread(stage.services.start_one, self.service)


class KafkaKilled(Killed):
    name = "kafka killed"
    service = kafka.NAME


class PostgresKilled(Killed):
    name = "postgres killed"
    service = postgres.NAME


class ValkeyKilled(Killed):
    name = "valkey killed"
    service = valkey.NAME
