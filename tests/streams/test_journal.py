"""The journal: what can't be folded is set aside, a fold of it anew agrees, and it names nobody."""

import os
import secrets
from uuid import UUID

import msgspec

from infra.postgres import connect, connecting, open_pool
from privacy.seal import event_key, seal, unseal
from privacy.subjects import Subject, Subjects, journal_partition
from schemas.journal import (
    FORMAT,
    JournalEntry,
    JournalRecord,
    decode_entry,
    decode_record,
    encode_entry,
    encode_record,
)
from schemas.topics import JOURNAL
from stores import erasure
from tests.documents import opened_states
from tests.pipeline import Pipeline, message, mixed
from views.state import FanState, encode, fold

SOURCE = 9
"""Journal records of our own come from a partition of `interactions` that nothing else uses."""


async def subject_of(pipeline: Pipeline, fan: str) -> Subject:
    async with connecting(pipeline.settings.postgres_url) as connection:
        pair = ("creator", fan)
        return (await Subjects(pipeline.keyring, 10).resolve(connection, [pair]))[pair]


class Forger:
    """Writes journal records for one fan, good or broken, as nobody should."""

    def __init__(self, pipeline: Pipeline, subject: Subject, source_offset: int = 10**6) -> None:
        self._pipeline = pipeline
        self._subject = subject
        self._offset = source_offset

    def record(self, entry: JournalEntry | bytes, *, cut: int = 0) -> bytes:
        """A record whose sealed part may be no entry, and may lack its last `cut` bytes."""
        self._offset += 1
        plain = entry if isinstance(entry, bytes) else encode_entry(entry)
        key = event_key(self._subject.key, secrets.token_hex(8))
        sealed = seal(self._subject.cipher, plain, b"journal", self._subject.id, key)
        return encode_record(
            JournalRecord(FORMAT, SOURCE, self._offset, key, sealed[: len(sealed) - cut])
        )

    async def write(self, *values: bytes | None, key: bytes | None = None) -> None:
        pipeline, subject = self._pipeline, self._subject
        partition = journal_partition(subject.id, pipeline.settings.journal_partitions)
        async with pipeline.producer() as producer:
            for value in values:
                await producer.send_and_wait(
                    JOURNAL.name, value, key=key or subject.id, partition=partition
                )


async def test_what_can_not_be_folded_is_set_aside_and_the_rest_goes_on(
    running: Pipeline,
) -> None:
    await running.publish(message("fan", 1), message("neighbour", 1))
    before = await running.drained()
    subject = await subject_of(running, "fan")
    forge = Forger(running, subject)
    good = JournalEntry("good", "message", 1_731_412_800_000, content="Hi")
    # A purchase of less than nothing has no weight in the engagement score: its logarithm fails.
    impossible = JournalEntry("bad", "purchase", 1_731_412_800_000, amount=-500)
    await forge.write(
        b"not a frame",
        b"",
        None,
        encode_record(JournalRecord(FORMAT + 1, SOURCE, 10**6, b"k" * 16, b"")),
        forge.record(good, cut=1),
        forge.record(b"not an entry"),
        forge.record(good),
        forge.record(impossible),
        forge.record(impossible),
        forge.record(good),
    )
    await forge.write(forge.record(good), key=b"no subject")
    await forge.write(forge.record(good), key=os.urandom(16))

    async def settled() -> bool:
        lag = await running.lag()
        return sum(lag.values()) == 0

    await running.wait_for(settled, instead=running.lag)
    after = await running.accounting()
    rows = await running.fetch("SELECT reason, value, subject FROM quarantine")
    assert after.quarantined - before.quarantined == len(rows)
    assert after.forgotten - before.forgotten == 1
    reasons = sorted(row["reason"] for row in rows)
    assert sum("form" in reason for reason in reasons) >= 5
    assert sum(reason == "fold raised ValueError" for reason in reasons) == 2
    # The others of this fan, in the same batch and after, were folded as if nothing were there.
    assert after.applied - before.applied == 12 - len(rows) - 1
    assert (await running.state("fan")).engagement.messages == 3
    await running.publish(message("fan", 2), message("neighbour", 2))
    await running.wait_for(settled, instead=running.lag)
    assert (await running.state("fan")).engagement.messages == 4
    assert (await running.state("neighbour")).engagement.messages == 2
    (worker,) = running.workers
    assert worker.alive

    async def told() -> bool:
        return worker.said("records quarantined") >= 1

    await running.wait_for(told)
    assert worker.said("Hi") == 0


async def test_a_record_under_another_source_position_is_quarantined(running: Pipeline) -> None:
    """The place in clear decides what counts as repeated: it must be the one that was sealed."""
    await running.publish(message("moved", 1))
    await running.drained()
    subject = await subject_of(running, "moved")
    (record,) = [one for one in await running.records(JOURNAL.name) if one.key == subject.id]
    frame = msgspec.msgpack.decode(record.value)
    frame[1] = SOURCE
    await Forger(running, subject).write(msgspec.msgpack.encode(frame))

    async def quarantined() -> list[str]:
        rows = await running.fetch(
            "SELECT reason FROM quarantine WHERE subject = $1", UUID(bytes=subject.id)
        )
        return [row["reason"] for row in rows]

    (reason,) = await running.wait_for(quarantined)
    assert "source position" in reason
    assert (await running.state("moved")).engagement.messages == 1


