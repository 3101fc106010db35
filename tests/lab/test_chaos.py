"""The fault suite, short, and proofs that it would notice what it looks for."""

import asyncio
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from admin.accounting import Account, wait_until_folded, wait_until_told
from infra.failpoints import ALL, POINTS
from infra.kafka import client_options
from infra.postgres import connect, connecting, open_pool
from infra.settings import Settings
from lab.bench.proxy import slowed
from lab.chaos.checks import Check, check_account, check_all
from lab.chaos.disks import MOUNTED
from lab.chaos.emitter import Emitter
from lab.chaos.fleet import Fleet, fences_seen
from lab.chaos.plan import FULL, INTAKE_LOST, JOURNAL_LOST, SHORT, make_plan
from lab.chaos.reader import Reader
from lab.chaos.registry import FAULTS
from lab.chaos.run import check_faults, run_chaos
from lab.load import Event, events
from ops.supervisor import Restart, Supervisor
from ops.system import program
from privacy.keys import Keyring
from schemas.topics import INTERACTIONS
from stores.store import Store
from streams import app as streams_app
from tests.documents import opened_states, put_state
from views.messages import MESSAGES_MAX
from views.state import decode, encode

pytestmark = pytest.mark.usefixtures("forked_programs")

SEED = 7
STANDSTILL_SECONDS_MAX = 60.0


async def test_a_short_run_of_the_fault_suite_keeps_every_promise(tmp_path: Path) -> None:
    told: list[str] = []
    verdict = await run_chaos(tmp_path, seed=SEED, workers=3, amounts=SHORT, on_step=told.append)
    assert [check for check in verdict.checks if not check.passed] == [], "\n".join(told)
    assert verdict.passed


def test_a_seed_gives_the_same_plan_and_another_seed_another() -> None:
    assert make_plan(SEED, FULL) == make_plan(SEED, FULL)
    assert make_plan(SEED, FULL) != make_plan(SEED + 1, FULL)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_holds_all_that_was_promised_in_any_order(seed: int) -> None:
    plan = make_plan(seed, FULL)
    armed = [step.point for step in plan.workers if step.fault == "crash"]
    assert sorted(armed) == sorted(POINTS)
    kills = sum(step.workers for step in plan.workers if step.fault in ("kill", "crash"))
    assert kills == FULL.worker_kills >= 30
    assert sum(step.fault == "pause" for step in plan.workers) == FULL.pauses
    services = Counter(step.fault for step in plan.services)
    assert services == FULL.services
    assert services["kafka killed"] >= 5
    assert [step.at for step in plan.services] == sorted(step.at for step in plan.services)


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_takes_from_the_journal_only_while_interactions_has_it_all(seed: int) -> None:
    faults = [step.fault for step in make_plan(seed, FULL).services]
    last = max(at for at, fault in enumerate(faults) if fault in JOURNAL_LOST)
    assert last < min(at for at, fault in enumerate(faults) if fault in INTAKE_LOST)


def test_every_fault_that_can_be_injected_is_in_the_whole_run() -> None:
    assert FULL.services.keys() == FAULTS.keys()
    assert SHORT.services.keys() < FAULTS.keys()


def test_every_named_crash_point_stands_in_the_code_once() -> None:
    root = Path(streams_app.__file__).parents[1]
    rooms = ("streams", "stores", "llm")
    sources = [path for room in rooms for path in (root / room).rglob("*.py")]
    found = [
        name for path in sources for name in re.findall(r'fail_point\("(.+?)"\)', path.read_text())
    ]
    assert sorted(found) == sorted(ALL)


def test_a_run_without_one_of_the_faults_fails() -> None:
    enough = Counter(
        {
            "worker kills": FULL.worker_kills,
            "crashes": len(POINTS),
            "pauses": FULL.pauses,
            "fences seen": FULL.fences,
            "joins": FULL.joins,
            "leaves": FULL.leaves,
            **FULL.services,
        }
    )
    assert all(check.passed for check in check_faults(enough, FULL, []))
    for name in enough:
        short = enough - Counter({name: 1})
        assert [c.name for c in check_faults(short, FULL, []) if not c.passed] == [
            f"injected and seen: {name}"
        ]
    assert not all(check.passed for check in check_faults(enough, FULL, [POINTS[0]]))


@dataclass(frozen=True)
class Drained:
    """A small load that one worker has taken in, and what the checks say of it."""

    settings: Settings
    emitter: Emitter
    emitted: list[Event]
    account: Account

    async def failed(self) -> set[str]:
        """Names of the checks that don't pass. Nobody read meanwhile: one always fails."""
        reader = Reader(self.settings, [], SEED)
        checks: list[Check] = await check_all(
            self.settings, self.emitter, reader, self.emitted, self.account
        )
        return {check.name for check in checks if not check.passed}


