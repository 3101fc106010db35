"""Row-level security: the reader sees one creator's rows, whatever the statement asks for."""

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from infra.postgres import InsufficientPrivilegeError, Pool, connect, open_pool, url_of
from infra.settings import Settings
from infra.sql import load_queries
from lab.bench.fold import interactions
from lab.bench.seed import seed
from ops.doctor import database
from ops.doctor.findings import Problem
from privacy.keys import Keyring
from schemas.errors import Forbidden
from stores import generations, wall
from stores.migrate import migrate
from stores.queries import memory_queries
from stores.store import Store
from tests.documents import COPY_STATES
from views.facts import TELLING_MAX
from views.messages import INDIRECT_MAX, MESSAGES_MAX
from views.notes import NOTES_MAX
from views.state import VIEW_VERSION

SQL = Path(wall.__file__).parent / "sql"
CREATORS = ("ours", "theirs")
WALLED = (
    *("subject", "interaction", "quarantine", "g1.fan_state", "platform_connection"),
    *("creator_key", "retention", "history_retention", "workflow", "draft", "decision", "usage"),
    *("campaign", "refused"),
)


@pytest.fixture
async def settings(store_settings: Settings) -> Settings:
    """Two creators, each with three fans of the same names."""
    histories = {(c, f"f{n}"): interactions(20, n) for c in CREATORS for n in range(3)}
    await seed(store_settings, histories)
    owner = await connect(url_of(store_settings, "owner"))
    for number, creator in enumerate(CREATORS):
        await owner.execute(
            'INSERT INTO refused (partition, "offset", refused_at, creator_id, field, reason, key,'
            " sealed) VALUES (0, $1, 1, $2, 'amount', 'no', 'day:2026-11-29', 'x')",
            number,
            creator,
        )
        await owner.execute(
            "WITH made AS (INSERT INTO workflow (workflow, type, creator_id, user_id, subject,"
            " state, priority, send, platform, trace_id) SELECT gen_random_uuid(), 'reply', $1,"
            " 'u', (SELECT subject FROM subject WHERE creator_id = $1 LIMIT 1), 'received', 1,"
            " true, 'p', 't' RETURNING workflow, subject),"
            " drafted AS (INSERT INTO draft (workflow, version) SELECT workflow, 1 FROM made),"
            " decided AS (INSERT INTO decision (workflow, version, kind, user_id)"
            " SELECT workflow, 1, 'approve', 'u' FROM made)"
            " INSERT INTO usage (workflow, call, provider, model, type, creator_id, user_id,"
            " trace_id, state, reserved, reserved_tokens, price_version)"
            " SELECT workflow, 1, 'p', 'm', 'reply', $1, 'u', 't', 'reserved', 1, 1, 'v' FROM made",
            creator,
        )
        await owner.execute(
            "INSERT INTO campaign (campaign, creator_id, user_id, state, send, per_minute)"
            " VALUES (gen_random_uuid(), $1, 'u', 'running', true, 1)",
            creator,
        )
        await owner.execute(
            "INSERT INTO platform_connection VALUES ($1, 'p', $1, 'k', 'sealed')", creator
        )
        await owner.execute("INSERT INTO creator_key VALUES ($1, 'k', 'wrapped')", creator)
        await owner.execute("INSERT INTO retention VALUES ($1, 30)", creator)
        await owner.execute("INSERT INTO history_retention VALUES ($1, 365)", creator)
        await owner.execute(
            'INSERT INTO quarantine (partition, "offset", subject, reason, value)'
            " SELECT 0, $2, subject, 'r', 'v' FROM subject WHERE creator_id = $1 LIMIT 1",
            creator,
            CREATORS.index(creator),
        )
    await owner.close()
    return store_settings


@pytest.fixture
async def reader(settings: Settings) -> AsyncIterator[Any]:
    connection = await connect(url_of(settings, "reader"))
    yield connection
    await connection.close()


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Pool]:
    made = await open_pool(url_of(settings, "reader"), size_max=2)
    yield made
    made.terminate()


