"""Verify: it finds every kind of damage, names where, and never raises a false alarm."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from admin.rebuild import rebuild
from admin.verify import Report, verify
from admin.verify.differences import differing_fields
from ops.services import Endpoints
from ops.services.ports import free_port
from ops.system import environment
from stores.cached import seal_state
from stores.recent import Recent
from tests import services as helpers
from tests.admin.quiet import (
    DUPLICATES,
    EVENTS,
    FANS,
    WARM,
    cached_key,
    quiet_pipeline,
    warm,
)
from tests.cli import fanmemory
from tests.documents import opened_states, put_state, with_revenue
from tests.pipeline import Pipeline, mixed
from views.state import FanState, encode


@pytest.fixture(scope="module")
async def quiet(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    data = tmp_path_factory.mktemp("verify")
    async with quiet_pipeline(services, template_database, data) as made:
        yield made


@asynccontextmanager
async def _damaged(pipeline: Pipeline, do: str, undo: str, *arguments: Any) -> AsyncIterator[Any]:
    """Run a statement that damages something, and one that mends it; yields what `do` returned."""
    rows = await pipeline.fetch(do, *arguments)
    try:
        yield rows
    finally:
        await pipeline.fetch(undo, *arguments)


async def _verify(pipeline: Pipeline, **options: Any) -> Report:
    return await verify(pipeline.settings, processes=1, **options)


async def _subject(pipeline: Pipeline, fan: str) -> uuid.UUID:
    (row,) = await pipeline.fetch("SELECT subject FROM subject WHERE fan_id = $1", fan)
    return uuid.UUID(bytes=row["subject"].bytes)


def _found(report: Report, *where: str) -> list[tuple[str, str, str]]:
    """Everything that differs, or only what differs there."""
    return [
        (one.where, one.subject, one.field)
        for one in report.differences
        if not where or one.where in where
    ]


async def test_an_intact_system_has_no_differences_and_every_record_is_accounted_for(
    quiet: Pipeline,
) -> None:
    report = await _verify(quiet)
    assert report.found == 0, report.differences
    assert report.fans == FANS
    assert (report.applied, report.duplicates, report.repeats) == (EVENTS, DUPLICATES, 1)
    assert (report.quarantined, report.forgotten) == (2, 1)
    assert report.events == EVENTS
    assert report.cached == WARM
    assert report.unprojected == 0
    assert report.records == EVENTS + DUPLICATES + 1 + 3


async def test_processes_side_by_side_see_the_same_as_one(quiet: Pipeline) -> None:
    one, several = await _verify(quiet), await verify(quiet.settings, processes=2)
    assert _without_time(one) == _without_time(several)


def _without_time(report: Report) -> list[Any]:
    return [value for value in astuple(report) if not isinstance(value, float)]


async def test_records_that_do_not_fit_in_memory_go_through_files(quiet: Pipeline) -> None:
    in_memory, through_files = await _verify(quiet), await _verify(quiet, held_bytes_max=5_000)
    assert in_memory.spilled == 0
    assert through_files.spilled > EVENTS / 2
    assert through_files.found == 0
    assert through_files.applied == in_memory.applied


async def test_a_changed_number_in_a_state_is_found_by_subject_and_field(quiet: Pipeline) -> None:
    """One revenue is off by a cent, in Postgres only: the cached copy is still right."""
    subject = await _subject(quiet, "fan3")
    async with _resealed(quiet, "fan3", lambda document: with_revenue(document, 1)):
        report = await _verify(quiet)
    assert ("state", str(subject), "engagement.revenue") in _found(report)
    assert {one.subject for one in report.differences} == {str(subject)}
    assert (await _verify(quiet)).found == 0


@asynccontextmanager
async def _resealed(
    pipeline: Pipeline, fan: str, how: Callable[[bytes], bytes]
) -> AsyncIterator[None]:
    """Another document in a fan's place, by somebody who has the keyring."""
    of = (await opened_states(pipeline, pipeline.keyring))["creator", fan]
    await put_state(pipeline, of, how(of.document))
    try:
        yield
    finally:
        await put_state(pipeline, of, of.document)


async def test_the_same_values_in_other_bytes_are_a_difference(quiet: Pipeline) -> None:
    subject = await _subject(quiet, "fan4")
    async with _resealed(quiet, "fan4", lambda document: document + b" "):
        report = await _verify(quiet)
    assert _found(report) == [("state", str(subject), "(the same values in other bytes)")]