UNREAD = ("contexts were read all the while", "contexts at most 8 s behind the database")
VERIFIED = "`fanmemory verify`: everything equals a fresh fold of the journal"


@pytest.fixture
async def drained(settings: Settings, tmp_path: Path) -> AsyncIterator[Drained]:
    emitted = list(events(SEED, 1_500, 60))
    emitter = Emitter(settings, emitted)
    async with running_fleet(settings, tmp_path), stores(settings) as store:
        await emitter.start()
        try:
            emitter.rate = 10_000.0
            await emitter.run()
            account = await wait_until_folded(store, settings, len(emitted), STANDSTILL_SECONDS_MAX)
            await wait_until_told(store, STANDSTILL_SECONDS_MAX)
            yield Drained(settings, emitter, emitted, account)
        finally:
            await emitter.stop()


@asynccontextmanager
async def running_fleet(settings: Settings, data: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(settings, data)
    fleet.join()
    try:
        yield fleet
    finally:
        await fleet.stop()


@asynccontextmanager
async def stores(settings: Settings) -> AsyncIterator[Store]:
    pool = await open_pool(settings.postgres_url, size_max=2)
    try:
        keyring = Keyring.of(settings)
        yield Store(pool, keyring, settings.journal_partitions)
    finally:
        await pool.close()


async def test_the_checks_notice_a_lost_cent_a_foreign_record_and_an_untold_move(
    drained: Drained,
) -> None:
    # Nobody has read, so nothing is cached, and verify alone would have nothing to compare there.
    assert await drained.failed() == {*UNREAD, VERIFIED}
    async with connecting(drained.settings.postgres_url) as connection:
        of, *_ = (await opened_states(connection, Keyring.of(drained.settings))).values()
        state = decode(of.document)
        state.engagement.revenue -= 1
        await put_state(connection, of, encode(state), version=of.version + 1)
    producer = AIOKafkaProducer(**client_options(drained.settings), acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(INTERACTIONS.name, b"{}", partition=0)
    finally:
        await producer.stop()
    # The worker may have told the foreign record's dead letter by now, or not.
    assert await drained.failed() >= {
        VERIFIED,
        "counts and revenue of every fan, from what was emitted",
        "the last move of every fan was told",
        "what was emitted is in the topic, once, in order",
    }


def test_the_reader_notices_what_goes_back_what_is_stale_and_whose_parts_differ() -> None:
    def context(interactions: int, messages: int, recent: int) -> Any:
        return {
            "personalityProfile": {"interactionCount": interactions},
            "engagementMetrics": {"totalMessages": messages},
            "recentMessages": [{}] * recent,
        }

    fan = ("creator", "fan")
    reader = Reader(Settings(), [fan], SEED)
    for right in (context(3, 2, 2), context(3, 2, 2), context(90, 80, MESSAGES_MAX)):
        reader.look_at(fan, right)
    assert (reader.went_back, reader.torn) == (0, 0)
    reader.look_at(fan, context(89, 80, MESSAGES_MAX))
    assert (reader.went_back, reader.torn) == (1, 0)
    reader.look_at(fan, context(90, 80, 0))
    reader.look_at(fan, context(90, 80, 1))
    assert (reader.went_back, reader.torn) == (1, 2)
    for stored in (89, 90, 91):
        reader.hold(fan, stored)
    assert (reader.held, reader.stale) == (3, 1)
    reader.forget(60.0)  # the database itself has gone back
    reader.look_at(fan, context(5, 4, 4))
    assert (reader.went_back, reader.torn) == (1, 2)


def test_the_accounting_checks_notice_one_event_too_few_and_one_too_many() -> None:
    emitted = list(events(SEED, 1_500, 60))
    natures = Counter(event.nature for event in emitted)
    right = Account(
        accepted=len(emitted) - natures["bad"],
        dead_letters=natures["bad"],
        applied=natures["fresh"] + natures["late"],
        duplicates=natures["duplicate"],
        conflicts=natures["conflict"],
        repeats=5,
    )
    assert all(check.passed for check in check_account(emitted, right))
    for name in (
        *("accepted", "dead_letters", "applied", "duplicates", "conflicts"),
        *("forgotten", "quarantined"),
    ):
        for step in (-1, 1):
            wrong = replace(right, **{name: getattr(right, name) + step})
            assert not all(check.passed for check in check_account(emitted, wrong)), name
    # Once a log was cut, a duplicate may be counted as a repeat; nothing else may be off.
    cut = replace(right, duplicates=1, repeats=natures["duplicate"] - 1, forgotten=1)
    assert not all(check.passed for check in check_account(emitted, cut))
    assert all(check.passed for check in check_account(emitted, cut, True))
    for name in ("accepted", "dead_letters", "applied", "quarantined", "repeats"):
        wrong = replace(cut, **{name: getattr(cut, name) - 1})
        assert not all(check.passed for check in check_account(emitted, wrong, True)), name


async def test_a_fleet_tells_a_crash_it_ordered_from_a_death_it_did_not(
    settings: Settings, tmp_path: Path
) -> None:
    emitter = Emitter(settings, list(events(SEED, 400, 20)))
    async with running_fleet(settings, tmp_path) as fleet:
        worker = next(iter(fleet.workers.values()))
        async with asyncio.timeout(STANDSTILL_SECONDS_MAX):
            while not worker.works:
                await asyncio.sleep(0.05)
        await emitter.start()
        emitter.rate = 100.0
        emitting = asyncio.create_task(emitter.run())
        try:
            assert await worker.fail_at("ingest.before_commit", STANDSTILL_SECONDS_MAX)
            assert fleet.deaths == []
            assert fences_seen(worker.log) == 0
            async with asyncio.timeout(STANDSTILL_SECONDS_MAX):
                while not worker.works:
                    await asyncio.sleep(0.05)
                # What nobody ordered: the kernel or an operator may do that too.
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGTERM)
                while not fleet.deaths:
                    await asyncio.sleep(0.05)
        finally:
            await emitting
            await emitter.stop()
        assert [death.name for death in fleet.deaths] == [worker.name]


async def test_a_worker_that_stands_still_with_lag_exits_and_is_restarted(
    settings: Settings, tmp_path: Path
) -> None:
    restarts: list[Restart] = []
    supervisor = Supervisor(on_restart=restarts.append)
    impatient = settings.model_copy(update={"stall_seconds_max": 3.0})
    emitted = list(events(SEED, 600, 20))
    emitter = Emitter(settings, emitted)
    supervisor.add(program("worker", "worker", tmp_path, impatient))
    try:
        async with stores(settings) as store:
            await emitter.start()
            emitter.rate = 10_000.0
            await emitter.run()
            await wait_until_folded(store, settings, len(emitted), STANDSTILL_SECONDS_MAX)
            holder = await connect(settings.postgres_url)
            try:
                await _hold_positions(holder, settings, impatient, restarts)
            finally:
                holder.terminate()
            # The next one goes on where the first stood still, and nothing counts twice.
            account = await wait_until_folded(
                store, settings, len(emitted) + 1, STANDSTILL_SECONDS_MAX
            )
            assert account.applied == sum(e.nature in ("fresh", "late") for e in emitted)
            assert account.dead_letters == sum(e.nature == "bad" for e in emitted) + 1
    finally:
        await supervisor.stop()
        await emitter.stop()
    assert restarts[0].name == "worker"
    assert restarts[0].reason == "exit code 70"
    log = (tmp_path / "logs" / "worker.log").read_text()
    assert "has lag and does not move" in log


async def _hold_positions(
    holder: Any, settings: Settings, impatient: Settings, restarts: list[Restart]
) -> None:
    """Keep the rows that every commit moves, publish something, and wait for the exit."""
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("SELECT * FROM position FOR UPDATE")
    producer = AIOKafkaProducer(**client_options(settings), acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(INTERACTIONS.name, b"not an event", partition=0)
    finally:
        await producer.stop()
    async with asyncio.timeout(STANDSTILL_SECONDS_MAX + impatient.stall_seconds_max):
        while not restarts:
            await asyncio.sleep(0.05)


async def test_the_proxy_makes_each_answer_as_much_later_as_it_says() -> None:
    answer_seconds = 0.02

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(answer_seconds)
            writer.write(line.upper())
        writer.close()

    async def ask(port: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        took = loop.time() - asked_at
        writer.close()
        return took

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with slowed("127.0.0.1", port, 1.0) as direct:
            plain = await ask(direct)
        async with slowed("127.0.0.1", port, 20.0) as slow:
            slowly = await ask(slow)
    finally:
        server.close()
    assert plain >= answer_seconds
    assert slowly >= 20 * answer_seconds


def test_the_whole_plan_of_the_suite_has_every_kind_of_fault_the_short_one_what_is_quick() -> None:
    slow = {  # their short forms are in tests/streams/test_backwards.py
        "journal cut",
        "journal recreated",
        "journal regrown",
        "interactions recreated",
        "interactions regrown",
    }
    for amounts, left_out in ((FULL, set()), (SHORT, slow)):
        assert amounts.worker_kills and amounts.crash_points and amounts.pauses
        assert amounts.services.keys() | MOUNTED == FAULTS.keys() - left_out
        assert all(amounts.services.values())
        assert amounts.joins and amounts.leaves
    assert FULL.services.keys() == FAULTS.keys()
    assert FULL.crash_points == POINTS
    assert FULL.fences >= 1
    assert FULL.evictions >= 1_000