@pytest.mark.parametrize("table", WALLED)
async def test_without_a_creator_the_reader_sees_nothing_and_with_one_a_part(
    reader: Any, settings: Settings, table: str
) -> None:
    count = f"SELECT count(*) AS n FROM {table}"
    owner = await connect(url_of(settings, "owner"))
    there = await owner.fetchval(count)
    await owner.close()
    assert there >= 2
    assert await reader.fetchval(count) == 0
    seen = [(await wall.fetch(reader, count, creator))[0]["n"] for creator in CREATORS]
    assert seen == [there // 2, there // 2]
    assert (await wall.fetch(reader, count, "nobody"))[0]["n"] == 0
    assert (await wall.fetch(reader, count, ""))[0]["n"] == 0
    assert await reader.fetchval(count) == 0  # nothing is left of it on the connection


async def test_every_table_with_rows_of_a_creator_that_the_reader_may_see_is_walled(
    reader: Any,
) -> None:
    """A new table, or a new grant, has to say how its rows are told apart."""
    rows = await reader.fetch(
        "SELECT c.oid::regclass::text AS name, relrowsecurity AND relforcerowsecurity AS walled"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'v')"
        " AND nspname !~ '^(pg_|information_schema)' AND EXISTS (SELECT FROM pg_attribute"
        " WHERE attrelid = c.oid AND attname IN ('subject', 'creator_id', 'workflow'))"
        " AND has_table_privilege(c.oid, 'SELECT')"
    )
    assert {row["name"] for row in rows if row["walled"]} == set(WALLED)
    assert [row["name"] for row in rows if not row["walled"]] == []


async def test_a_state_that_a_former_release_wrote_is_told_apart_by_its_subject(
    settings: Settings, reader: Any
) -> None:
    """And one with the creator's hash by that: both of any name."""
    names = ("ours", "ünïcode 😍", "x" * 255)
    for name in names[1:]:
        await seed(settings, {(name, "f"): interactions(3, 1)})
    count = "SELECT count(*) AS n FROM g1.fan_state"
    wanted = [3, 1, 1]
    assert [(await wall.fetch(reader, count, name))[0]["n"] for name in names] == wanted
    writer = await connect(settings.postgres_url)
    await writer.execute("UPDATE g1.fan_state SET creator_hash = NULL")
    await writer.close()
    assert [(await wall.fetch(reader, count, name))[0]["n"] for name in names] == wanted
    assert await reader.fetchval(count) == 0


async def test_a_new_generation_is_walled_when_it_is_made(settings: Settings, reader: Any) -> None:
    owner = await connect(url_of(settings, "owner"))
    async with owner.transaction():
        await generations.create(owner, 2, "building")
    await owner.execute(COPY_STATES)
    await owner.close()
    count = "SELECT count(*) AS n FROM g2.fan_state"
    assert await reader.fetchval(count) == 0
    assert (await wall.fetch(reader, count, "ours"))[0]["n"] == 3
    writer = await connect(settings.postgres_url)
    assert await writer.fetchval(count) == 6
    await writer.close()


async def test_a_statement_that_asks_for_another_creators_fan_finds_nobody(
    settings: Settings, reader: Any
) -> None:
    """Whatever it names: the fan, the creator, or the subject itself."""
    owner = await connect(url_of(settings, "owner"))
    theirs = await owner.fetchval("SELECT subject FROM subject WHERE creator_id = 'theirs' LIMIT 1")
    await owner.close()
    queries = memory_queries(1)
    read = (["f0", "f1"], MESSAGES_MAX, VIEW_VERSION, INDIRECT_MAX, NOTES_MAX, TELLING_MAX)
    assert len(await wall.fetch(reader, queries.read_fans, "ours", "ours", *read)) == 2
    assert await wall.fetch(reader, queries.read_fans, "ours", "theirs", *read) == []
    assert await wall.fetch(reader, queries.read_history, "ours", theirs, 100) == []
    assert await wall.fetch(reader, queries.weigh_history, "ours", "theirs", "f0", 9) == []


PLANS = ("nestloop", "hashjoin", "mergejoin", "indexscan", "bitmapscan", "seqscan", "memoize")


async def test_the_creator_is_set_before_a_row_is_looked_at_in_every_plan(
    settings: Settings,
) -> None:
    """Whatever the planner prefers, with the statement prepared for its values and for any."""
    statement = (
        "SELECT s.fan_id, f.version, count(i.*) AS n FROM g1.fan_state f"
        " JOIN subject s USING (subject) LEFT JOIN interaction i USING (subject)"
        " WHERE s.fan_id = ANY ($1::text[]) GROUP BY 1, 2"
    )
    connection = await asyncpg.connect(url_of(settings, "reader"))
    for off in itertools.chain(PLANS, itertools.combinations(PLANS, 2)):
        names = (off,) if isinstance(off, str) else off
        for mode in ("force_generic_plan", "force_custom_plan"):
            await connection.execute("RESET ALL")
            await connection.execute(f"SET plan_cache_mode = {mode}")
            for name in names:
                await connection.execute(f"SET enable_{name} = off")
            for creator in (*CREATORS, "nobody"):
                rows = await wall.fetch(connection, statement, creator, ["f0", "f1"])
                found = sorted((row["fan_id"], row["n"]) for row in rows)
                wanted = [] if creator == "nobody" else [("f0", 20), ("f1", 20)]
                assert found == wanted, (names, mode, creator)
    await connection.close()