async def test_a_state_that_is_altered_or_another_fan_s_is_a_difference(quiet: Pipeline) -> None:
    subject, other = await _subject(quiet, "fan4"), await _subject(quiet, "fan20")
    async with _damaged(
        quiet,
        "UPDATE g1.fan_state SET state = state || ' '::bytea WHERE subject = $1",
        "UPDATE g1.fan_state SET state = substr(state, 1, length(state) - 1) WHERE subject = $1",
        subject,
    ):
        report = await _verify(quiet)
    assert _found(report) == [("state", str(subject), "(can't be opened)")]
    swap = """UPDATE g1.fan_state AS f SET state = o.state FROM g1.fan_state AS o
        WHERE (f.subject, o.subject) IN (($1, $2), ($2, $1))"""
    async with _damaged(quiet, swap, swap, subject, other):
        report = await _verify(quiet)
    assert sorted(_found(report)) == sorted(
        ("state", str(one), "(can't be opened)") for one in (subject, other)
    )


async def test_a_version_that_is_not_the_newest_folded_record_is_found(quiet: Pipeline) -> None:
    subject = await _subject(quiet, "fan20")
    async with _damaged(
        quiet,
        "UPDATE g1.fan_state SET version = version - 1 WHERE subject = $1",
        "UPDATE g1.fan_state SET version = version + 1 WHERE subject = $1",
        subject,
    ):
        report = await _verify(quiet)
    (difference,) = report.differences
    assert (difference.where, difference.field) == ("state", "version")
    assert difference.actual == (difference.expected or 0) - 1


async def test_a_missing_state_is_found(quiet: Pipeline) -> None:
    subject = await _subject(quiet, "fan21")
    async with _damaged(
        quiet,
        "UPDATE g1.fan_state SET subject = gen_random_uuid() WHERE subject = $1"
        " RETURNING subject AS stranger",
        """UPDATE g1.fan_state SET subject = $1
           WHERE NOT EXISTS (SELECT FROM subject s WHERE s.subject = fan_state.subject)""",
        subject,
    ) as rows:
        report = await _verify(quiet)
    assert ("state", str(subject), "version") in _found(report)
    assert ("state", str(rows[0]["stranger"]), "(not in the journal)") in _found(report)


async def test_a_missing_a_changed_and_a_foreign_history_row_are_found(quiet: Pipeline) -> None:
    subject = await _subject(quiet, "fan5")
    await quiet.fetch("CREATE TABLE kept AS SELECT * FROM interaction WHERE subject = $1", subject)
    restore = """WITH gone AS (DELETE FROM interaction WHERE subject = $1)
                 SELECT $1::uuid"""
    mend = "INSERT INTO interaction SELECT * FROM kept WHERE subject = $1"
    one_row = """(SELECT ctid FROM interaction WHERE subject = $1 LIMIT 1)"""
    changes = {
        f"DELETE FROM interaction WHERE ctid = {one_row}": "rows",
        f"UPDATE interaction SET time = time + 1 WHERE ctid = {one_row}": "digest",
        f"UPDATE interaction SET message = NOT message WHERE ctid = {one_row}": "digest",
        f'UPDATE interaction SET "offset" = 9999 WHERE ctid = {one_row}': "digest",
        f"UPDATE interaction SET body = body || '1'::bytea WHERE ctid = {one_row}": "digest",
    }
    for change, field in changes.items():
        await quiet.fetch(change, subject)
        report = await _verify(quiet)
        assert _found(report, "history") == [("history", str(subject), field)], change
        # A row that is gone is also an event of `interactions` that nobody remembers.
        assert {one.subject for one in report.differences} == {str(subject)}, change
        await quiet.fetch(restore, subject)
        await quiet.fetch(mend, subject)
    stranger = uuid.uuid4()
    async with _damaged(
        quiet,
        'INSERT INTO interaction SELECT $1, event_key, partition, "offset", time, message, body'
        " FROM kept LIMIT 1",
        "DELETE FROM interaction WHERE subject = $1",
        stranger,
    ):
        report = await _verify(quiet)
    assert _found(report) == [("history", str(stranger), "(not in the journal)")]
    await quiet.fetch("DROP TABLE kept")
    assert (await _verify(quiet)).found == 0


