"""What must be true when all is quiet, each held against something independent of it.

The intents are what was published, the sends what the sink was given, results and usage what Kafka
has: Postgres is held against all three.
"""

import json
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from infra.postgres import Pool
from infra.settings import Settings
from lab.chaos.agent.plan import Amounts
from lab.chaos.agent.sink import Sink
from lab.chaos.checks import EXAMPLES_MAX, Check
from lab.chaos.topic import read_topic
from schemas.topics import INTENT_RESULTS, LLM_USAGE
from schemas.workflows import ENDED
from stores.workflows.counting import counted

Told = Mapping[tuple[str, ...], set[bytes]]
"""Key of a record -> all that was told under it."""

SENDING: Final = frozenset(("send.before_call", "send.after_call", "send.before_finish"))
CALLING: Final = frozenset(("llm.before_call", "llm.after_call"))


async def check_all(
    settings: Settings, pool: Pool, sink: Sink, amounts: Amounts, published: int
) -> list[Check]:
    """All of them but that of the log read once more."""
    rows = await pool.fetch(
        "SELECT encode(uuid_send(workflow), 'hex') AS name, state, reason, parts_sent, send_began,"
        " campaign IS NOT NULL AS child FROM workflow"
    )
    calls = await pool.fetch(
        "SELECT encode(uuid_send(workflow), 'hex') AS name, call, state, cost, reserved,"
        " input + output AS tokens, creator_id, user_id FROM usage"
    )
    return [
        check_intents(rows, published),
        *check_sends(rows, sink.keys, amounts),
        *check_calls(calls, amounts),
        check_results(rows, await _told(settings, INTENT_RESULTS.name, "workflowId")),
        check_usage(calls, await _told(settings, LLM_USAGE.name, "workflowId", "call")),
        check_budgets(
            calls, await pool.fetch("SELECT scope, id, period, money, tokens FROM budget")
        ),
        await _check_campaigns(pool),
    ]


def check_intents(rows: Any, published: int) -> Check:
    """Each intent one workflow, and none of them under way."""
    own = sum(not row["child"] for row in rows)
    states = Counter(row["state"] for row in rows)
    done = states.keys() <= ENDED | {"unknown"}
    saw = f"{own} of {published}; " + ", ".join(f"{n} {state}" for state, n in states.items())
    return Check(
        "each intent is one workflow, and has come to an end", own == published and done, saw
    )


def check_sends(rows: Any, keys: Counter[str], amounts: Amounts) -> list[Check]:
    twice = [key for key, count in keys.items() if count > 1]
    sent = {f"{row['name']}-{part}" for row in rows for part in range(row["parts_sent"])}
    lost = {f"{row['name']}-{row['parts_sent']}" for row in rows if row["state"] == "unknown"}
    unheard = [row["name"] for row in rows if row["state"] == "sending"]
    strangers = [*(keys.keys() - sent - lost), *(sent - keys.keys()), *unheard]
    least = sum(step in SENDING for step in amounts.steps)
    return [
        Check(
            "no message was sent twice", not twice, f"{len(keys)} messages, twice: {_some(twice)}"
        ),
        Check(
            "what counts as sent is what was sent, but for what is unknown",
            not strangers,
            f"{len(sent)} sent, {len(lost)} unknown, else: {_some(strangers)}",
        ),
        Check(
            "every send whose answer was lost is unknown",
            len(lost) >= least,
            f"{len(lost)} unknown, at least {least} were lost",
        ),
    ]


def check_calls(calls: Any, amounts: Amounts) -> list[Check]:
    states = Counter(row["state"] for row in calls)
    wrong = [row["name"] for row in calls if row["state"] == "unknown" and row["cost"] is None]
    least = sum(step in CALLING for step in amounts.steps)
    passed = not states["reserved"] and not wrong and states["unknown"] >= least
    saw = ", ".join(f"{n} {state}" for state, n in states.items())
    return [Check("every call whose answer was lost costs the most that it can", passed, saw)]


def check_results(rows: Any, told: Told) -> Check:
    """One result of each that has ended, however often it was told; none of the others."""
    ended = {(row["name"],) for row in rows if row["state"] in ENDED}
    several = [key[0] for key, values in told.items() if len(values) > 1]
    wrong = [key[0] for key in ended ^ told.keys()]
    return Check(
        "each that has ended has one result",
        not several and not wrong,
        f"{len(told)} results; several: {_some(several)}; wrong: {_some(wrong)}",
    )


def check_usage(calls: Any, told: Told) -> Check:
    """What the topic says, folded again, is what the table says, to the last digit."""
    table = {(row["name"], str(row["call"])): (row["cost"], row["tokens"]) for row in calls}
    topic = {}
    for key, values in told.items():
        if len(values) == 1:
            value = json.loads(next(iter(values)))
            topic[key] = Decimal(value["cost"]), value["tokens"]
    total = sum((cost for cost, _ in topic.values()), Decimal(0))
    return Check(
        "llm-usage folded again is usage, to the last digit",
        topic == table,
        f"${total} of {len(topic)} calls; ${sum((row['cost'] for row in calls), Decimal(0))} kept",
    )


def check_budgets(calls: Any, budgets: Any) -> Check:
    """What is spent of each budget is what its calls cost. (A run around midnight has two days.)"""
    spent: dict[tuple[str, str], tuple[Decimal, int]] = {}
    for row in calls:
        for who in (("creator", row["creator_id"]), ("user", row["user_id"])):
            money, tokens = spent.get(who, (Decimal(0), 0))
            spent[who] = money + row["cost"], tokens + row["tokens"]
    found: dict[tuple[str, str], tuple[Decimal, int]] = {}
    for row in budgets:
        if row["period"] == "month":
            who = row["scope"], row["id"]
            money, tokens = found.get(who, (Decimal(0), 0))
            found[who] = money + row["money"], tokens + row["tokens"]
    wrong = [who for who, both in spent.items() if found.get(who) != both]
    return Check(
        "budgets are spent by what calls cost", not wrong, f"{len(spent)}; wrong: {_some(wrong)}"
    )


async def _check_campaigns(pool: Pool) -> Check:
    """Each member one message, and in one place."""
    ids = [row["campaign"] for row in await pool.fetch("SELECT campaign FROM campaign")]
    children = {
        row["campaign"]: row["members"]
        for row in await pool.fetch(
            "SELECT campaign, count(DISTINCT member)::int AS members FROM workflow"
            " WHERE member IS NOT NULL GROUP BY campaign HAVING count(*) = count(DISTINCT member)"
        )
    }
    wrong = []
    for id, one in (await counted(pool, ids, None)).items():
        counts = one.counts
        places = counts.sent + counts.failed + counts.unknown + counts.skipped_all
        whole = one.campaign.state == "ended" and counts.members == places
        if not whole or children.get(id, 0) != one.campaign.made:
            wrong.append(one.campaign.name)
    return Check(
        "each member of a campaign has one message, and is in one place",
        not wrong,
        f"{len(ids)} campaigns, {sum(children.values())} messages; wrong: {_some(wrong)}",
    )


async def _told(settings: Settings, topic: str, *key: str) -> dict[tuple[str, ...], set[bytes]]:
    found: dict[tuple[str, ...], set[bytes]] = {}
    async for record in read_topic(settings, topic):
        value = json.loads(record.value)
        found.setdefault(tuple(str(value[name]) for name in key), set()).add(record.value)
    return found


def _some(found: Any) -> str:
    return ", ".join(map(str, list(found)[:EXAMPLES_MAX])) or "none"