async def test_a_fold_of_the_journal_gives_the_same_bytes(running: Pipeline) -> None:
    """Independent of batches and of time: one event after the other, from the log alone."""
    await running.publish(*mixed(fans=15, events=500, first=10_000))
    await running.publish(*mixed(fans=15, events=50, first=10_400))  # the same ids again

    async def caught_up() -> bool:
        return sum((await running.lag()).values()) == 0

    await running.wait_for(caught_up, instead=running.lag)
    connection = await connect(running.settings.postgres_url)
    rows = await connection.fetch("SELECT subject FROM subject")
    subjects = await Subjects(running.keyring, 1000).lookup(
        connection, [row["subject"] for row in rows]
    )
    stored = {
        one.fan.id: (one.version, one.document)
        for one in (await opened_states(connection, running.keyring)).values()
    }
    quarantined = {
        (row["partition"], row["offset"])
        for row in await connection.fetch('SELECT partition, "offset" FROM quarantine')
    }
    await connection.close()
    states: dict[bytes, FanState] = {}
    versions: dict[bytes, int] = {}
    seen: set[tuple[bytes, bytes]] = set()
    for raw in await running.records(JOURNAL.name):
        subject = subjects.get(raw.key)
        if (raw.partition, raw.offset) in quarantined or subject is None:
            continue
        record = decode_record(raw.value)
        if (raw.key, record.event_key) in seen:
            continue
        seen.add((raw.key, record.event_key))
        plain = unseal(subject.cipher, record.sealed, b"journal", raw.key, record.event_key)
        states[raw.key] = fold(states.get(raw.key), decode_entry(plain), raw.offset)
        versions[raw.key] = raw.offset + 1
    assert len(states) >= 15
    assert {key: (versions[key], encode(state)) for key, state in states.items()} == stored


async def test_nothing_personal_stands_in_the_journal_in_clear(running: Pipeline) -> None:
    marks = {name: f"{name}-{secrets.token_hex(6)}" for name in ("fan", "creator", "id", "text")}
    marks |= {name: f"{name}-{secrets.token_hex(6)}" for name in ("key", "value", "content")}
    await running.publish(
        message(
            marks["fan"],
            1,
            creatorId=marks["creator"],
            eventId=marks["id"],
            content=f"{marks['text']} 555-0100 someone@example.com",
            metadata={marks["key"]: [marks["value"]], "contentType": marks["content"]},
        )
    )
    await running.drained()
    records = await running.records(JOURNAL.name)
    written = [
        b"".join([one.key or b"", one.value or b"", repr(one.headers).encode()]) for one in records
    ]
    for mark in (*marks.values(), "555-0100", "someone@example.com", "message"):
        for encoded in (mark.encode(), mark.encode("utf-16-le"), mark.encode().hex().encode()):
            assert not any(encoded in one for one in written)
    connection = await connect(running.settings.postgres_url)
    (row,) = await connection.fetch("SELECT subject FROM subject WHERE fan_id = $1", marks["fan"])
    await connection.close()
    own = [one for one in records if one.key == row["subject"]]
    assert len(own) == 1
    assert own[0].headers == ()
    # The frame holds places and keyed bytes only.
    _, partition, offset, event, _ = msgspec.msgpack.decode(own[0].value)
    assert isinstance(partition, int)
    assert isinstance(offset, int)
    assert len(event) == 16


async def test_who_was_known_before_is_not_taken_for_alive_behind_another_batch(
    running: Pipeline,
) -> None:
    """The batch that meets the erasure is of others, and goes on; the next one is of the erased."""
    others = [f"beside-{number}" for number in range(12)]
    await running.publish(message("erased", 1), *(message(one, 1) for one in others))
    await running.drained()
    subject = await subject_of(running, "erased")
    pool = await open_pool(running.settings.postgres_url)
    partitions = running.settings.journal_partitions
    await erasure.erase(pool, erasure.Names(running.keyring), partitions, ("creator", "erased"))
    await pool.close()
    await running.publish(*(message(one, 2) for one in others))  # in each partition

    async def folded() -> bool:
        history = await running.history()
        return all(history.get(one) == 2 for one in others)

    await running.wait_for(folded)
    before = await running.accounting()
    forger = Forger(running, subject, 10**7)
    late = JournalEntry("late", "message", 1_795_000_000_000, content="on its way")
    await forger.write(forger.record(late))

    async def forgotten() -> bool:
        return (await running.accounting()).forgotten == before.forgotten + 1

    await running.wait_for(forgotten, instead=running.accounting)
    for held in ("subject", "interaction", "g1.fan_state"):
        rows = await running.fetch(
            f"SELECT 1 FROM {held} WHERE subject = $1", UUID(bytes=subject.id)
        )
        assert rows == [], held
