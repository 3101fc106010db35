"""Forgetting messages: the views are those of a world without them, and nothing opens them."""

import asyncio
import random
import secrets
import signal
import uuid
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import redis.asyncio

from admin.accounting import wait_until_told
from admin.ledger import catch_up
from admin.rebuild import drop_former, rebuild
from admin.sweep import proofs, sweep
from admin.verify import verify
from infra.failpoints import FORGETTING
from infra.kafka import relationship_key
from infra.postgres import connecting
from ops.services.ports import free_port
from ops.system import environment
from privacy.control import ControlSigner
from privacy.receipts import Signer
from privacy.receipts import verify as prove
from privacy.seal import open_if_intact
from privacy.subjects import Subjects
from schemas.control import Forget, encode_control
from schemas.dead_letters import decode_dead_letter
from schemas.erased import EVENTS, decode_erased
from schemas.errors import FanNotFound, SealBroken
from schemas.journal import decode_record, is_forgotten
from schemas.random_ids import id_text
from schemas.receipts import SignedReceipt
from schemas.times import DAY_MS, render_time
from schemas.topics import DEAD_LETTERS, ERASURES, INTERACTIONS, JOURNAL, MEMORY_UPDATES
from stores import retention
from stores.erasure import Status
from stores.letters import keys_of
from stores.past import open_past
from tests.api.client import running_api
from tests.cli import fanmemory
from tests.pipeline import Event, Pipeline, eraser_of, fill, forgetter_of
from tests.streams.test_corrections import (
    NOW,
    START,
    bought,
    edit,
    noted,
    of,
    randomly,
    refund,
    rendered,
    said,
    shown,
    unsent,
)
from views.explain import context_as_of

CREATOR = "creator"
FANS = 6


@pytest.fixture
def fan() -> str:
    """A fan whom no other test of the module knows."""
    return f"fan-{secrets.token_hex(4)}"


async def forget(
    pipeline: Pipeline, fan: str, *ids: str, seconds: float = 20.0, **changes: object
) -> Status:
    async with forgetter_of(pipeline, **changes) as forgetter:
        return await forgetter.forget((CREATOR, fan), ids, seconds)


async def completed(pipeline: Pipeline, status: Status) -> Status:
    async with forgetter_of(pipeline) as forgetter:

        async def done() -> Status | None:
            found = await forgetter.status(status.erasure)
            return found if found is not None and found.completed_at is not None else None

        found: Status = await pipeline.wait_for(done)
        return found


async def remembered(pipeline: Pipeline, fan: str) -> list[str]:
    """The ids of what is in a fan's history, in order."""
    async with pipeline.stores() as (_, store):
        history = await store.history(CREATOR, fan, 2_000)
    return [entry.event_id for _, entry in history if not is_forgotten(entry)]


async def opened_everywhere(pipeline: Pipeline) -> list[bytes]:
    """All that every key which there is opens of journal, history, quarantine and letters."""
    found = []
    async with connecting(pipeline.settings.postgres_url) as connection:
        ids = [row["subject"] for row in await connection.fetch("SELECT subject FROM subject")]
        keys = await Subjects(pipeline.keyring, 1 << 20).lookup(connection, ids)
        bodies = [
            (record.event_key, record.sealed)
            for raw in await pipeline.records(JOURNAL.name)
            for record in [decode_record(raw.value)]
        ]
        rows = await connection.fetch("SELECT event_key, body FROM interaction")
        bodies += [(row["event_key"], row["body"]) for row in rows]
        for one in keys.values():
            for key, body in bodies:
                entry = open_if_intact(one.cipher, one.id, key, body)
                if entry is not None and entry.content is not None:
                    found.append(entry.content.encode())
        async with pipeline.stores() as (_, store):
            await wait_until_told(store, 20.0)
        records = await pipeline.records(DEAD_LETTERS.name)
        letters = [decode_dead_letter(one.value) for one in records]
        known = await keys_of(connection, pipeline.keyring, letters)
        for letter in letters:
            try:
                found.append(known.open(letter) or b"")
            except SealBroken:
                continue
    return found


