"""Erasing a fan: what was held is gone, what is on its way too, and who comes back is new."""

import asyncio
import json
import secrets
import signal
import time
import uuid
from collections import Counter
from functools import partial
from typing import Any

import pytest

from admin.accounting import wait_until_told
from admin.rebuild import drop_former, rebuild
from admin.topics import trim
from admin.verify import verify
from infra.clock import now_ms
from infra.failpoints import ERASING
from infra.kafka import relationship_key
from infra.postgres import connecting
from lab.chaos.backwards import recreate_topic
from ops.services.ports import free_port
from ops.system import environment
from privacy.control import ControlSigner, is_control
from schemas.control import Erase, encode_control
from schemas.dead_letters import decode_dead_letter
from schemas.erased import decode_erased
from schemas.errors import FanNotFound, SealBroken
from schemas.export import Item
from schemas.random_ids import id_text
from schemas.topics import DEAD_LETTERS, ERASURES, INTERACTIONS, JOURNAL, MEMORY_UPDATES
from schemas.updates import decode_update
from stores import erasing, erasure, suppression
from stores.erasure import Status
from stores.export import BATCH, exported
from stores.letters import keys_of
from stores.opened import open_stores
from tests.api.client import running_api
from tests.api.sse import listening
from tests.cli import fanmemory
from tests.pipeline import Pipeline, eraser_of, fill, message, purchase

CREATOR = "creator"


@pytest.fixture
def fan() -> str:
    """A fan whom no other test of the module knows."""
    return f"fan-{secrets.token_hex(4)}"


async def erase(pipeline: Pipeline, fan: str, seconds: float = 20.0, **changes: object) -> Status:
    async with eraser_of(pipeline, **changes) as eraser:
        status = await eraser.erase((CREATOR, fan), seconds)
    pipeline.sent += 1
    return status


async def ordered(pipeline: Pipeline, fan: str) -> Status:
    """Erase a fan; how far that is once the order is given: what is sent from then on is another
    subject's."""
    async with eraser_of(pipeline) as eraser:
        id = (await eraser.erase((CREATOR, fan), 0.0)).erasure

        async def given() -> Status | None:
            found = await eraser.status(id)
            return found if found is not None and found.ordered_at is not None else None

        status: Status = await pipeline.wait_for(given)
    pipeline.sent += 1
    return status


async def completed(pipeline: Pipeline, status: Status) -> Status:
    async with eraser_of(pipeline) as eraser:

        async def done() -> Status | None:
            found = await eraser.status(status.erasure)
            return found if found is not None and found.completed_at is not None else None

        found: Status = await pipeline.wait_for(done)
        return found


async def told(pipeline: Pipeline, fan: str) -> list[Any]:
    records = [decode_update(one.value) for one in await pipeline.records(MEMORY_UPDATES.name)]
    return [one for one in records if one.fan_id == fan]


async def held(pipeline: Pipeline, fan: str) -> dict[str, int]:
    """Rows of a fan; of subjects that nobody stands for, of anybody."""
    rows = await pipeline.fetch(
        """SELECT (SELECT count(*) FROM subject WHERE fan_id = $1) AS subjects,
            (SELECT count(*) FROM interaction i WHERE NOT EXISTS (
                SELECT FROM subject s WHERE s.subject = i.subject)) AS events,
            (SELECT count(*) FROM g1.fan_state f WHERE NOT EXISTS (
                SELECT FROM subject s WHERE s.subject = f.subject)) AS states""",
        fan,
    )
    return dict(rows[0])


NOTHING = {"subjects": 0, "events": 0, "states": 0}


