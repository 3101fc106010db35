"""Whether every delivery of a platform counts once, whoever is killed meanwhile.

A whole system of its own. A platform delivers charges as Stripe does: signed, several at a time, in
no order, a share of them again under another id of its own, and again after a pause until the
answer is 2xx. API and workers are killed in turn, spread over the deliveries, and started again by
their supervisor. Then every fan's money has to be the sum of that fan's charges, to the cent.
"""

import asyncio
import hashlib
import hmac
import json
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp

from admin.accounting import Account, wait_until_folded
from admin.verify import verify
from infra.clock import now_ms
from infra.kafka import TopicPartition, reading
from infra.settings import Settings
from ops.system import System, running_system
from schemas.topics import INTERACTIONS
from stores import connections
from stores.connections import Ways
from stores.opened import Stores, open_stores

CREATOR: Final = "webhooks"
FANS: Final = 50
SENDERS: Final = 8
WORKERS: Final = 2
AGAIN_SECONDS: Final = 0.2
"""Between two attempts; a platform waits longer."""
DELIVERY_SECONDS_MAX: Final = 120.0
ANSWER_SECONDS_MAX: Final = 10.0
STANDSTILL_SECONDS_MAX: Final = 60.0
SECRET: Final = "whsec_of_the_bench"  # noqa: S105 - of a system that is removed afterwards


class Charge(NamedTuple):
    """What was paid once."""

    id: str
    fan: str
    cents: int
    created: int


@dataclass(slots=True)
class _Run:
    """What was sent and answered so far."""

    waiting: asyncio.Queue[tuple[int, Charge]]
    due: list[int]
    """After how many deliveries somebody is killed."""
    turn: list[str]
    """Whose it is."""
    done: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)


async def measure(deliveries: int, repeats: float, kills: int, seed: int = 1) -> dict[str, Any]:
    """The figures, and `wrong`: what is not as it must be, in words.

    `repeats` is the share of deliveries that tell of a charge which others tell of, too.
    """
    plan = planned(deliveries, repeats, seed)
    with tempfile.TemporaryDirectory(prefix="fanmemory-bench-") as folder:
        async with (
            running_system(Settings(), Path(folder), workers=WORKERS, api_port=0) as system,
            open_stores(system.settings) as stores,
        ):
            id = await connections.add(stores.pool, stores.keyring, "stripe", CREATOR, Ways(SECRET))
            url = f"{system.endpoints.api_url}/api/webhooks/stripe/{id}"
            began = time.perf_counter()
            run = await _deliver(system, url, plan, kills)
            seconds = time.perf_counter() - began
            records = await _records(system.settings)
            account = await wait_until_folded(
                stores.store, system.settings, records, STANDSTILL_SECONDS_MAX
            )
            wrong = await _wrong(stores, plan, account)
            if run.due:
                wrong.append(f"{len(run.due)} kills were not done: nobody ran")
            report = await verify(system.settings, processes=1)
            if report.found:
                wrong.append(f"verify finds {report.found} differences")
    return {
        "deliveries": deliveries,
        "charges": len({charge.id for charge in plan}),
        "kills": dict(sorted(run.killed.items())),
        "answers": dict(sorted(run.answers.items())),
        "records": records,
        "applied": account.applied,
        "duplicates": account.duplicates,
        "repeats": account.repeats,
        "conflicts": account.conflicts,
        "seconds": round(seconds, 3),
        "wrong": wrong,
    }


def planned(deliveries: int, repeats: float, seed: int) -> list[Charge]:
    """What each delivery tells of, in the order of sending."""
    rng = random.Random(seed)
    now = now_ms() // 1000
    charges: list[Charge] = []
    plan: list[Charge] = []
    for number in range(deliveries):
        if charges and rng.random() < repeats:
            plan.append(rng.choice(charges[-100:]))
            continue
        fan = f"cus_{rng.randrange(FANS)}"
        charge = Charge(f"ch_{number}", fan, rng.randrange(100, 10_000), now - rng.randrange(3_600))
        charges.append(charge)
        plan.append(charge)
    return plan


async def _deliver(system: System, url: str, plan: Sequence[Charge], kills: int) -> _Run:
    due = [len(plan) * number // (kills + 1) for number in range(1, kills + 1)]
    workers = [f"worker-{number}" for number in range(1, WORKERS + 1)]
    run = _Run(asyncio.Queue(), due, ["api", *workers])
    for numbered in enumerate(plan):
        run.waiting.put_nowait(numbered)
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(_send(system, session, url, run))
    return run


async def _send(system: System, session: aiohttp.ClientSession, url: str, run: _Run) -> None:
    while not run.waiting.empty():
        number, charge = run.waiting.get_nowait()
        async with asyncio.timeout(DELIVERY_SECONDS_MAX):
            while (answer := await _attempt(session, url, number, charge)) != "200":
                run.answers[answer] += 1
                await asyncio.sleep(AGAIN_SECONDS)
        run.answers[answer] += 1
        run.done += 1
        _kill_when_due(system, run)


async def _attempt(session: aiohttp.ClientSession, url: str, number: int, charge: Charge) -> str:
    """The status, or `none` when the connection broke."""
    told = {"id": charge.id, "amount": charge.cents, "currency": "usd", "customer": charge.fan}
    told["created"] = charge.created
    event = {"id": f"evt_{number}", "type": "charge.succeeded", "created": charge.created}
    body = json.dumps(event | {"data": {"object": told}}).encode()
    stamp = str(now_ms() // 1000)
    signed = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    try:
        async with session.post(
            url, data=body, headers={"Stripe-Signature": f"t={stamp},v1={signed}"}
        ) as answer:
            await answer.read()
            return str(answer.status)
    except (aiohttp.ClientError, TimeoutError):
        return "none"


def _kill_when_due(system: System, run: _Run) -> None:
    """API and workers in turn; who is away at that moment is passed over."""
    while run.due and run.done >= run.due[0]:
        pids = system.supervisor.pids()
        name = next((name for name in run.turn if name in pids), None)
        if name is None:
            return
        run.due.pop(0)
        run.turn.remove(name)
        run.turn.append(name)
        os.kill(pids[name], signal.SIGKILL)
        run.killed[name] += 1


async def _records(settings: Settings) -> int:
    """How many records `interactions` has: what was answered, and what lost its answer."""
    partitions = [
        TopicPartition(INTERACTIONS.name, number)
        for number in range(settings.interactions_partitions)
    ]
    async with reading(settings) as consumer:
        return sum((await consumer.end_offsets(partitions)).values())


async def _wrong(stores: Stores, plan: Sequence[Charge], account: Account) -> list[str]:
    charges = {charge.id: charge for charge in plan}
    wrong = []
    if account.applied != len(charges):
        wrong.append(f"{account.applied:,} events applied of {len(charges):,} charges")
    none = ("conflicts", "dead_letters", "quarantined", "forgotten")
    wrong += [f"{n:,} {name}" for name in none if (n := getattr(account, name))]
    for fan in sorted({charge.fan for charge in plan}):
        own = [charge.cents for charge in charges.values() if charge.fan == fan]
        found = await stores.store.read(CREATOR, fan)
        sums = None if found is None else found.state.engagement
        paid = None if sums is None else (sums.purchases, sums.currencies.get("USD", 0))
        if paid != (len(own), sum(own)):
            wrong.append("a fan's money is not the sum of the charges")
    return wrong
