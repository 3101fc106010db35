"""One run: a system, intents, kills at each step, the checks, and the whole log once more."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from infra.failpoints import CAMPAIGN
from infra.postgres import Pool, new_pool
from infra.settings import Settings
from lab.chaos.agent import asking
from lab.chaos.agent.checks import check_all
from lab.chaos.agent.plan import Amounts, order, shares
from lab.chaos.agent.sink import Sink, running_sink
from lab.chaos.checks import Check
from lab.chaos.fleet import Fleet, Worker
from lab.chaos.verdict import Verdict, embedded
from lab.model_server import KEY, apart
from ops.system import running_services
from schemas.errors import DeadlineExceeded
from stores.workflows.steering import Steering

MUCH: Final = Decimal(1_000_000)
POLL_SECONDS: Final = 0.1
KILL_SECONDS: Final = (0.5, 4.0)
STEADY_SECONDS: Final = 1.0
"""Nothing happened for so long after the log was read once more."""
LEFT: Final = (
    "SELECT (SELECT count(*) FROM workflow WHERE state IN"
    " ('received', 'composing', 'awaiting_approval', 'approved', 'sending'))"
    " + (SELECT count(*) FROM campaign WHERE state <> 'ended')"
    " + (SELECT count(*) FROM usage WHERE state = 'reserved')"
    " + (SELECT count(*) FROM outbox_pack)"
)
WAITS_FOR_UNKNOWN: Final = (
    "SELECT campaign FROM campaign AS c WHERE state = 'running' AND members = made + erased"
    " AND NOT EXISTS (SELECT FROM workflow WHERE campaign = c.campaign AND state IN"
    " ('received', 'composing', 'awaiting_approval', 'approved', 'sending'))"
)


async def run_agent(
    data: Path,
    *,
    seed: int,
    amounts: Amounts,
    on_step: Callable[[str], Any] = lambda _step: None,
) -> Verdict:
    """Run all of it on a new system below `data`, which must be empty.

    Raises `DeadlineExceeded` when something does not end, and `ServiceFailed`.
    """
    async with running_services(embedded(), data, on_step) as (complete, services, _, _):
        return await prove(complete, services.data, seed=seed, amounts=amounts, on_step=on_step)


async def prove(
    settings: Settings,
    data: Path,
    *,
    seed: int,
    amounts: Amounts,
    on_step: Callable[[str], Any] = lambda _step: None,
) -> Verdict:
    """The same on services that run and have seen nothing; logs go below `data`."""
    started = time.monotonic()
    async with running_sink() as sink:
        with apart() as origin:
            fast: dict[str, Any] = {
                "reply_quiet_seconds": 0.0,
                "user_workflows_per_minute": 0,
                "campaign_per_minute": 600,
                "openai_api_key": SecretStr(KEY),
                "openai_base_url": f"{origin}/v1",
                "send_url": sink.url,
            }
            money = ("user_day", "user_month", "creator_day", "creator_month")
            fast |= {f"budget_{name}": MUCH for name in money}
            fast |= {"budget_tokens_day": 10**12, "budget_tokens_month": 10**12}
            complete = settings.model_copy(update=fast)
            pool = new_pool(complete.postgres_url, size_max=4)
            await pool
            run = _Run(complete, data, pool, sink, amounts, seed, on_step)
            try:
                checks = await run.run()
            finally:
                await run.fleet.stop()
                pool.terminate()
    took = time.monotonic() - started
    return Verdict(seed, took, run.done, run.fleet.deaths, checks)


class _Run:
    def __init__(
        self,
        settings: Settings,
        data: Path,
        pool: Pool,
        sink: Sink,
        amounts: Amounts,
        seed: int,
        on_step: Callable[[str], Any],
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._sink = sink
        self._amounts = amounts
        self._steps = order(seed, amounts)
        self._chance = random.Random(seed)
        self._on_step = on_step
        self.fleet = Fleet(settings, data, on_step)
        self.done: Counter[str] = Counter()
        self._intents: list[asking.Record] = []

    async def run(self) -> list[Check]:
        worker, agent = self.fleet.join(), self.fleet.join("llm")
        await self._know_fans()
        approving = asyncio.create_task(asking.approve_all(self._settings, self._pool))
        try:
            for step, share in zip(self._steps, shares(self._amounts), strict=True):
                await self._killed_at(step, share, worker, agent)
            await self._kill(agent)
            await self._drain()
            self._on_step("all is quiet; checking")
            checks = await check_all(
                self._settings, self._pool, self._sink, self._amounts, len(self._intents)
            )
            checks.append(await self._once_more())
        finally:
            approving.cancel()
            ended = await asyncio.gather(approving, return_exceptions=True)
        died = [one for one in ended if not isinstance(one, asyncio.CancelledError)]
        return [*checks, *self._check_done(died)]

    async def _know_fans(self) -> None:
        fans = [
            asking.event(asking.CREATOR, asking.fan_of(n)) for n in range(self._amounts.intents)
        ]
        for number, step in enumerate(self._steps):
            if step in CAMPAIGN:
                creator = asking.campaigner(number)
                fans += [
                    asking.event(creator, asking.fan_of(n)) for n in range(self._amounts.members)
                ]
        await asking.publish_fans(self._settings, fans)
        self._on_step(f"{len(fans):,} fans are published")
        # Found by a segment, too: its columns are written with the views.
        await self._until(
            "SELECT $1::bigint - count(*) FROM interaction",
            len(fans),
            self._amounts.drain_seconds_max,
        )

    async def _killed_at(self, step: str, share: range, worker: Worker, agent: Worker) -> None:
        number = self._steps.index(step)
        intents = [asking.plan(number), *map(asking.reply, share)]
        if step in CAMPAIGN:
            intents.append(asking.campaign(number))
        victim = worker if step.startswith("intake") else agent
        killing = asyncio.create_task(victim.fail_at(step, self._amounts.step_seconds_max))
        await asyncio.sleep(POLL_SECONDS)  # the process of before is dead: the next one is armed
        await asking.publish_intents(self._settings, intents)
        self._intents += intents
        if await killing:
            self.done[step] += 1
        await self._age()
        states = await self._pool.fetch(
            "SELECT state, count(*) FROM workflow GROUP BY 1 ORDER BY 1"
        )
        seen = ", ".join(f"{count:,} {state}" for state, count in states)
        self._on_step(f"killed at {step}: {seen}")

    async def _kill(self, agent: Worker) -> None:
        """At any moment."""
        for _ in range(self._amounts.kills):
            await asyncio.sleep(self._chance.uniform(*KILL_SECONDS))
            self.done["kill -9"] += agent.send(signal.SIGKILL)
            await self._age()
        self._on_step(f"killed {self.done['kill -9']} times at any moment")

    async def _age(self) -> None:
        if self._amounts.ages:
            await self._pool.execute("UPDATE workflow SET due = clock_timestamp() WHERE leased")
            await self._pool.execute("UPDATE campaign SET due = clock_timestamp() WHERE leased")

    async def _drain(self) -> None:
        async with _deadline("the intents", self._amounts.drain_seconds_max):
            left = -1
            while count := await self._pool.fetchval(LEFT):
                if left < 0 or left - count > 1_000:
                    left = count
                    self._on_step(f"{count:,} are left")
                for row in await self._pool.fetch(WAITS_FOR_UNKNOWN):
                    # What is unknown stays so until a person has looked: nobody will.
                    await Steering(self._pool).stop(None, row["campaign"])
                await asyncio.sleep(POLL_SECONDS * 5)

    async def _once_more(self) -> Check:
        """Every intent comes again."""
        before = await self._seen()
        published = await asking.publish_intents(self._settings, self._intents)
        await self._until(
            "SELECT $1::bigint - sum(next) FROM position WHERE topic = 'intents'",
            len(self._intents) + published,
            self._amounts.drain_seconds_max,
        )
        await asyncio.sleep(STEADY_SECONDS)
        after = await self._seen()
        names = ("calls", "sends", "workflows", "moved", "told")
        saw = ", ".join(f"{b - a} {name}" for a, b, name in zip(before, after, names, strict=True))
        return Check("the whole log once more: no call, no send", before == after, saw)

    async def _seen(self) -> tuple[int, ...]:
        row = await self._pool.fetchrow(
            "SELECT (SELECT count(*) FROM usage) AS calls, (SELECT count(*) FROM workflow) AS rows,"
            " (SELECT sum(epoch)::bigint FROM workflow WHERE state <> 'unknown') AS moved,"
            " (SELECT count(*) FROM outbox_pack) AS told"
        )
        if row is None:
            return ()
        return row["calls"], sum(self._sink.keys.values()), row["rows"], row["moved"], row["told"]

    def _check_done(self, died: list[Any]) -> list[Check]:
        missed = [step for step in self._steps if not self.done[step]]
        kills = self.done["kill -9"]
        deaths = [death.name for death in self.fleet.deaths]
        return [
            Check("injected and seen: every step", not missed, f"missed: {missed or 'none'}"),
            Check("injected and seen: kill -9", kills >= self._amounts.kills, str(kills)),
            Check(
                "nothing ended by itself",
                not deaths and not died,
                f"{deaths or 'none'} {died or ''}",
            ),
        ]

    async def _until(self, left: str, wanted: int, seconds_max: float) -> None:
        async with _deadline("Postgres", seconds_max):
            while True:
                if await self._pool.fetchval(left, wanted) <= 0:
                    return
                await asyncio.sleep(POLL_SECONDS)


class _deadline:  # noqa: N801 - reads like asyncio.timeout
    """Raises `DeadlineExceeded`, which says what did not end."""

    def __init__(self, what: str, seconds_max: float) -> None:
        self._what = what
        self._timeout = asyncio.timeout(seconds_max)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self._timeout.__aexit__(*error)
        except TimeoutError:
            raise DeadlineExceeded(f"{self._what} did not come to an end.") from None
