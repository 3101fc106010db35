"""Retention: who has been silent for too long is erased, and nobody else."""

import json

from admin.sweep import proofs, sweep
from infra.postgres import connecting
from infra.settings import Settings
from lab.bench.seed import seed
from ops.system import environment
from privacy.receipts import Signer, verify
from schemas.journal import JournalEntry
from schemas.times import DAY_MS
from stores import retention
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
        assert await retention.find(db, "strict") is None
        for creator, days in (("strict", 90), ("strict", 30), ("lenient", 365), ("gone", 1)):
            await retention.put(db, creator, days)
        await retention.put(db, "gone", None)
        assert await retention.rules(db) == [("lenient", 365), ("strict", 30)]

        before = await fans(settings)
        done = await sweep(settings, dry_run=True, now=NOW)
        assert (done.rules, done.fans, done.erasures) == (2, 1, [])
        assert await fans(settings) == before

        told: list[int] = []
        done = await sweep(settings, now=NOW, progress=told.append)
        assert (done.fans, told, len(done.erasures)) == (1, [1], 1)
        assert before - await fans(settings) == {("strict", "silent")}
        assert (await sweep(settings, now=NOW)).fans == 0

        assert await proofs(settings, done.erasures, 0.0) == ([], 1)
        await db.execute("UPDATE erasure SET completed_at = now(), kek = NULL, sealed = NULL")
        (receipt,), missing = await proofs(settings, done.erasures, 0.0)
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
