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

from admin.accounting import Account, account, wait_until_folded
from infra.settings import Settings
from schemas.errors import DeadlineExceeded
from stores.generations import schema_name
from tests.cli import Running
from tests.pipeline import Pipeline
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
    assert since.read == added.accepted + added.dead_letters
    assert since.folded == added.applied + added.duplicates + added.forgotten + added.quarantined, (
        "repeats are extra"
    )


async def test_an_empty_system_has_nothing_to_account_for(
    store_settings: Settings, tmp_path: Path
) -> None:
    async with Pipeline(store_settings, tmp_path).stores() as (_, store):
        assert await account(store) == Account()
        assert await wait_until_folded(store, 0, 0.1) == Account()


async def test_when_nothing_moves_waiting_ends_and_says_what_is_missing(
    store_settings: Settings, tmp_path: Path
) -> None:
    async with Pipeline(store_settings, tmp_path).stores() as (_, store):
        with pytest.raises(DeadlineExceeded, match="3 events unread and 0 unfolded"):
            await wait_until_folded(store, 3, 0.2)


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
    rows = await pipeline.fetch(
        f"SELECT creator_id, fan_id, state FROM {schema_name(live['generation'])}.fan_state"
        " JOIN subject USING (subject)"
    )
    states = {(row["creator_id"], row["fan_id"]): decode(row["state"]) for row in rows}
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
