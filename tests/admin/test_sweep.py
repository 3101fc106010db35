"""Retention: who has been silent for too long is erased, and nobody else."""

import json

import pytest

from admin.sweep import proofs, sweep
from infra.postgres import connecting
from infra.settings import Settings
from lab.bench.seed import seed
from ops.system import environment
from privacy.receipts import Signer, verify
from schemas.journal import JournalEntry
from schemas.times import DAY_MS
from stores import retention
from stores.retention import Rule
from tests.cli import fanmemory

NOW = 1_800_000_000_000


def said(days_ago: float) -> list[JournalEntry]:
    at = NOW - int(days_ago * DAY_MS)
    return [JournalEntry(f"m{at - n}", "message", at - n, "fan", content="hello") for n in range(3)]


async def fans(settings: Settings) -> set[tuple[str, str]]:
    async with connecting(settings.postgres_url) as db:
        rows = await db.fetch("SELECT creator_id, fan_id FROM subject")
    return {(row["creator_id"], row["fan_id"]) for row in rows}


async def test_the_silent_are_erased_by_their_creators_rule(store_settings: Settings) -> None:
    settings = store_settings
    histories = {
        ("strict", "silent"): said(31),
        ("strict", "just in time"): said(29.9),
        ("strict", "came back"): [*said(400), *said(1)[:1]],
        ("strict", "met today"): said(90),
        ("lenient", "silent"): said(31),
        ("keeps all", "silent"): said(3000),
    }
    await seed(settings, histories)
    async with connecting(settings.postgres_url) as db:
        await db.execute(
            "UPDATE subject SET created_at = now() - interval '2 days' WHERE fan_id <> 'met today'"
        )
        # Nothing of it is in the views yet: ingest made it a moment ago.
        await db.execute(
            "INSERT INTO subject (subject, creator_id, fan_id, kek, wrapped_key)"
            " SELECT gen_random_uuid(), 'strict', 'on the way', kek, wrapped_key"
            " FROM subject LIMIT 1"
        )
        assert await retention.find(db, "strict") == Rule("strict", None, None)
        for creator, days in (("strict", 90), ("strict", 30), ("lenient", 365), ("gone", 1)):
            await retention.put_silent(db, creator, days)
        await retention.put_silent(db, "gone", None)
        assert await retention.rules(db) == [("lenient", 365, None), ("strict", 30, None)]

        before = await fans(settings)
        done = await sweep(settings, dry_run=True, now=NOW)
        assert (done.rules, done.fans, done.begun) == (2, 1, [])
        assert await fans(settings) == before

        told: list[int] = []
        done = await sweep(settings, now=NOW, progress=told.append)
        assert (done.fans, told, len(done.begun)) == (1, [1], 1)
        assert before - await fans(settings) == {("strict", "silent")}
        assert (await sweep(settings, now=NOW)).fans == 0

        assert await proofs(settings, done.begun, 0.0) == ([], 1)
        await db.execute("UPDATE erasure SET completed_at = now(), kek = NULL, sealed = NULL")
        (receipt,), missing = await proofs(settings, done.begun, 0.0)
        assert missing == 0
        assert verify(receipt, Signer.of(settings).public.keys)
        rows = {one.name: one.deleted for one in receipt.receipt.emptied}
        assert rows["interaction"] == 3

        # A second sweep beside one that is under way does nothing.
        assert await retention.lock(db)
        assert (await sweep(settings, now=NOW)).busy
    ran = fanmemory("sweep", "--dry-run", "--json", cwd=None, stdin=None, **environment(settings))
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["rules"] == 2


async def test_rules_of_both_kinds_are_put_and_taken_away_by_themselves(
    store_settings: Settings,
) -> None:
    async with connecting(store_settings.postgres_url) as db:
        await retention.put_silent(db, "both", 30)
        await retention.put_history(db, "both", 90)
        await retention.put_history(db, "events", 7)
        await retention.put_history(db, "events", 8)
        assert await retention.rules(db) == [("both", 30, 90), ("events", None, 8)]
        await retention.put_silent(db, "both", None)
        await retention.put_history(db, "events", None)
        assert await retention.rules(db) == [("both", None, 90)]
        assert await retention.find(db, "both") == Rule("both", None, 90)


async def test_only_fans_with_older_events_are_shortened(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without workers a sweep ends in time, and says so."""
    monkeypatch.setattr("admin.sweep.MOVE_SECONDS_MAX", 0.2)
    settings = store_settings
    await seed(
        settings,
        {
            ("strict", "old and new"): [*said(31), *said(1)],
            ("strict", "young"): said(29.9),
            ("lenient", "old"): said(31),
        },
    )
    async with connecting(settings.postgres_url) as db:
        await retention.put_history(db, "strict", 30)
        # What stands for a forgotten event has no time, and is no reason to move a fan each day.
        await db.execute(
            "UPDATE interaction SET time = 0 WHERE event_key IN (SELECT event_key FROM interaction"
            " JOIN subject USING (subject) WHERE fan_id = 'young' LIMIT 1)"
        )
        before = await fans(settings)
        done = await sweep(settings, dry_run=True, now=NOW)
        assert (done.fans, done.shortened, done.begun, done.behind) == (0, 1, [], False)
        assert await db.fetchval("SELECT count(*) FROM forgetting") == 0

        done = await sweep(settings, now=NOW)

        assert (done.fans, done.shortened, done.behind) == (0, 1, True)
        assert [row["erasure"] for row in await db.fetch("SELECT erasure FROM forgetting")] == (
            done.begun
        )
        assert await fans(settings) == before