@pytest.mark.parametrize("counter", ["applied", "duplicates", "repeats", "quarantined"])
async def test_a_counter_that_lies_is_found(quiet: Pipeline, counter: str) -> None:
    """In a partition without erasures, where each counter can be told by itself."""
    where = """WHERE ctid = (SELECT ctid FROM position WHERE generation = 1 AND erasures = 0
               ORDER BY partition LIMIT 1)"""
    # Both update in place within the page, so the row must be found by its key, not its ctid.
    (row,) = await quiet.fetch(f"SELECT partition FROM position {where}")
    change = (
        f"UPDATE position SET {counter} = {counter} + %d WHERE generation = 1 AND partition = $1"
    )
    async with _damaged(quiet, change % 1, change % -1, row["partition"]):
        report = await _verify(quiet)
    (difference,) = [one for one in report.differences if one.where == "position"]
    assert difference.partition == row["partition"]
    assert (difference.field, difference.actual) == (counter, (difference.expected or 0) + 1)
    # All but the repeats also count accepted events.
    assert bool(_found(report, "accounting")) == (counter != "repeats")


async def test_with_erasures_the_sum_of_the_counters_still_has_to_hold(quiet: Pipeline) -> None:
    (row,) = await quiet.fetch("SELECT partition FROM position WHERE erasures > 0")
    change = "UPDATE position SET applied = applied + %d WHERE generation = 1 AND partition = $1"
    async with _damaged(quiet, change % 1, change % -1, row["partition"]):
        report = await _verify(quiet)
    assert _found(report, "position") == [
        ("position", "", "applied+duplicates+repeats+forgotten+quarantined+conflicts")
    ]


async def test_once_the_journal_was_cut_the_sum_of_the_counters_still_has_to_hold(
    quiet: Pipeline,
) -> None:
    (row,) = await quiet.fetch(
        "SELECT partition FROM position WHERE erasures = 0 AND topic = 'journal' AND applied > 0"
        " ORDER BY partition LIMIT 1"
    )
    broken = (
        "INSERT INTO log_break (topic, partition, reason, missing_from, missing_until, resume,"
        " status) VALUES ('journal', $1, 'cut', 0, 1, 0, 'healed')"
    )
    change = (
        "UPDATE position SET repeats = repeats + %d, applied = applied - %d"
        " WHERE generation = 1 AND partition = $1"
    )
    partition = row["partition"]
    async with _damaged(quiet, broken, "DELETE FROM log_break WHERE partition = $1", partition):
        async with _damaged(quiet, change % (1, 1), change % (-1, -1), partition):
            assert _found(await _verify(quiet)) == []
        async with _damaged(quiet, change % (1, 0), change % (-1, 0), partition):
            assert _found(await _verify(quiet)) == [
                ("position", "", "applied+duplicates+repeats+forgotten+quarantined+conflicts")
            ]


async def test_sources_that_were_not_folded_are_found(quiet: Pipeline) -> None:
    change = (
        "UPDATE position SET sources[1] = sources[1] + %d WHERE generation = 1 AND partition = 0"
    )
    async with _damaged(quiet, change % 1, change % -1):
        report = await _verify(quiet)
    assert _found(report) == [("position", "", "sources")]


async def test_a_cached_state_that_differs_is_found(quiet: Pipeline) -> None:
    client: Any = redis.asyncio.from_url(quiet.settings.redis_url)
    key = await cached_key(quiet, "fan2")
    subject = str(await _subject(quiet, "fan2"))
    good = await client.hget(key, "d")
    async with quiet.stores() as (cache, _):
        (cached,) = await cache.stored([("creator", "fan2")])
        read = await cache.read("creator", "fan2")
        assert cached is not None
        assert read is not None
        cipher = AESGCM(
            quiet.keyring.unwrap(
                cached.subject, ("creator", "fan2"), cached.kek, cached.wrapped_key
            )
        )
    wrong = read.state.replace(b'"messages":', b'"messages":1')
    of = cached.subject, cached.generation, cached.version
    await client.hset(key, "d", seal_state(cipher, *of, wrong))
    report = await _verify(quiet)
    assert ("cache", subject, "engagement.messages") in _found(report)
    await client.hset(key, "d", read.state)
    report = await _verify(quiet)
    assert _found(report) == [("cache", subject, "(can't be opened)")]
    await client.hset(key, "d", good)

    good = await client.hget(key, "b")
    async with quiet.stores() as (cache, _):
        shown = Recent.unseal(cipher, cached.subject, good).shown()
        shorter = Recent.of(shown[:-1]).seal(cipher, cached.subject)
    for block, field in ((shorter, "messages"), (good[:-1] + b"?", "(can't be opened)")):
        await client.hset(key, "b", block)
        report = await _verify(quiet)
        await client.hset(key, "b", good)
        assert _found(report) == [("cache", subject, field)]
    assert (await _verify(quiet)).found == 0
    await client.aclose()