async def test_nothing_is_held_of_who_was_erased(
    running: Pipeline, fan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.erasures.WAIT_SECONDS", 20.0)  # on a busy machine
    settings = running.settings.model_copy(update={"request_seconds_max": 30.0})
    await running.publish(*(message(fan, number) for number in range(5)), message("other", 1))
    before = await running.drained()
    async with running.stores() as (cache, store), running_api(settings) as api:
        assert await fill(cache, store, CREATOR, fan)
        query = {"fanId": fan, "creatorId": CREATOR}
        headers = {"Authorization": f"Bearer {api.token(CREATOR)}"}

        answer = await api.ask("DELETE", "/api/of-memory/clear", params=query, headers=headers)

        running.sent += 1
        assert (answer.status, answer.body["success"]) == (200, True)
        assert answer.body["message"] == "Memory cleared successfully"
        assert await cache.stored([(CREATOR, fan)]) == [None]
        for path in ("context", "engagement-score"):
            gone = await api.ask("GET", f"/api/of-memory/{path}", params=query, headers=headers)
            assert gone.status == 404
        later = query | {"field": "engagementScore"}
        explained = await api.ask("GET", "/api/of-memory/explain", params=later, headers=headers)
        assert explained.status == 404
        past = query | {"asOf": "2026-01-01T00:00:00Z"}
        assert (
            await api.ask("GET", "/api/of-memory/context", params=past, headers=headers)
        ).status == 404

        path = f"/api/of-memory/erasures/{answer.body['erasureId']}"
        status = (await api.ask("GET", path, headers=headers)).body["data"]
        assert status["held"] and status["waitsFor"] == []
        assert status["erased"] <= status["ordered"] <= status["completed"]
        receipt = (await api.ask("GET", f"{path}/receipt", headers=headers)).body["receipt"]
        assert {(one["name"], one["found"]) for one in receipt["emptied"]} >= {
            ("subject", 0),
            ("interaction", 0),
            ("c:", 0),
        }
        others = {"Authorization": f"Bearer {api.token('somebody')}"}
        assert (await api.ask("GET", path, headers=others)).status == 404
        for nothing in (uuid.uuid4(), "no-id"):
            path = f"/api/of-memory/erasures/{nothing}"
            assert (await api.ask("GET", path, headers=headers)).status == 404
    assert await held(running, fan) == NOTHING
    after = await running.drained()
    assert (after.control - before.control, after.read) == (1, running.sent)
    noted = [decode_erased(one.value) for one in await running.records(ERASURES.name)]
    rows = await running.fetch("SELECT subject FROM erased_subject")
    assert {one.subject for one in noted} == {str(row["subject"]) for row in rows}

    async def heard() -> bool:
        updates = await told(running, fan)
        return bool(updates) and updates[-1].erased is True

    await running.wait_for(heard)
    assert (await verify(running.settings, processes=1)).found == 0


async def test_who_was_on_the_way_is_erased_and_who_comes_back_is_new(
    running: Pipeline, fan: str
) -> None:
    """The worker sleeps in the meantime: its caches and its fetches are older than the erasure."""
    await running.publish(*(message(fan, number) for number in range(3)))
    await running.drained()
    (first,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    (worker,) = running.workers
    await running.pause(worker)
    try:
        before, after = (purchase(fan, number, -3.0) for number in (11, 12))
        await running.publish(*(message(fan, number) for number in range(3, 6)), before)
        status = await ordered(running, fan)
        assert status.completed_at is None
        assert "ingest" in status.waits_for
        await running.publish(*(message(fan, number) for number in range(6, 10)), after)
    finally:
        worker.signal(signal.SIGCONT)

    done = await completed(running, status)
    await running.drained()

    (second,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    assert second["subject"] != first["subject"]
    assert done.subjects == 2  # what was on the way had made another one
    async with running.stores() as (_, store):
        history = await store.history(CREATOR, fan, 20)
        await wait_until_told(store, 60.0)
    assert [entry.event_id for _, entry in history] == ["e6", "e7", "e8", "e9"]
    assert await held(running, fan) == NOTHING | {"subjects": 1}
    async with connecting(running.settings.postgres_url) as connection:
        letters = [
            decode_dead_letter(one.value) for one in await running.records(DEAD_LETTERS.name)
        ]
        theirs = {one.key: one for one in letters if one.key and one.key.startswith("subject:")}
        keys = await keys_of(connection, running.keyring, letters)
        assert json.loads(keys.open(theirs.pop(f"subject:{second['subject']}")) or b"") == after
        assert theirs
        for letter in theirs.values():  # of before the order, and done in one transaction with it
            with pytest.raises(SealBroken):
                keys.open(letter)
    report = await verify(running.settings, processes=1)
    assert (report.differences, report.not_compared) == ((), ())
    assert report.intake.forgotten >= 6


async def test_an_order_beside_what_a_suppressed_fan_sends_counts_as_an_order(
    running: Pipeline, fan: str
) -> None:
    await running.publish(message(fan, 1))
    before = await running.drained()
    (worker,) = running.workers
    await running.pause(worker)
    try:
        async with open_stores(running.settings) as stores:
            await suppression.put(stores.pool, running.keyring, (CREATOR, fan))
        await running.publish(purchase(fan, 2, -3.0))
        status = await erase(running, fan, seconds=0.1)
    finally:
        worker.signal(signal.SIGCONT)
    assert (await completed(running, status)).subjects == 1
    after = await running.drained()
    assert after.suppressed - before.suppressed == 1
    assert after.control > before.control, "it is given again where nobody came to it for long"
    async with open_stores(running.settings) as stores:
        assert await suppression.lift(stores.pool, running.keyring, (CREATOR, fan))
    assert await held(running, fan) == NOTHING


async def test_a_stream_that_is_open_is_told_and_an_export_under_way_breaks_off(
    running: Pipeline, fan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither holds the erasure up, and neither hands on what was erased."""
    monkeypatch.setattr("api.erasures.WAIT_SECONDS", 20.0)  # on a busy machine
    settings = running.settings.model_copy(update={"request_seconds_max": 30.0})
    await running.publish(*(message(fan, number) for number in range(2 * BATCH + 1)))
    await running.drained()
    who, handed = (CREATOR, fan), 0
    async with (
        open_stores(settings, connections_max=3) as stores,
        running_api(settings) as api,
        listening(api, CREATOR, fanId=fan) as stream,
    ):
        await stream.place()
        parts = exported(settings, stores.pool, stores.keyring, who, now_ms())
        async for part in parts:
            handed += isinstance(part, Item)
            if handed:
                break
        query = {"fanId": fan, "creatorId": CREATOR}
        headers = {"Authorization": f"Bearer {api.token(CREATOR)}"}
        answer = await api.ask("DELETE", "/api/of-memory/clear", params=query, headers=headers)
        assert answer.status == 200, answer.body
        running.sent += 1
        with pytest.raises(FanNotFound):
            async for part in parts:
                handed += isinstance(part, Item)
        assert handed == BATCH  # what it had read by then, and nothing more
        gone = await api.ask("GET", "/api/of-memory/export", params=query, headers=headers)
        assert gone.status == 404
        assert [one.name for one in await stream.events(1)] == ["erased"]
        await running.publish(message(fan, 2 * BATCH + 1))
        assert [one.name for one in await stream.events(1)] == ["update"]
    assert await held(running, fan) == NOTHING | {"subjects": 1}


async def test_without_redis_or_kafka_a_worker_goes_on_with_it(running: Pipeline, fan: str) -> None:
    """Whoever was asked can't reach them: so it says what is pending, and the workers finish."""
    for away, waits in (
        ({"redis_url": f"redis://127.0.0.1:{free_port()}"}, "cache"),
        ({"kafka_url": f"127.0.0.1:{free_port()}"}, "order"),
    ):
        await running.publish(message(fan, 1))
        await running.without_lag()
        async with running.stores() as (cache, store):
            await fill(cache, store, CREATOR, fan)
            running.stop_workers()  # who else would have finished it before it is looked at

            status = await erase(running, fan, seconds=0.0, **away)

            assert status.completed_at is None
            assert waits in status.waits_for
            running.start_worker()
            assert (await completed(running, status)).subjects == 1
            assert await cache.stored([(CREATOR, fan)]) == [None]
        assert await held(running, fan) == NOTHING


async def test_an_order_that_was_not_given_by_us_changes_nothing(
    running: Pipeline, fan: str
) -> None:
    await running.publish(message(fan, 1))
    before = await running.without_lag()
    key, signer = relationship_key(CREATOR, fan), ControlSigner(running.keyring)
    value = encode_control(Erase(CREATOR, fan, str(uuid.uuid4())))
    other = relationship_key(CREATOR, "another")
    name, signature = signer.header(other, value)
    forged = [
        (key, value, []),
        (key, value, [(name, signature)]),  # signed for another key
        (key, value, [(name, b"0" * 64)]),
        (key, value, [signer.header(key, value + b" ")]),
    ]
    async with running.producer() as producer:
        for record in forged:
            await producer.send_and_wait(
                INTERACTIONS.name, record[1], key=record[0], headers=record[2]
            )
    running.sent += len(forged)
    after = await running.without_lag()
    assert after.dead_letters - before.dead_letters == len(forged)
    assert after.control == before.control
    assert (await running.history())[fan] == 1
    assert await running.fetch("SELECT 1 FROM erasure WHERE erasure = $1", uuid.uuid4()) == []
    # What a refused order held is no event of anybody's: nothing is made of it.
    assert len(await running.records(DEAD_LETTERS.name)) >= len(forged)


async def test_what_was_refused_of_a_fan_is_erased_too(running: Pipeline, fan: str) -> None:
    """Whose letters name nobody who is known are sealed under a key of the day."""
    await running.publish(message(fan, 1))
    await running.without_lag()
    bad, nobody = purchase(fan, 2, -3.0), b"nobody's: " + fan.encode()
    await running.publish(bad, nobody)
    await running.without_lag()
    opened = {letter.key: value for letter, value in await running.dead_letters() if value}
    (subject,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    key = f"subject:{subject['subject']}"
    assert json.loads(opened[key]) == bad
    (letter,) = [one for one, value in await running.dead_letters() if value == nobody]
    assert letter.key is not None and letter.key.startswith("day:")
    (theirs,) = [one for one, _ in await running.dead_letters() if one.key == key]

    assert (await erase(running, fan)).completed_at is not None

    async with connecting(running.settings.postgres_url) as connection:
        keys = await keys_of(connection, running.keyring, [letter, theirs])
        assert keys.open(letter) == nobody
        with pytest.raises(SealBroken):
            keys.open(theirs)
        await connection.execute("DELETE FROM day_key")
        gone = await keys_of(connection, running.keyring, [letter])
        with pytest.raises(SealBroken):
            gone.open(letter)


async def test_a_copy_of_an_order_erases_nobody_again(running: Pipeline, fan: str) -> None:
    await running.publish(message(fan, 1))
    await running.without_lag()
    status = await erase(running, fan)
    assert status.completed_at is not None
    (order,) = [
        one
        for one in await running.records(INTERACTIONS.name)
        if id_text(status.erasure).encode() in one.value
    ]
    await running.publish(message(fan, 2))
    before = await running.without_lag()
    async with running.producer() as producer:
        await producer.send_and_wait(
            INTERACTIONS.name, order.value, key=order.key, headers=list(order.headers)
        )
    running.sent += 1
    after = await running.without_lag()
    assert after.control - before.control == 1
    assert (await running.history())[fan] == 1


async def test_erasing_again_and_erasing_nobody_is_fine(running: Pipeline, fan: str) -> None:
    await running.publish(message(fan, 1))
    await running.without_lag()
    statuses = [
        await erase(running, fan),
        await erase(running, fan),
        await erase(running, "no-one"),
    ]
    assert [one.subjects for one in statuses] == [1, 0, 0]
    assert None not in [one.completed_at for one in statuses]
    rows = await running.fetch("SELECT count(sealed) AS n FROM erasure WHERE completed_at > now()")
    assert rows[0]["n"] == 0


async def test_several_at_once_are_all_done(running: Pipeline, fan: str) -> None:
    fans = [f"{fan}-{number}" for number in range(20)]
    await running.publish(*(message(one, 1) for one in fans))
    await running.without_lag()
    async with eraser_of(running) as eraser:
        statuses = await asyncio.gather(
            *(eraser.erase((CREATOR, one), 20.0) for one in fans), eraser.erase((CREATOR, fan), 20)
        )
    running.sent += len(statuses)
    assert all(one.completed_at is not None for one in statuses)
    assert [one.subjects for one in statuses] == [1] * 20 + [0]
    assert set(fans).isdisjoint(await running.history())


async def test_long_histories_are_deleted_in_transactions_of_their_own(
    running: Pipeline, fan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that deleted them all would hold the positions of their partitions for minutes."""
    monkeypatch.setattr(erasing, "ERASED_ROWS_MAX", 3)
    fans = [f"{fan}-{number}" for number in range(4)]
    await running.publish(*(message(one, at) for one in fans for at in range(2)))
    await running.without_lag()
    async with eraser_of(running) as eraser:
        statuses = await asyncio.gather(*(eraser.erase((CREATOR, one), 20.0) for one in fans))
    running.sent += len(statuses)
    assert [(one.subjects, one.events) for one in statuses] == [(1, 2)] * 4
    rows = await running.fetch(
        "SELECT DISTINCT at FROM erased_subject WHERE erasure = ANY ($1)",
        [id_text(one.erasure) for one in statuses],
    )
    assert len(rows) == 4, "the time of each one's transaction"


async def test_who_asks_is_told_where_to_ask_again_however_long_deleting_takes(
    running: Pipeline, fan: str
) -> None:
    """As of a million rows: no 504 while it goes on, and no claim that it is done."""
    await running.publish(message(fan, 1))
    await running.without_lag()
    async with running_api(running.settings) as api:
        query = {"fanId": fan, "creatorId": CREATOR}
        headers = {"Authorization": f"Bearer {api.token(CREATOR)}"}
        async with running.locked("quarantine"):
            asked = time.monotonic()
            answer = await api.ask("DELETE", "/api/of-memory/clear", params=query, headers=headers)
            assert time.monotonic() - asked < running.settings.request_seconds_max
            assert answer.status == 202, answer.body
            path = answer.headers["location"]
            assert answer.body["data"] | {"erasureId": None} == {
                "erasureId": None,
                "erased": None,
                "ordered": None,
                "completed": None,
                "held": False,
                "waitsFor": ["deletion", "order", "cache"],
            }
            assert (await api.ask("GET", path, headers=headers)).body["data"] == answer.body["data"]
            assert (await running.history())[fan] == 1

        async def done() -> Any:
            status = (await api.ask("GET", path, headers=headers)).body["data"]
            return status if status["completed"] is not None else None

        status = await running.wait_for(done)
    running.sent += 1
    assert (status["held"], status["waitsFor"]) == (True, [])
    assert status["erased"] <= status["ordered"] <= status["completed"]
    assert await held(running, fan) == NOTHING


async def test_who_has_a_short_history_does_not_wait_for_who_has_a_long_one(
    running: Pipeline, fan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "ERASED_ROWS_MAX", 2)
    sizes = {f"{fan}-long": 4, f"{fan}-longer": 5, f"{fan}-short": 1}
    await running.publish(*(message(one, at) for one, size in sizes.items() for at in range(size)))
    await running.without_lag()
    async with eraser_of(running) as eraser:
        await asyncio.gather(*(eraser.erase((CREATOR, one), 20.0) for one in sizes))
    running.sent += len(sizes)
    rows = await running.fetch("SELECT events FROM erased_subject ORDER BY at DESC LIMIT 3")
    assert [row["events"] for row in rows][-1] == 1


async def test_what_was_deleted_in_order_is_not_deleted_once_more(
    running: Pipeline, fan: str
) -> None:
    """A request was written down, and its order given by somebody else: who came back stays."""
    who = (CREATOR, fan)
    await running.publish(message(fan, 1))
    await running.without_lag()
    async with running.stores() as (_, store), open_stores(running.settings) as stores:
        names = erasure.Names(running.keyring)
        (id,) = await erasure.begin(stores.pool, names, [who])
        key, value = relationship_key(*who), encode_control(Erase(*who, id_text(id)))
        header = ControlSigner(running.keyring).header(key, value)
        async with running.producer() as producer:
            await producer.send_and_wait(INTERACTIONS.name, value, key=key, headers=[header])
        await running.publish(message(fan, 2))

        async def back() -> bool:
            return [one.event_id for _, one in await store.history(*who, 9)] == ["e2"]

        await running.wait_for(back)
        assert await erasure.delete(stores.pool, names, 4, {id: who}) == []
        assert await erasure.unerased(stores.pool, names, 0.0, 9) == {}
        async with eraser_of(running) as eraser:
            status = await eraser.status(id)
        assert status is not None
        assert (status.erased_at, status.subjects) == (status.taken_at, 1)
        assert await back()


async def test_the_views_can_be_built_again_without_who_was_erased(
    running: Pipeline, fan: str
) -> None:
    await running.publish(*(message(fan, number) for number in range(4)), message("stays", 1))
    await running.without_lag()
    building = asyncio.create_task(rebuild(running.settings, processes=1))
    status = await erase(running, fan)
    rebuilt = await building
    assert status.completed_at is not None
    rows = await running.fetch(
        f"SELECT count(*) AS n FROM g{rebuilt.generation}.fan_state f WHERE NOT EXISTS"
        " (SELECT FROM subject s WHERE s.subject = f.subject)"
    )
    assert rows[0]["n"] == 0
    await running.publish(message(fan, 9))
    await running.without_lag()
    report = await verify(running.settings, processes=1)
    assert report.found == 0, report.differences
    await drop_former(running.settings)


async def test_whoever_dies_while_erasing_is_carried_on_by_a_worker(
    running: Pipeline, fan: str
) -> None:
    """At each point, as by kill -9; each is passed, and nothing of it is done by halves."""
    points = [point for point in ERASING if point.startswith("erase.")]
    fans = {point: f"{fan}-{point}" for point in points}
    await running.publish(*(message(one, 1) for one in fans.values()))
    await running.without_lag()
    for point, one in fans.items():
        settings = running.settings.model_copy(update={"fail_at": point})
        words = ("erase", "--creator", CREATOR, "--fan", one)
        asked: Any = environment(settings)
        ran = await asyncio.to_thread(partial(fanmemory, *words, **asked))
        assert ran.returncode == -signal.SIGKILL, (point, ran.stdout, ran.stderr)

    async def all_completed() -> bool:
        rows = await running.fetch("SELECT 1 FROM erasure WHERE completed_at IS NULL")
        return not rows

    await running.wait_for(all_completed)
    assert set(fans.values()).isdisjoint(await running.history())
    signer = ControlSigner(running.keyring)
    given: Counter[int] = Counter(
        one.partition
        for one in await running.records(INTERACTIONS.name)
        if is_control(one.headers) and signer.proves(one.headers, one.key, one.value)
    )
    rows = await running.fetch("SELECT partition, control FROM position WHERE control > 0")
    assert {row["partition"]: row["control"] for row in rows} == given
    running.sent = len(await running.records(INTERACTIONS.name))
    report = await verify(running.settings, processes=1)
    assert report.differences == ()
    assert report.intake.control == given.total()


async def test_a_journal_that_is_written_again_brings_nobody_back(
    running: Pipeline, fan: str
) -> None:
    """Ingest goes back to where the log was lost, and meets the erased events and the order once
    more; the worker that had come to the order was killed behind its commit."""
    running.stop_workers()
    crashing = running.start_worker(fail_at="ingest.after_erase")
    await running.publish(*(message(fan, number) for number in range(3)))
    await running.without_lag()
    status = await erase(running, fan, seconds=0.0)
    assert crashing.process.wait(30) == -signal.SIGKILL
    await running.publish(message(fan, 7), message(fan, 8))
    await running.forget_dead_workers()
    running.workers.clear()
    running.start_worker()
    await completed(running, status)

    async def back() -> bool:
        return (await running.history()).get(fan) == 2

    await running.wait_for(back)
    running.stop_workers()
    (before,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    everybody = await running.history()

    lost = {partition for partition, end in (await running.ends(JOURNAL.name)).items() if end}
    await recreate_topic(running.settings, JOURNAL.name)
    running.start_worker()
    await running.written_again(lost)

    async def whole() -> bool:
        return bool(await running.history() == everybody)

    await running.wait_for(whole, instead=running.history)
    (after,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    assert after["subject"] == before["subject"]
    async with running.stores() as (_, store):
        history = await store.history(CREATOR, fan, 20)
    assert [entry.event_id for _, entry in history] == ["e7", "e8"]
    report = await verify(running.settings, processes=1)
    assert report.differences == ()
    rows = await running.fetch("SELECT partition, next FROM position WHERE generation = 0")
    trimmed = await trim(running.settings, {row["partition"]: row["next"] for row in rows})
    assert sum(trimmed.values()) > 0
    assert await trim(running.settings, {row["partition"]: row["next"] for row in rows}) == {}
    assert (await verify(running.settings, processes=1)).differences == ()
