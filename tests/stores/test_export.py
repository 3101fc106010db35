"""An export holds everything of one fan, what context and history hold, and nothing of another."""

import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from admin.export import as_json, as_page
from infra.settings import Settings
from lab.bench.seed import seed
from schemas.errors import FanNotFound
from schemas.journal import JournalEntry
from schemas.rendered import render_interaction
from schemas.times import MINUTE_MS, render_time
from stores import erasure, suppression
from stores.erasure import Names
from stores.export import exported
from stores.opened import Stores, open_stores
from tests.api.client import conversation
from views.context import render_context

WHO, OTHER = ("creator", "fan"), ("creator", "other fan")
NOW = 1_800_000_000_000
SECRET = "<script>alert('of the other')</script>"


@pytest.fixture
async def stores(store_settings: Settings) -> AsyncIterator[Stores]:
    evil = JournalEntry(
        "<b>id</b>", "message", NOW - MINUTE_MS, "fan", content="<script>x</script>"
    )
    other = JournalEntry("o1", "message", NOW - MINUTE_MS, "fan", content=SECRET)
    talk = [*conversation(60, now=NOW), evil]
    await seed(store_settings, {WHO: talk, OTHER: [other], ("other creator", "fan"): [other]})
    async with open_stores(store_settings, connections_max=3) as opened:
        yield opened


async def written(stores: Stores, settings: Settings, form: Any = as_json) -> bytes:
    parts = exported(settings, stores.pool, stores.keyring, WHO, NOW)
    return b"".join([piece async for piece in form(parts)])


async def test_it_equals_what_context_and_history_hold(
    stores: Stores, store_settings: Settings
) -> None:
    document = json.loads(await written(stores, store_settings))
    assert list(document) == [
        *("export", "suppression", "retention", "context", "cameFrom", "state"),
        *("events", "quarantine", "workflows", "costs"),
    ]
    found = await stores.store.read(*WHO)
    assert found is not None
    context = render_context(*WHO, found.state, found.entries, NOW, store_settings.currency)
    assert document["context"]["engagementMetrics"]["totalRevenue"] == 20
    assert (
        document["context"]["recentMessages"][-1]["content"] == context.recent_messages[-1].content
    )
    history = await stores.store.history(*WHO, 1000)
    told = [one["event"] for one in document["events"]]
    assert told == [json.loads(render_interaction(WHO, entry)) for _, entry in history]
    assert len(told) == 62
    assert {one["analysis"]["read"]["sentiment"] for one in document["events"] if one["analysis"]}
    assert [one["position"].startswith("journal-") for one in document["events"]] == [True] * 62
    assert document["cameFrom"]["events"] == 62
    assert "message" in document["cameFrom"]["movedBy"]["recentMessages"]
    assert document["suppression"] == {"suppressed": False, "since": None}
    assert document["retention"] == {"silentDays": None, "historyDays": None}
    assert document["export"]["exportedAt"] == render_time(NOW)


async def test_it_holds_what_was_asked_of_the_assistant_and_who_decided(
    stores: Stores, store_settings: Settings
) -> None:
    id = bytes(15) + b"\7"
    async with stores.pool.acquire() as connection:
        for fan in (WHO[1], OTHER[1]):
            await connection.execute(
                "INSERT INTO workflow (workflow, type, creator_id, user_id, subject, state,"
                " priority, send, platform, trace_id) SELECT $1, 'reply', creator_id,"
                " 'a user of ' || fan_id, subject, 'sent', 1, true, 'x', 't'"
                " FROM subject WHERE fan_id = $2"
                " AND creator_id = 'creator'",
                *(id if fan == WHO[1] else bytes(16), fan),
            )
        await connection.execute(
            "INSERT INTO decision (workflow, version, kind, user_id)"
            " VALUES ($1, 1, 'approve', 'u9')",
            id,
        )
    document = json.loads(await written(stores, store_settings))
    (workflow,) = document["workflows"]
    assert (workflow["workflowId"], workflow["state"]) == (id.hex(), "sent")
    assert workflow["userId"] == "a user of fan"
    assert [(one["kind"], one["userId"]) for one in workflow["decisions"]] == [("approve", "u9")]


async def test_it_leaks_no_other_fan_and_a_page_runs_nothing(
    stores: Stores, store_settings: Settings
) -> None:
    for form in (as_json, as_page):
        text = (await written(stores, store_settings, form)).decode()
        assert "of the other" not in text
        assert OTHER[1] not in text
        assert "other creator" not in text
    assert "<script" not in text
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert "<b>id</b>" not in text


async def test_whom_nothing_is_known_of_and_who_only_is_suppressed(
    stores: Stores, store_settings: Settings
) -> None:
    nobody = ("creator", "nobody")
    with pytest.raises(FanNotFound):
        await anext(exported(store_settings, stores.pool, stores.keyring, nobody, NOW))
    await suppression.put(stores.pool, stores.keyring, nobody)
    parts = exported(store_settings, stores.pool, stores.keyring, nobody, NOW)
    names = [part.name async for part in parts]  # type: ignore[union-attr]
    assert names == ["export", "suppression", "retention"]


async def test_it_breaks_off_when_the_fan_is_erased_meanwhile(
    stores: Stores, store_settings: Settings
) -> None:
    names, partitions = Names(stores.keyring), store_settings.journal_partitions
    pieces: list[bytes] = []
    parts = exported(store_settings, stores.pool, stores.keyring, WHO, NOW)
    with pytest.raises(FanNotFound, match="erased while"):
        async for piece in as_json(parts):
            pieces.append(piece)
            if b'"state":' in piece:
                await erasure.erase(stores.pool, names, partitions, WHO)
    with pytest.raises(json.JSONDecodeError):
        json.loads(b"".join(pieces))


async def test_twenty_thousand_interactions_take_little_memory(store_settings: Settings) -> None:
    many = [
        JournalEntry(f"m{n}", "message", NOW - n * MINUTE_MS, "fan", content=f"{n} " + "x" * 300)
        for n in range(20_000)
    ]
    await seed(store_settings, {WHO: many})
    async with open_stores(store_settings, connections_max=3) as stores:
        tracemalloc.start()
        size = 0
        async for piece in as_json(exported(store_settings, stores.pool, stores.keyring, WHO, NOW)):
            size += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert size > 10_000_000
    assert peak < 8_000_000, f"{peak:,} bytes"
