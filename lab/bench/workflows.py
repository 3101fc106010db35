"""Whole workflows: how many a second, how soon an approved one is sent, what waiting ones cost.

On embedded services of its own; the model is the stand-in of `lab.model_server` in a process of its
own, and answers at once. One agent works in this process. Three parts:

- *done*: replies to `fans` fans, from rows that are due to drafts that wait for approval.
- *sent*: these drafts, approved one after another at a steady pace; by Postgres' clock, from the
  decision to the row that says `sent`.
- *parked*: `parked` workflows that wait for nothing but a person, and what agent and Postgres
  take meanwhile.
"""

import asyncio
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from infra.postgres import Pool, new_pool
from infra.settings import Settings
from lab.bench.cpu import CpuMeter
from lab.bench.fold import interactions
from lab.bench.seed import seed
from lab.model_server import KEY, apart
from llm.agent import Agent
from ops.services import EmbeddedServices
from ops.system import running_services
from privacy.keys import Keyring
from schemas.errors import ServiceFailed
from schemas.intents import Intent
from stores.workflows.approving import Approvals, Named
from stores.workflows.intake import Intake
from stores.workflows.rows import wake
from stores.workflows.sealed import Vault

CREATOR: Final = "bench"
USERS: Final = 20
APPROVING_SECONDS: Final = 0.1
"""Between two approvals."""
WARM: Final = 20
"""Workflows before those that count."""
DONE_SECONDS_MAX: Final = 300.0
EVENTS: Final = 60
"""Of each fan."""
MUCH: Final = Decimal(1_000_000)


async def measure(fans: int, parked: int, seconds: float) -> dict[str, Any]:
    """Figures of the three parts."""
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder, apart() as origin:
        asked = Settings(openai_api_key=SecretStr(KEY), openai_base_url=f"{origin}/v1")
        unlimited = {
            "reply_quiet_seconds": 0.0,
            "user_workflows_per_minute": 0,
            "budget_user_day": MUCH,
            "budget_user_month": MUCH,
            "budget_creator_day": MUCH,
            "budget_creator_month": MUCH,
            "budget_tokens_day": 10**12,
            "budget_tokens_month": 10**12,
        }
        async with running_services(asked, Path(folder)) as (settings, services, *_):
            bench = _Bench(settings.model_copy(update=unlimited), services)
            try:
                return await bench.measure(fans, parked, seconds)
            finally:
                bench.pool.terminate()


class _Bench:
    def __init__(self, settings: Settings, services: EmbeddedServices) -> None:
        self._settings = settings
        self._services = services
        self.pool: Pool = new_pool(settings.postgres_url, size_max=4)
        self._vault = Vault(Keyring.of(settings))

    async def measure(self, fans: int, parked: int, seconds: float) -> dict[str, Any]:
        await self.pool
        names = [f"fan-{number}" for number in range(WARM + fans)]
        await seed(self._settings, {(CREATOR, name): interactions(EVENTS) for name in names})
        agent = Agent(self._settings)
        working = asyncio.create_task(agent.run())
        try:
            await self._done(names[:WARM])
            done = await self._done(names[WARM:])
            sent = await self._sent()
            waiting = await self._parked(parked, seconds)
        finally:
            agent.stop()
            await working
        return {"done": done, "sent": sent, "parked": waiting}

    async def _done(self, names: list[str]) -> dict[str, Any]:
        await self._intend(
            Intent("message_generation", f"user-{n % USERS}", CREATOR, b"{}",
                   intent_id=f"to-{name}", recipient_id=name, send=True)
            for n, name in enumerate(names)
        )  # fmt: skip
        began, cpu, meter = time.perf_counter(), time.process_time(), self._meter()
        await self._until("SELECT count(*) FROM workflow WHERE state <> 'awaiting_approval'")
        took = time.perf_counter() - began
        ours, theirs = time.process_time() - cpu, meter.seconds()["postgres"]
        return {
            "workflows": len(names),
            "perSecond": round(len(names) / took, 1),
            "cpuMs": round(ours / len(names) * 1e3, 2),
            "postgresCpuMs": round(theirs / len(names) * 1e3, 2),
        }

    async def _sent(self) -> dict[str, Any]:
        rows = await self.pool.fetch("SELECT workflow, draft FROM workflow ORDER BY created_at")
        approvals = Approvals(self.pool, self._vault)
        for row in rows:
            await approvals.approve(CREATOR, Named(row["workflow"], row["draft"]), "user-0")
            await asyncio.sleep(APPROVING_SECONDS)
        await self._until("SELECT count(*) FROM workflow WHERE state <> 'sent'")
        rows = await self.pool.fetch(
            "SELECT extract(epoch FROM w.changed_at - d.decided_at)::float8 * 1000 AS took"
            " FROM workflow w JOIN decision d USING (workflow) ORDER BY 1"
        )
        took = [row["took"] for row in rows]
        return {
            "messages": len(took),
            "p50Ms": round(took[len(took) // 2], 1),
            "p99Ms": round(took[int(len(took) * 0.99)], 1),
            "maxMs": round(took[-1], 1),
        }

    async def _parked(self, count: int, seconds: float) -> dict[str, Any]:
        await self.pool.execute(
            "INSERT INTO workflow (workflow, type, creator_id, user_id, state, due, priority, send,"
            " platform, waiting_since, trace_id)"
            " SELECT gen_random_uuid(), 'content_planning', $1, 'parked', 'awaiting_approval',"
            " NULL, 1, false, 'onlyfans', now(), 'parked' FROM generate_series(1, $2)",
            CREATOR,
            count,
        )
        cpu, meter, began = time.process_time(), self._meter(), time.perf_counter()
        await asyncio.sleep(seconds)
        took = time.perf_counter() - began
        return {
            "workflows": count,
            "agentCorePercent": round((time.process_time() - cpu) / took * 100, 2),
            "postgresCorePercent": round(meter.seconds()["postgres"] / took * 100, 2),
        }

    async def _intend(self, intents: Any) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            await Intake(self._settings, self._vault).write(connection, list(intents))
            await wake(connection)

    async def _until(self, left: str) -> None:
        async with asyncio.timeout(DONE_SECONDS_MAX):
            while await self.pool.fetchval(left):
                failed = "SELECT count(*) FROM workflow WHERE state IN ('failed', 'unknown')"
                if await self.pool.fetchval(failed):
                    raise ServiceFailed("A workflow failed.")
                await asyncio.sleep(0.02)

    def _meter(self) -> CpuMeter:
        pid = self._services.pids()["postgres"]
        return CpuMeter({} if pid is None else {"postgres": pid})
