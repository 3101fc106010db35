"""Every event accounted for, and totals that a few lines over the files give too."""

import gzip
import json
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.accounting import Account, account, behind, wait_until_folded
from infra.kafka import TopicPartition
from infra.postgres import connect
from infra.settings import Settings
from schemas.errors import DeadlineExceeded
from tests.cli import SECONDS_MAX, Running
from tests.pipeline import Flow, Pipeline, message, mixed
from views.context import render_context
from views.state import decode

DATA = Path(__file__).parents[3] / "shared" / "data"
FILES = ("conversations.jsonl.gz", "purchases.jsonl.gz")

accounts = st.builds(Account, **{f.name: st.integers(0, 10**12) for f in fields(Account)})


@given(accounts, accounts)
def test_what_came_since_is_what_was_added(earlier: Account, added: Account) -> None:
    later = Account(
        **{f.name: getattr(earlier, f.name) + getattr(added, f.name) for f in fields(Account)}
    )
    since = later.since(earlier)
    assert since == added
    assert since.read == (added.accepted + added.dead_letters + added.suppressed + added.control)
    known = added.duplicates + added.conflicts
    assert since.folded == added.applied + known + added.forgotten + added.quarantined, (
        "repeats are extra"
    )


async def test_an_empty_system_has_nothing_to_account_for(
    settings: Settings, tmp_path: Path
) -> None:
    async with Pipeline(settings, tmp_path).stores() as (_, store):
        assert await account(store) == Account()
        assert await wait_until_folded(store, settings, 0, 5) == Account()


async def test_when_nothing_moves_waiting_ends_and_says_what_is_missing(
    settings: Settings, tmp_path: Path
) -> None:
    pipeline = Pipeline(settings, tmp_path)
    async with pipeline.stores() as (_, store):
        with pytest.raises(DeadlineExceeded, match="3 events unread"):
            await wait_until_folded(store, settings, 3, 0.2)
        await pipeline.publish(message("fan", 1))
        with pytest.raises(DeadlineExceeded, match=r"behind are interactions-\d by 1"):
            await wait_until_folded(store, settings, 0, 0.2)


async def test_what_a_log_break_did_to_the_counters_keeps_nobody_waiting(
    settings: Settings, tmp_path: Path
) -> None:
    """Records that were written again are repeats to one counter and events to another."""
    pipeline = Pipeline(settings, tmp_path)
    pipeline.start_worker()
    try:
        await pipeline.publish(*mixed(10, 50))
        async with pipeline.stores() as (_, store):
            done = await wait_until_folded(store, settings, 50, SECONDS_MAX)
            assert done.folded == done.accepted == 50
            await pipeline.fetch(
                "UPDATE position SET applied = 0, repeats = applied WHERE topic = 'journal'"
            )
            late = await wait_until_folded(store, settings, 50, SECONDS_MAX)
            assert (late.folded, late.repeats) == (0, 50)
    finally:
        await pipeline.end()


async def test_what_else_moves_does_not_prolong_the_waiting(
    settings: Settings, tmp_path: Path
) -> None:
    """Other events flow on, while the partitions that are waited for stand still."""
    pipeline = Pipeline(settings, tmp_path)
    pipeline.start_worker()
    holder = await connect(settings.postgres_url)
    try:
        await pipeline.publish(*mixed(10, 50))
        await pipeline.drained()
        async with pipeline.stores() as (_, store), Flow(pipeline, "others"):
            await holder.execute("BEGIN; SELECT FROM position WHERE topic = 'journal' FOR UPDATE")
            with pytest.raises(DeadlineExceeded, match="behind are journal"):
                await wait_until_folded(store, settings, 60, 3)
            await holder.execute("ROLLBACK")
    finally:
        holder.terminate()
        await pipeline.end()


places = st.dictionaries(
    st.builds(TopicPartition, st.sampled_from(("interactions", "journal")), st.integers(0, 3)),
    st.integers(0, 100),
)


@given(places, places, places)
def test_a_place_is_behind_unless_it_has_all_that_its_log_still_has_of_the_goal(
    nexts: dict[TopicPartition, int],
    goal: dict[TopicPartition, int],
    moved: dict[TopicPartition, int],
) -> None:
    ends = {place: moved.get(place, end) for place, end in goal.items()}
    late = behind(nexts, goal, ends)
    for place in goal:
        reached = nexts.get(place, 0)
        beyond = reached > ends[place]
        assert (place in late) == (beyond or reached < min(goal[place], ends[place]))
        assert place not in late or (late[place] < 0) == beyond
        if place in late:
            assert behind(nexts | {place: reached + late[place]}, goal, ends).get(place) is None


def reference() -> dict[tuple[str, str], Counter[str]]:
    """Messages, purchases and cents of every relationship, straight from the files."""
    totals: dict[tuple[str, str], Counter[str]] = {}
    for name in FILES:
        with gzip.open(DATA / name) as lines:
            for line in lines:
                event = json.loads(line)
                total = totals.setdefault((event["creatorId"], event["fanId"]), Counter())
                total["messages"] += event["type"] == "message"
                total["purchases"] += event["type"] == "purchase"
                total["cents"] += round(event.get("amount", 0) * 100)
    return totals


@pytest.mark.skipif(not DATA.exists(), reason="the shared data is not here")
async def test_real_conversations_and_purchases_add_up(demonstrated: Running) -> None:
    before = await demonstrated.drained()
    sent = sum(demonstrated.json("emit", str(DATA / name))["sent"] for name in FILES)
    since = (await demonstrated.drained()).since(before)
    assert since.read == sent
    assert since.applied + since.duplicates + since.dead_letters == sent
    assert (since.dead_letters, since.forgotten, since.quarantined) == (0, 0, 0)

    pipeline = demonstrated.pipeline
    [live] = await pipeline.fetch("SELECT generation FROM generation WHERE status = 'live'")
    documents = await pipeline.states(live["generation"])
    states = {who: decode(document) for who, document in documents.items()}
    now = time.time_ns() // 1_000_000
    wrong = []
    totals = reference()
    for who, total in totals.items():
        metrics = render_context(*who, states[who], [], now).engagement_metrics
        found = (
            metrics.total_messages,
            metrics.total_purchases,
            round(metrics.total_revenue * 100),
        )
        if found != (total["messages"], total["purchases"], total["cents"]):
            wrong.append((found, total))
    assert not wrong, f"{len(wrong)} of {len(totals)} relationships, first {wrong[0]}"
