"""What a receipt tells is what stands in the database, when it is asked for."""

import json
import uuid
from pathlib import Path

from msgspec import UNSET

from infra.postgres import connecting
from infra.settings import Settings
from lab.bench.seed import seed
from ops.services.ports import free_port
from ops.system import environment
from privacy.keys import Keyring
from privacy.receipts import Signer
from schemas.times import DAY_MS, HOUR_MS, MINUTE_MS, render_time
from stores import erasure, receipts
from stores.erasure import Names
from stores.opened import Stores, open_stores
from tests.api.client import conversation
from tests.cli import fanmemory
from tests.pipeline import fill

WHO = ("creator", "fan")
NOW = 1_800_000_000_000


async def _found(stores: Stores, id: bytes) -> dict[str, int | None]:
    made = await receipts.made_of(stores.pool, stores.cache, id, NOW, "key")
    assert made is not None
    return {one.name: one.found for one in made.receipt.emptied}


async def test_a_receipt_counts_what_was_erased_and_what_a_look_finds(
    store_settings: Settings, tmp_path: Path
) -> None:
    settings = store_settings
    await seed(settings, {WHO: conversation(5), ("creator", "other"): conversation(3)})
    async with open_stores(settings) as stores, connecting(settings.postgres_url) as db:
        names, partitions = Names(Keyring.of(settings)), settings.journal_partitions
        cache = stores.cache
        for partition in range(partitions):
            await cache.adopt(1, partition, 0, {}, seconds=600)
        assert await fill(cache, stores.store, *WHO)
        id = await erasure.erase(stores.pool, names, partitions, WHO)
        assert await receipts.made_of(stores.pool, stores.cache, id, NOW, "key") is None, (
            "it is not completed"
        )
        assert (
            await receipts.made_of(stores.pool, stores.cache, uuid.uuid4().bytes, NOW, "key")
            is None
        )
        await db.execute(
            "UPDATE erasure SET completed_at = '2026-11-28T10:30:00Z', kek = NULL, sealed = NULL"
        )
        found = await receipts.made_of(stores.pool, stores.cache, id, NOW, "key")
        assert found is not None
        creator, receipt = found
        assert (receipt.kind, receipt.events) == ("erase", UNSET)
        subjects = await db.fetch("SELECT subject FROM erased_subject")
        assert receipt.subjects == [str(uuid.UUID(bytes=row["subject"])) for row in subjects]
        emptied = {one.name: (one.deleted, one.found) for one in receipt.emptied}
        assert emptied == {
            "subject": (1, 0),
            "fan_state": (1, 0),
            "interaction": (6, 0),
            "quarantine": (0, 0),
            "outbox_record": (None, 0),
            "campaign_member": (None, 0),
            "c:": (None, None),
        }
        until = {one.name: one.until for one in receipt.remains}
        completed = 1_795_861_800_000
        assert until["interactions"] == render_time(
            completed + 3 * DAY_MS + 3 * HOUR_MS + 6 * MINUTE_MS
        )
        assert until["journal"] is None
        told = json.dumps([creator, *map(str, [receipt])])
        assert WHO[1] not in told.replace("fan_state", "")

        # A row that came back, out of a backup for one, is found by the look.
        await db.execute(
            "INSERT INTO g1.fan_state (subject, version, state) VALUES ($1, 1, '{}')",
            subjects[0]["subject"],
        )
        assert (await _found(stores, id))["fan_state"] == 1

        # So is an entry of the cache, whoever may read it; not that of who came back.
        assert (await _found(stores, id))["c:"] is None  # a former release did not note the name
        await db.execute("UPDATE erasure SET cached = $1", cache.name(*WHO))
        assert (await _found(stores, id))["c:"] == 1
        await cache.drop_all()  # nobody reads it any more, and there it is
        assert (await _found(stores, id))["c:"] == 1
        await cache.drop([WHO])
        assert (await _found(stores, id))["c:"] == 0
        await db.execute("DELETE FROM g1.fan_state")
        await seed(settings, {WHO: conversation(2)})
        assert await fill(cache, stores.store, *WHO)
        assert (await _found(stores, id))["c:"] == 0
        nowhere = settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}"})
        async with open_stores(nowhere) as away:
            assert (await _found(away, id))["c:"] is None

    # The same by the command line, checked without anything running.
    text = uuid.UUID(bytes=id)
    given = environment(settings) | {
        "FANMEMORY_RECEIPT_KEY": settings.receipt_key.get_secret_value()
    }
    shown = fanmemory("receipt", "show", str(text), cwd=None, stdin=None, **given)
    assert shown.returncode == 0, shown.stderr
    keys, one, bad = (tmp_path / name for name in ("keys.json", "one.jsonl", "bad.jsonl"))
    keys.write_text(fanmemory("receipt", "keys", cwd=None, stdin=None, **given).stdout)
    one.write_text(shown.stdout * 2)
    bad.write_text(shown.stdout + shown.stdout.replace('"deleted":6', '"deleted":7'))
    ran = fanmemory("receipt", "verify", str(one), "--keys", str(keys), "--json")
    assert (ran.returncode, json.loads(ran.stdout)) == (0, {"genuine": 2, "failed": []})
    ran = fanmemory("receipt", "verify", str(bad), "--keys", str(keys), "--json")
    assert (ran.returncode, json.loads(ran.stdout)) == (1, {"genuine": 1, "failed": [2]})
    assert json.loads(keys.read_text())["keys"][0]["keyId"] == Signer.of(settings).key_id