async def test_the_creator_comes_from_the_outer_side_of_a_nested_loop(reader: Any) -> None:
    """Which is what makes the order certain: the inner side begins with a row of the outer."""
    walled = wall._walled(memory_queries(1).read_fans, 8)
    limits = MESSAGES_MAX, VIEW_VERSION, INDIRECT_MAX, NOTES_MAX, TELLING_MAX
    arguments = ("ours", ["f0"], *limits, "ours")
    (row,) = await reader.fetch(f"EXPLAIN (FORMAT JSON) {walled}", *arguments)
    plan = json.loads(row[0])[0]["Plan"]
    assert plan["Node Type"] == "Nested Loop"
    setting, outer, inner = plan["Plans"]
    assert setting["Subplan Name"] == "CTE let_in"
    assert outer["Node Type"] == "CTE Scan"
    assert "Relation Name" not in outer
    assert "subject" in json.dumps(inner)


def scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    below = [one for part in plan.get("Plans", ()) for one in scans(part)]
    return [plan, *below] if "Scan" in plan["Node Type"] else below


READS: dict[str, tuple[Any, ...]] = {
    "read_fans": (
        *("ours", ["f0"], MESSAGES_MAX, VIEW_VERSION, INDIRECT_MAX),
        *(NOTES_MAX, TELLING_MAX),
    ),
    "read_sources": ("ours", ["f0"], "journal", 12, 1, VIEW_VERSION),
    "weigh_history": ("ours", "f0", 100),
    "read_history": (bytes(16), 100),
    "page": ("ours", 9.0, bytes(16), 0.0, VIEW_VERSION, 9, 9, *(0.0, 9.0) * 3, 0, 0, 9, 1),
    "by_id": ("ours", "", VIEW_VERSION, 9, 9, *(0.0, 9.0) * 3, 0, 0, 9),
    "before": ("ours", "f0", 9, 9, 9, 9),
    "subject": ("ours", "f0"),
    "events": (bytes(16), [bytes(16)]),
}
LARGE = ("subject", "interaction", "fan_state")
"""Tables with rows of every creator's fans."""


@pytest.mark.parametrize("name", READS)
async def test_behind_the_wall_every_statement_goes_by_an_index(
    settings: Settings, reader: Any, name: str
) -> None:
    """Tables this small would be read whole: the planner is kept from it."""
    owner = await connect(url_of(settings, "owner"))
    await owner.execute(
        "INSERT INTO subject (subject, creator_id, fan_id, kek, wrapped_key) SELECT"
        " gen_random_uuid(), (ARRAY['ours', 'theirs'])[1 + n % 2], 'more ' || n, 'k', 'w'"
        " FROM generate_series(1, 2000) AS n"
    )
    await owner.execute("ANALYZE")
    await owner.close()
    rank = load_queries(
        SQL / "segments.sql", generation="g1", key="rank", by="by_rank", type="float8"
    )
    beside = [load_queries(SQL / f"{name}.sql") for name in ("export", "messages")]
    places = memory_queries(1), rank, *beside
    (statement,) = [vars(one)[name] for one in places if name in vars(one)]
    await reader.execute("SET enable_seqscan = off")
    await reader.execute("SET plan_cache_mode = force_generic_plan")
    walled = wall._walled(statement, len(READS[name]) + 1)
    (row,) = await reader.fetch(f"EXPLAIN (FORMAT JSON) {walled}", *READS[name], "ours")
    found = [
        one for one in scans(json.loads(row[0])[0]["Plan"]) if one.get("Relation Name") in LARGE
    ]
    assert found
    for one in found:
        by = one.get("Index Cond") or one.get("Recheck Cond")
        assert by, one
        assert "current_setting" not in by, "all of a creator's, for each row"


async def test_requests_of_two_creators_on_the_same_connections_see_their_own(pool: Pool) -> None:
    """Shuffled, many at once, over two connections whose statements stay prepared."""
    statement = "SELECT DISTINCT creator_id FROM subject"
    wanted = [random.Random(7).choice((*CREATORS, "nobody")) for _ in range(400)]

    async def ask(creator: str) -> None:
        rows = await wall.fetch(pool, statement, creator)
        assert [row["creator_id"] for row in rows] == ([] if creator == "nobody" else [creator])
        assert await pool.fetch(statement) == []

    await asyncio.gather(*map(ask, wanted))