async def test_the_context_is_that_of_a_world_without_them(running: Pipeline) -> None:
    """Live, as of any time, and built again; of histories with edits, refunds and unsent messages,
    and of events that come later, once more or with another text."""
    rng = random.Random(12)
    names = [f"without {secrets.token_hex(3)} {number}" for number in range(FANS)]
    gone: dict[str, set[str]] = {}
    worlds: dict[str, tuple[list[Event], list[Event]]] = {}
    for name in names:
        events = [*randomly(rng), *randomly(rng)[:3]]
        messages = sorted({one["eventId"] for one in events if one["type"] == "message"})
        chosen = set(rng.sample(messages, 3))
        gone[name] = set(chosen)
        for _ in events:
            chosen |= {
                one["eventId"]
                for one in events
                if one["type"] == "message" and one.get("replaces") in chosen
            }
        clean = [one for one in events if one["type"] != "message" or one["eventId"] not in chosen]
        worlds[name] = events, clean
        await running.publish(*of(name, events), *of(f"clean {name}", clean))
    await running.without_lag()
    for name in names:
        status = await forget(running, name, *gone[name])
        assert (status.waits_for, status.subjects) == ([], 1)
    for name, (events, _) in worlds.items():
        more = [said(900), refund(901, "p9", 4)]
        again = [one for one in events if one["eventId"] in gone[name]]
        changed = [one | {"content": "something else"} for one in again if "content" in one]
        await running.publish(*of(name, [*again, *changed, *more]), *of(f"clean {name}", more))
    await running.without_lag()

    async def compare() -> None:
        past = await open_past(running.settings, running.keyring)
        try:
            async with running.stores() as (_, store):
                for name in names:
                    live = await shown(store, name)
                    assert live == await shown(store, f"clean {name}"), worlds[name]
                    for time in (START + 3000, START + 9000, START + 22_000, NOW):
                        seen = []
                        for fan in (name, f"clean {name}"):
                            at = partial(as_of, (CREATOR, fan), time)
                            context = await past.fold(CREATOR, fan, at)
                            seen.append(None if context is None else rendered(context, fan))
                        assert seen[0] == seen[1]
        finally:
            await past.close()
        report = await verify(running.settings, processes=1)
        assert (report.differences, report.not_compared) == ((), ())

    await compare()
    await rebuild(running.settings, processes=1)
    await drop_former(running.settings)
    await running.publish(*of("after the switch", [said(1)]))
    await running.without_lag()
    await compare()


def as_of(who: tuple[str, str], time: int, known: Any) -> Any:
    return context_as_of(*who, known, time)