async def test_a_cached_fan_that_stays_behind_is_found(
    quiet: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admin.verify.cached.STALE_SECONDS", 0.3)
    client: Any = redis.asyncio.from_url(quiet.settings.redis_url)
    key = await cached_key(quiet, "fan2")
    good = await client.hget(key, "v")
    await client.hset(key, "v", b"%08d%020d" % (1, 1))
    report = await _verify(quiet)
    await client.hset(key, "v", good)
    await client.aclose()
    (difference,) = report.differences
    assert (difference.where, difference.field, difference.actual) == ("cache", "version", 1)


async def test_a_cached_fan_whom_nobody_remembers_is_found(
    quiet: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("admin.verify.strangers.ORPHAN_SECONDS", 0.1)
    client: Any = redis.asyncio.from_url(quiet.settings.redis_url)
    gone = uuid.uuid4()
    who = msgspec.msgpack.encode((gone.bytes, "kek", b"key", 0))
    left_behind = await cached_key(quiet, "left-behind")
    await client.copy(await cached_key(quiet, "fan2"), left_behind)
    await client.hset(left_behind, "s", who)
    report = await _verify(quiet)
    await client.delete(left_behind)
    await client.aclose()
    assert _found(report) == [("cache", str(gone), "(nobody is remembered)")]


async def test_a_sample_is_always_the_same_and_sees_only_itself(quiet: Pipeline) -> None:
    report = await _verify(quiet, sample=5)
    assert (report.fans, report.found, report.sample) == (5, 0, 5)
    assert report.not_compared == ("accounting",)
    (chosen,) = await quiet.fetch(
        "SELECT subject FROM subject ORDER BY sha256(uuid_send(subject)) LIMIT 1"
    )
    (other,) = await quiet.fetch(
        "SELECT subject FROM subject ORDER BY sha256(uuid_send(subject)) DESC LIMIT 1"
    )
    change = "UPDATE g1.fan_state SET version = version + %d WHERE subject = $1"
    async with _damaged(quiet, change % -1, change % 1, chosen["subject"]):
        assert (await _verify(quiet, sample=5)).found == 1
    async with _damaged(quiet, change % -1, change % 1, other["subject"]):
        assert (await _verify(quiet, sample=5)).found == 0


async def test_the_command_says_where_and_never_what_and_exits_with_1(quiet: Pipeline) -> None:
    subject = await _subject(quiet, "fan22")
    change = "UPDATE g1.fan_state SET version = version + %d WHERE subject = $1"
    async with _damaged(quiet, change % -1, change % 1, subject):
        variables: dict[str, Any] = environment(quiet.settings)
        bad = fanmemory("verify", "--json", **variables)
        shown = fanmemory("verify", **variables)
    assert bad.returncode == shown.returncode == 1
    body = json.loads(bad.stdout)
    assert [one["subject"] for one in body["differences"]] == [str(subject)]
    assert str(subject) in shown.stdout
    for secret in ("thank you", "fan22", "creator"):
        assert secret not in bad.stdout + shown.stdout + bad.stderr + shown.stderr


def test_paths_of_fields_stop_where_keys_of_events_begin() -> None:
    one, other = FanState(), FanState()
    other.preferences.topics["a secret topic"] = 1.0
    other.engagement.messages = 7
    paths = differing_fields(encode(one), encode(other))
    assert paths == ["engagement.messages", "preferences.topics"]


@asynccontextmanager
async def _full(client: Any) -> AsyncIterator[None]:
    """A cache that refuses everything that needs memory."""
    await client.config_set("maxmemory-policy", "noeviction")
    await client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        await client.config_set("maxmemory", 0)


async def test_a_full_cache_ends_nothing(quiet: Pipeline) -> None:
    client: Any = redis.asyncio.from_url(quiet.settings.redis_url)
    subject = await _subject(quiet, "fan20")
    change = "UPDATE g1.fan_state SET version = version + %d WHERE subject = $1"
    before = await client.config_get("maxmemory*")
    async with _full(client), _damaged(quiet, change % -1, change % 1, subject):
        report = await _verify(quiet)
    await client.config_set("maxmemory", before["maxmemory"])
    await client.config_set("maxmemory-policy", before["maxmemory-policy"])
    await client.aclose()
    assert _found(report) == [("state", str(subject), "version")]
    assert report.cached or report.not_compared == ("cache",)


async def test_a_cache_that_is_away_is_said_and_everything_else_is_compared(
    quiet: Pipeline,
) -> None:
    subject = await _subject(quiet, "fan20")
    change = "UPDATE g1.fan_state SET version = version + %d WHERE subject = $1"
    away = quiet.settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    async with _damaged(quiet, change % -1, change % 1, subject):
        report = await verify(away, processes=1)
        variables: dict[str, Any] = environment(away)
        shown = fanmemory("verify", **variables)
    assert _found(report) == [("state", str(subject), "version")]
    assert report.not_compared == ("cache",)
    assert report.cached == 0
    assert shown.returncode == 1
    assert "the cache did not answer: not compared" in shown.stdout


async def test_one_key_that_does_not_open_hides_only_its_own_fan(quiet: Pipeline) -> None:
    subject, other = await _subject(quiet, "fan20"), await _subject(quiet, "fan21")
    key = "UPDATE subject SET wrapped_key = wrapped_key || '1'::bytea WHERE subject = $1"
    mend = "UPDATE subject SET wrapped_key = substr(wrapped_key, 1, length(wrapped_key) - 1)"
    change = "UPDATE g1.fan_state SET version = version + %d WHERE subject = $1"
    async with (
        _damaged(quiet, key, f"{mend} WHERE subject = $1", subject),
        _damaged(quiet, change % -1, change % 1, other),
    ):
        report = await _verify(quiet)
    assert sorted(_found(report)) == [
        ("state", str(other), "version"),
        ("subject", str(subject), "(its key does not open for this fan)"),
    ]
    assert (await _verify(quiet)).found == 0


async def test_a_fold_that_is_wrong_on_both_sides_is_found_by_plain_sums(
    quiet: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A purchase weighs ten times as much in the view. Last: it leaves another generation live."""
    right = await _verify(quiet, sample=FANS)
    # One fan is left out: a record of it is in quarantine.
    assert (right.referenced, right.found) == (FANS - 1, 0)
    monkeypatch.setattr("views.engagement.PURCHASE_WEIGHT", 50.0)
    await rebuild(quiet.settings, processes=1)
    report = await _verify(quiet)
    assert report.referenced in (7, 8)
    assert {(one.where, one.field) for one in report.differences} >= {
        ("reference", "engagementMetrics.engagementScore")
    }
    assert {one.where for one in report.differences} == {"reference"}


async def test_a_running_system_raises_no_false_alarm(
    services: Endpoints, template_database: str, tmp_path: Path
) -> None:
    """Three verifies while events are ingested, projected and cached."""
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(services, url, tmp_path, kafka=True)
        pipeline = Pipeline(settings, tmp_path)
        try:
            pipeline.start_worker()
            await pipeline.publish(*mixed(FANS, 200))
            await pipeline.drained()
            await warm(pipeline)
            first, again = 200, 0
            for _ in range(3):
                publishing = _keep_publishing(pipeline, first, 400)
                report, first = await asyncio.gather(verify(settings, processes=1), publishing)
                assert report.found == 0, report.differences
                assert report.applied > again
                again = report.applied
            await pipeline.drained()
            report = await verify(settings, processes=1)
            assert (report.found, report.applied) == (0, first)
        finally:
            pipeline.stop_workers()


async def _keep_publishing(pipeline: Pipeline, first: int, count: int) -> int:
    for start in range(first, first + count, 20):
        await pipeline.publish(*mixed(FANS, 20, first=start))
    return first + count