async def test_statements_in_one_pipeline_see_each_their_own(
    settings: Settings, reader: Any
) -> None:
    """What is sent without waiting is one transaction of Postgres, and so one setting."""
    owner = await connect(url_of(settings, "owner"))
    name = await owner.fetchval("SELECT current_database()")
    await owner.execute(f'GRANT TEMPORARY ON DATABASE "{name}" TO fanmemory_reader')
    await owner.close()
    await reader.execute("CREATE TEMP TABLE seen (asked text, creator text)")
    walled = wall._walled("SELECT $1::text AS asked, creator_id FROM subject", 2)
    order = ["ours", "theirs", "nobody", "theirs", "ours"] * 20
    await reader.executemany(f"INSERT INTO seen {walled}", [(one, one) for one in order])
    rows = await reader.fetch("SELECT asked, creator, count(*) AS n FROM seen GROUP BY 1, 2")
    assert sorted(tuple(row) for row in rows) == [("ours", "ours", 120), ("theirs", "theirs", 120)]
    assert await reader.fetchval("SELECT count(*) FROM subject") == 0


async def test_in_a_transaction_the_creator_stays_until_its_end(reader: Any) -> None:
    count = "SELECT count(*) AS n FROM subject"
    async with reader.transaction():
        assert (await wall.fetch(reader, count, "ours"))[0]["n"] == 3
        assert await reader.fetchval(count) == 3
    assert await reader.fetchval(count) == 0
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with reader.transaction():
            await wall.fetch(reader, count, "ours")
            await reader.execute("SELECT 1 / 0")
    assert await reader.fetchval(count) == 0


async def test_a_request_that_lets_in_one_creator_reads_and_writes_for_no_other(
    settings: Settings, pool: Pool
) -> None:
    store = Store(pool, Keyring.of(settings), settings.journal_partitions)

    async def request(let_in: frozenset[str]) -> list[bool]:
        wall.letting_in(let_in)
        return [await store.stored(creator, "f0") is not None for creator in CREATORS]

    ours = asyncio.create_task(request(frozenset({"ours"})))
    nobodys = asyncio.create_task(request(wall.NOBODY))
    agencys = asyncio.create_task(request(frozenset(CREATORS)))
    assert await ours == [True, False]
    assert await nobodys == [False, False]
    assert await agencys == [True, True]
    assert wall.sees("theirs")  # here, outside of requests

    async def write() -> None:
        wall.letting_in(frozenset({"ours"}))
        wall.require("ours")
        with pytest.raises(Forbidden):
            wall.require("theirs")

    await asyncio.create_task(write())


@pytest.mark.parametrize("role", ["writer", "reader"])
async def test_nobody_but_the_owner_takes_the_wall_down(settings: Settings, role: Any) -> None:
    connection = await connect(url_of(settings, role))
    for attempt in (
        "ALTER TABLE subject DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE g1.fan_state NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY of_creator ON subject",
        "CREATE POLICY mine ON subject USING (true)",
    ):
        with pytest.raises(InsufficientPrivilegeError):
            await connection.execute(attempt)
    await connection.close()


async def test_a_wall_that_was_opened_is_closed_by_the_next_migrate(
    settings: Settings, reader: Any
) -> None:
    owner = await connect(url_of(settings, "owner"))
    await owner.execute("DROP POLICY of_creator ON subject")
    assert await reader.fetchval("SELECT count(*) FROM subject") == 6
    assert await migrate(url_of(settings, "owner")) == []
    assert await reader.fetchval("SELECT count(*) FROM subject") == 0
    await owner.execute("DROP POLICY of_creator ON subject")
    await owner.execute("CREATE POLICY of_creator ON subject USING (true)")  # as a release before
    assert await reader.fetchval("SELECT count(*) FROM subject") == 6
    assert await migrate(url_of(settings, "owner")) == []
    assert await reader.fetchval("SELECT count(*) FROM subject") == 0
    await owner.execute("DROP POLICY everyone ON subject")
    assert await owner.fetchval("SELECT count(*) FROM subject") == 0
    assert await migrate(url_of(settings, "owner")) == []
    assert await owner.fetchval("SELECT count(*) FROM subject") == 6
    assert await database.roles(settings)
    await owner.execute("ALTER TABLE subject DISABLE ROW LEVEL SECURITY")
    assert await reader.fetchval("SELECT count(*) FROM subject") == 6
    with pytest.raises(Problem, match="in subject"):
        await database.roles(settings)
    assert await migrate(url_of(settings, "owner")) == []
    assert await reader.fetchval("SELECT count(*) FROM subject") == 0
    await owner.close()