async def test_no_key_that_is_left_opens_it_anywhere(running: Pipeline, fan: str) -> None:
    secret, stays = secrets.token_hex(16), secrets.token_hex(16)
    conflict = said(2, content=f"another {secret}")
    await running.publish(
        *of(fan, [said(1, content=stays), said(2, content=secret), edit(3, "e2", f"as {secret}")])
    )
    await running.publish(*of(fan, [conflict]))
    await running.without_lag()
    before = b"\n".join(await opened_everywhere(running))
    assert before.count(secret.encode()) >= 5  # journal, history, and the conflict's letter
    (old,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)

    status = await forget(running, fan, "e2")

    assert (status.completed_at is not None, status.events) == (True, 2)
    after = b"\n".join(await opened_everywhere(running))
    assert secret.encode() not in after
    assert after.count(stays.encode()) == 2  # history and journal
    (new,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    assert new["subject"] != old["subject"]
    assert await remembered(running, fan) == ["e1"]
    noted = [decode_erased(one.value) for one in await running.records(ERASURES.name)]
    (ledger,) = [one for one in noted if one.subject == str(old["subject"])]
    assert (ledger.kind, len(ledger.events), ledger.before) == (EVENTS, 2, None)
    assert (await verify(running.settings, processes=1)).differences == ()


async def test_a_note_is_forgotten_as_a_message_is(running: Pipeline, fan: str) -> None:
    """With the message of the same id, if there is one, and with what it was edited to."""
    secret = secrets.token_hex(16)
    written = noted(2, content=secret)
    events = [said(1), said(2, content=secret), written, noted(3, content=secret, replaces="e2")]
    await running.publish(*of(fan, [*events, noted(4)]))
    await running.without_lag()
    status = await forget(running, fan, "e2")
    assert (status.completed_at is not None, status.events) == (True, 3)
    assert secret.encode() not in b"\n".join(await opened_everywhere(running))
    await running.publish(*of(fan, [written]))  # once more
    await running.without_lag()
    async with running.stores() as (_, store):
        found = await shown(store, fan)
    assert found is not None
    assert [one["id"] for one in found["notes"]] == ["e4"]
    assert (await verify(running.settings, processes=1)).differences == ()


async def test_a_fact_is_in_no_clear_place_and_is_forgotten_with_its_message(
    running: Pipeline, fan: str
) -> None:
    """Also one that is cached, and one that a person has stated."""
    secrets_of = ["Q" + secrets.token_hex(8).translate(str.maketrans("0123456789", "ghijklmnop"))]
    secrets_of.append("W" + secrets_of[0][1:])
    told = said(1, content=f"My dog's name is {secrets_of[0]}.")
    stated = noted(2, metadata={"fact": {"kind": "pet", "value": secrets_of[1]}})
    await running.publish(*of(fan, [told, stated, said(3)]))
    await running.without_lag()
    async with running.stores() as (cache, store):

        async def cached() -> list[str] | None:
            await fill(cache, store, CREATOR, fan)
            read = await cache.read(CREATOR, fan)
            return (
                None if read is None else [one.value for one in read.recent.decoded().facts or ()]
            )

        assert await running.wait_for(cached) == [secrets_of[1], f"dog {secrets_of[0]}"]
        clear = await in_the_clear(running)
        assert not [one for one in secrets_of if one.encode() in clear]
        await forget(running, fan, "e1", "e2")
        found = await shown(store, fan)
        assert found is not None
        assert "facts" not in found
        read = await cache.read(CREATOR, fan)
        assert read is None or read.recent.decoded().facts is msgspec.UNSET
    opened = b"\n".join(await opened_everywhere(running))
    assert not [one for one in secrets_of if one.encode() in opened]


async def in_the_clear(pipeline: Pipeline) -> bytes:
    """What stands in states, rows, updates and the cache, as it stands."""
    async with pipeline.stores() as (_, store):
        live = await store.live_generation()
    states = await pipeline.fetch(f"SELECT state FROM g{live}.fan_state")
    rows = await pipeline.fetch("SELECT body FROM interaction")
    found = [*(row["state"] for row in states), *(row["body"] for row in rows)]
    for topic in (MEMORY_UPDATES.name, JOURNAL.name):
        found += [one.value for one in await pipeline.records(topic)]
    client: Any = redis.asyncio.from_url(pipeline.settings.redis_url)
    async for key in client.scan_iter("*:c:*"):
        found += (await client.hgetall(key)).values()
    await client.aclose()
    assert states
    assert rows
    return b"\n".join(found)


async def test_over_http(running: Pipeline, fan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.forgettings.WAIT_SECONDS", 20.0)  # on a busy machine
    settings = running.settings.model_copy(update={"request_seconds_max": 30.0})
    odd = "m/1?x=ü &"
    events = [said(1), said(2, eventId=odd), said(3), {**said(4), "eventId": None}, bought(5)]
    events.append(noted(6, content="call him Sam"))
    await running.publish(*of(fan, events), *of(f"{fan}-other", [said(9)]))
    await running.without_lag()
    (place,) = [one for one in await remembered(running, fan) if one.startswith("interactions-")]
    async with running.stores() as (cache, store), running_api(settings) as api:
        query = {"fanId": fan, "creatorId": CREATOR}
        headers = {"Authorization": f"Bearer {api.token(CREATOR)}"}

        async def ask(event_id: str, **changes: Any) -> Any:
            path = f"/api/of-memory/messages/{quote(event_id, safe='')}"
            given = {"params": query, "headers": headers} | changes
            return await api.ask("DELETE", path, **given)

        for wrong in ("e9", "p5", "e77"):  # another fan's, a purchase's, nobody's
            answer = await ask(wrong)
            assert (answer.status, answer.body["error"]) == (404, "Message not found")
        assert (await ask("e1", params=query | {"fanId": "nobody"})).status == 404
        theirs = {"Authorization": f"Bearer {api.token('somebody')}"}
        assert (await ask("e1", headers=theirs)).status == 403
        assert (await ask("e1", params=query | {"creatorId": "somebody"})).status == 403
        mine = query | {"creatorId": "somebody"}
        assert (await ask("e1", params=mine, headers=theirs)).status == 404
        assert (await ask("%00")).status == 404
        assert (await ask("x" * 256)).status == 400
        assert await remembered(running, fan) == ["e1", odd, "e3", place, "p5", "e6"]
        context = await api.ask("GET", "/api/of-memory/context", params=query, headers=headers)
        assert [one["content"] for one in context.body["data"]["notes"]] == ["call him Sam"]

        async def warm() -> bool:
            await fill(cache, store, CREATOR, fan)
            return await cache.read(CREATOR, fan) is not None

        await running.wait_for(warm)
        for event_id in (odd, place, "e6", "e1", "e1"):
            answer = await ask(event_id)
            assert (answer.status, answer.body["success"]) == (200, True)
            assert answer.body["message"] == "Message forgotten successfully"
            path = f"/api/of-memory/forgettings/{answer.body['forgettingId']}"
            status = (await api.ask("GET", path, headers=headers)).body["data"]
            assert status["waitsFor"] == []
            assert status["requested"] <= status["ordered"] <= status["completed"]
            assert (await api.ask("GET", path, headers=theirs)).status == 404
            told = await api.ask("GET", f"{path}/receipt", headers=headers)
            assert (await api.ask("GET", f"{path}/receipt", headers=theirs)).status == 404
            other = path.replace("forgettings", "erasures")
            assert (await api.ask("GET", f"{other}/receipt", headers=headers)).status == 404
            signed = msgspec.convert(told.body, SignedReceipt)
            assert prove(signed, Signer.of(settings).public.keys)
            proof = signed.receipt
            assert (proof.kind, proof.events) == ("forget", status["events"])
            assert len(proof.subjects) == min(status["events"], 1)
            assert all(one.found in (0, None) for one in proof.emptied)
        assert status["events"] == 0  # once more, and nothing was there
        for nothing in (uuid.uuid4(), "no-id"):
            path = f"/api/of-memory/forgettings/{nothing}"
            assert (await api.ask("GET", path, headers=headers)).status == 404
            assert (await api.ask("GET", f"{path}/receipt", headers=headers)).status == 404
        found = await api.ask("GET", "/api/of-memory/context", params=query, headers=headers)
        assert [one["id"] for one in found.body["data"]["recentMessages"]] == ["e3"]
        assert found.body["data"]["engagementMetrics"]["totalPurchases"] == 1
        assert "notes" not in found.body["data"]
    assert await remembered(running, fan) == ["e3", "p5"]
    await running.without_lag()
    assert (await verify(running.settings, processes=1)).differences == ()


async def test_who_asks_is_told_where_to_ask_again_however_long_moving_takes(
    running: Pipeline, fan: str
) -> None:
    await running.publish(*of(fan, [said(1), said(2)]))
    await running.without_lag()
    async with running_api(running.settings) as api:
        query = {"fanId": fan, "creatorId": CREATOR}
        headers = {"Authorization": f"Bearer {api.token(CREATOR)}"}
        path = "/api/of-memory/messages/e1"
        async with running.locked("quarantine"):  # ingest comes to it behind all the rest
            answer = await api.ask("DELETE", path, params=query, headers=headers)
            assert answer.status == 202, answer.body
            assert answer.body["data"]["completed"] is None
            path = answer.headers["location"]
            status = (await api.ask("GET", path, headers=headers)).body["data"]
            assert set(status["waitsFor"]) & {"order", "ingest"}

        async def done() -> bool:
            status = (await api.ask("GET", path, headers=headers)).body["data"]
            return status["completed"] is not None

        await running.wait_for(done)
    assert await remembered(running, fan) == ["e2"]


async def test_an_order_that_is_forged_altered_or_repeated_changes_nothing(
    running: Pipeline, fan: str
) -> None:
    await running.publish(*of(fan, [said(1), said(2)]))
    before = await running.without_lag()
    key, signer = relationship_key(CREATOR, fan), ControlSigner(running.keyring)
    value = encode_control(Forget(CREATOR, fan, str(uuid.uuid4()), ("e1",)))
    more = encode_control(Forget(CREATOR, fan, str(uuid.uuid4()), ("e1", "e2")))
    forged = [
        (key, value, []),
        (key, value, [signer.header(relationship_key(CREATOR, "another"), value)]),
        (key, more, [signer.header(key, value)]),
    ]
    async with running.producer() as producer:
        for record in forged:
            await producer.send_and_wait(
                INTERACTIONS.name, record[1], key=record[0], headers=record[2]
            )
    after = await running.without_lag()
    assert after.dead_letters - before.dead_letters == len(forged)
    assert await remembered(running, fan) == ["e1", "e2"]

    status = await forget(running, fan, "e1")
    (order,) = [
        one
        for one in await running.records(INTERACTIONS.name)
        if id_text(status.erasure).encode() in one.value
    ]
    (mapped,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    async with running.producer() as producer:
        await producer.send_and_wait(
            INTERACTIONS.name, order.value, key=order.key, headers=list(order.headers)
        )
    await running.without_lag()
    (same,) = await running.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    assert same["subject"] == mapped["subject"]
    assert (await completed(running, status)).events == 1


async def test_after_an_erasure_there_is_nothing_to_forget(running: Pipeline, fan: str) -> None:
    await running.publish(*of(fan, [said(1)]))
    await running.without_lag()
    async with eraser_of(running) as eraser:
        assert (await eraser.erase((CREATOR, fan), 20.0)).completed_at is not None

    status = await forget(running, fan, "e1")

    assert (status.waits_for, status.subjects, status.events) == ([], 0, 0)
    await running.publish(*of(fan, [said(2), said(3)]))
    await running.without_lag()
    assert (await forget(running, fan, "e3")).events == 1
    async with eraser_of(running) as eraser:
        assert (await eraser.erase((CREATOR, fan), 20.0)).subjects == 1
    await running.without_lag()
    assert (await verify(running.settings, processes=1)).differences == ()


async def test_nothing_is_left_of_who_said_one_thing(running: Pipeline, fan: str) -> None:
    await running.publish(*of(fan, [said(1)]))
    await running.without_lag()
    assert (await forget(running, fan, "e1")).events == 1
    async with running.stores() as (_, store):
        assert await store.read(CREATOR, fan) is None
    past = await open_past(running.settings, running.keyring)
    try:
        with pytest.raises(FanNotFound):
            await past.fold(CREATOR, fan, partial(as_of, (CREATOR, fan), NOW))
    finally:
        await past.close()
    await running.publish(*of(fan, [said(1), unsent(2, "e1"), said(3)]))
    await running.without_lag()
    assert await remembered(running, fan) == ["e2", "e3"]
    assert (await verify(running.settings, processes=1)).differences == ()


async def test_what_is_on_its_way_is_neither_lost_nor_forgotten_by_halves(
    running: Pipeline, fan: str
) -> None:
    """The worker sleeps meanwhile, so the message is not known yet when it is to be forgotten; and
    whoever was asked reaches neither Redis nor Kafka."""
    await running.publish(*of(fan, [said(1)]))
    await running.without_lag()
    (worker,) = running.workers
    await running.pause(worker)
    try:
        await running.publish(*of(fan, [said(2), said(3)]))
        status = await forget(running, fan, "e2", seconds=0.3)
        assert status.completed_at is None
        assert {"order", "ingest"} & set(status.waits_for)
        away = {
            "redis_url": f"redis://127.0.0.1:{free_port()}",
            "kafka_url": f"127.0.0.1:{free_port()}",
        }
        other = await forget(running, fan, "e1", seconds=0.0, **away)
        assert {"order", "cache"} <= set(other.waits_for)
        await running.publish(*of(fan, [said(4)]))
    finally:
        worker.signal(signal.SIGCONT)
    assert (await completed(running, status)).events == 1
    assert (await completed(running, other)).events == 1
    await running.without_lag()
    assert await remembered(running, fan) == ["e3", "e4"]
    assert (await verify(running.settings, processes=1)).differences == ()


async def test_a_worker_that_dies_in_the_middle_leaves_nothing_half_done(
    running: Pipeline, fan: str
) -> None:
    """At each point in turn, as by kill -9: the one behind the commit is passed last."""
    await running.publish(*of(fan, [said(1), said(2)]))
    await running.without_lag()
    running.stop_workers()
    status = await forget(running, fan, "e1", seconds=0.0)
    await running.publish(*of(fan, [said(3)]))
    for point in FORGETTING:
        crashing = running.start_worker(fail_at=point)
        assert await asyncio.to_thread(crashing.process.wait, 30) == -signal.SIGKILL, point
        running.workers.clear()
        await running.forget_dead_workers()
    running.start_worker()
    assert (await completed(running, status)).events == 1
    await running.without_lag()
    assert await remembered(running, fan) == ["e2", "e3"]
    assert (await verify(running.settings, processes=1)).differences == ()


async def test_by_the_command(running: Pipeline, fan: str) -> None:
    await running.publish(*of(fan, [said(1), said(2), said(3)]))
    await running.without_lag()
    words = ("forget", "--creator", CREATOR, "--fan", fan)
    asked: Any = environment(running.settings)
    unknown = await asyncio.to_thread(partial(fanmemory, *words, "e1", "e9", **asked))
    assert unknown.returncode != 0
    assert "Message not found" in unknown.stderr
    ran = await asyncio.to_thread(partial(fanmemory, *words, "e1", "e2", **asked))
    assert (ran.returncode, "forgot 2 events" in ran.stdout) == (0, True), ran.stderr
    assert await remembered(running, fan) == ["e3"]


async def test_what_is_older_than_the_rule_was_never_sent(running: Pipeline, fan: str) -> None:
    """Totals included; whoever is of yesterday only is gone; receipts are made in bulk."""
    long_ago = render_time(NOW - 40 * DAY_MS)
    old = [
        said(number, eventId=f"old{number}", timestamp=long_ago, content=f"long ago {number}")
        for number in range(3)
    ]
    old.append(bought(3, 500, eventId="oldp", timestamp=long_ago))
    # What corrects something older stays, and finds nothing to correct.
    new = [said(1), bought(2), refund(4, "oldp", 5), edit(5, "old1", "new words"), said(6)]
    await running.publish(*of(fan, [*old, *new]), *of(f"clean {fan}", new), *of(f"past {fan}", old))
    await running.without_lag()
    assert (await forget(running, fan, "e6")).events == 1
    assert (await forget(running, f"clean {fan}", "e6")).events == 1

    async def swept() -> list[int]:
        done = await sweep(running.settings)
        signed, missing = await proofs(running.settings, done.begun, 20.0)
        assert (missing, done.behind, done.fans) == (0, False, 0)
        assert all(prove(one, Signer.of(running.settings).public.keys) for one in signed)
        assert len(signed) == done.shortened
        return sorted(int(one.receipt.events or 0) for one in signed)

    async with connecting(running.settings.postgres_url) as connection:
        await retention.put_history(connection, CREATOR, 30)
    try:
        assert await swept() == [4, 4]
        assert await swept() == []
        async with running.stores() as (_, store):
            assert await shown(store, fan) == await shown(store, f"clean {fan}")
            assert await store.read(CREATOR, f"past {fan}") is None
        assert not await running.fetch("SELECT FROM subject WHERE fan_id = $1", f"past {fan}")
        assert await remembered(running, fan) == ["e1", "p2", "p4", "e5"]
        # Sent once more, what was older is a new event, until the next sweep; what was forgotten by
        # its name stays forgotten.
        await running.publish(*of(fan, [old[0], said(6)]))
        await running.without_lag()
        assert "old0" in await remembered(running, fan)
        assert await swept() == [1]
        async with running.stores() as (_, store):
            assert await shown(store, fan) == await shown(store, f"clean {fan}")
    finally:
        async with connecting(running.settings.postgres_url) as connection:
            await retention.put_history(connection, CREATOR, None)
    assert (await verify(running.settings, processes=1)).differences == ()


async def test_a_database_that_was_restored_forgets_again_and_each_time(
    running: Pipeline, fan: str
) -> None:
    """Also what was forgotten of the fan's later subjects, of which the backup knows nothing."""
    await running.publish(*of(fan, [said(number) for number in range(1, 5)]))
    await running.without_lag()
    saved = await rows_of(running, fan)
    first = await forget(running, fan, "e1")
    second = await forget(running, fan, "e2")
    assert second.events == 1
    for _ in range(2):
        await restored(running, fan, saved)
        assert await remembered(running, fan) == ["e1", "e2", "e3", "e4"]
        assert await catch_up(running.settings) >= 2
        assert await remembered(running, fan) == ["e3", "e4"]
        for status in (first, second):  # whoever still moves would be restored by halves
            await completed(running, status)
        await running.without_lag()
        assert await remembered(running, fan) == ["e3", "e4"]
        await running.publish(*of(fan, [said(1), said(2)]))
        await running.without_lag()
        assert await remembered(running, fan) == ["e3", "e4"]
        assert (await verify(running.settings, processes=1)).differences == ()


async def rows_of(running: Pipeline, fan: str) -> dict[str, list[str]]:
    """All that the tables have of a fan, as a backup has it."""
    of_fan = "(SELECT subject FROM subject WHERE fan_id = $1)"
    found = {}
    for table in await tables(running):
        rows = await running.fetch(
            f"SELECT row_to_json(t)::text AS row FROM {table} AS t WHERE subject IN {of_fan}", fan
        )
        found[table] = [row["row"] for row in rows]
    return found


async def tables(running: Pipeline) -> list[str]:
    (live,) = await running.fetch("SELECT generation FROM generation WHERE status = 'live'")
    return ["interaction", f"g{live['generation']}.fan_state", "subject"]


async def restored(running: Pipeline, fan: str, saved: dict[str, list[str]]) -> None:
    """The tables as the backup had them: with a subject that is erased since, and no ledger."""
    async with (
        connecting(running.settings.postgres_url) as connection,
        connection.transaction(),
    ):
        for table in saved:
            await connection.execute(
                f"DELETE FROM {table} WHERE subject IN"
                " (SELECT subject FROM subject WHERE fan_id = $1)",
                fan,
            )
            columns = await connection.fetchval(
                "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
                " WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped"
                " AND attgenerated = ''",
                table,
            )
            for row in saved[table]:
                await connection.execute(
                    f"INSERT INTO {table} ({columns}) SELECT {columns} FROM"
                    f" json_populate_record(NULL::{table}, $1::json)",
                    row,
                )
        for table in ("forgetting", "erased_subject", "ledger_position"):
            await connection.execute(f"DELETE FROM {table}")


async def test_a_verify_beside_forgettings_says_nothing_that_is_not_so(
    running: Pipeline, fan: str
) -> None:
    """Who moves is in the rows before the projection has passed the journal's new records."""
    ids = [f"e{number}" for number in range(6)]
    await running.publish(*of(fan, [said(number) for number in range(7)]))
    await running.without_lag()

    async def forgetting() -> None:
        for event_id in ids:
            await forget(running, fan, event_id)

    under_way = asyncio.create_task(forgetting())
    while not under_way.done():
        assert (await verify(running.settings, processes=1)).differences == ()
        await asyncio.sleep(0)
    await under_way
    assert await remembered(running, fan) == ["e6"]


async def test_a_clock_that_was_set_back_holds_nothing_up(running: Pipeline, fan: str) -> None:
    """What was asked for before is of tomorrow then, and so is the order that nobody met."""
    await running.publish(*of(fan, [said(1), said(2)]))
    await running.without_lag()
    away = {"kafka_url": f"127.0.0.1:{free_port()}"}
    (worker,) = running.workers
    await running.pause(worker)
    try:
        asked = await forget(running, fan, "e1", seconds=0.0, **away)
        ordered = await forget(running, fan, "e2", seconds=0.0, **away)
        async with connecting(running.settings.postgres_url) as connection:
            await connection.execute(
                "UPDATE forgetting SET requested_at = requested_at + interval '1 day',"
                " ordered_at = CASE WHEN erasure = $1 THEN now() + interval '1 day' END,"
                ' partition = 0, "offset" = 1::bigint << 40 WHERE completed_at IS NULL',
                ordered.erasure,
            )
    finally:
        worker.signal(signal.SIGCONT)
    assert (await completed(running, asked)).events == 1
    assert (await completed(running, ordered)).events == 1
    assert await remembered(running, fan) == []
