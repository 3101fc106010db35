"""Pages of a segment: they equal a filter over all rendered contexts, whatever is written."""

import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from infra.postgres import connect, connecting, url_of
from infra.settings import Settings
from lab.bench.seed import seed
from ops.services import Endpoints
from schemas.context import MemoryContext
from schemas.details import Details
from schemas.errors import FansUnindexed
from schemas.journal import JournalEntry
from schemas.segments import SORTS, FanSummary, Segment, Sort
from schemas.text_features import TextFeatures
from schemas.times import DAY_MS, HOUR_MS
from stores import generations, indexing, states
from stores.indexing import ROWS, index_fans, order_all, order_fans
from stores.opened import Stores, open_stores
from stores.sealing import seal_state
from stores.segments import Place, Segments
from stores.states import StateRow
from tests import services as helpers
from tests.documents import COPY_STATES, opened_states, put_state
from tests.views.conditions import belongs, segments, waits
from tests.views.interactions import CONTENT_TYPES, NOON, TOPICS, like, message, purchase, tip
from views import engagement
from views.context import render_context
from views.state import FanState, decode, encode, fold

CREATOR, OTHER = "creator", "other creator"
FANS = 140
MOMENT = NOON + 120 * DAY_MS
ORDER_SOME = "UPDATE g1.fan_state SET ordered = true WHERE subject < repeat('8', 32)::uuid"
"""About half of the fans stand in the indexes, and half in none: a page is made of both."""


def history(number: int) -> list[JournalEntry]:
    """Of a fan with habits of their own."""
    chance = random.Random(number)
    times = sorted(NOON + chance.randrange(100 * DAY_MS) for _ in range(chance.randrange(1, 25)))
    mood = chance.uniform(-1, 1)
    spends = chance.random() < 0.4
    return [_event(chance, time, mood, spends) for time in times]


def _event(chance: random.Random, time: int, mood: float, spends: bool) -> JournalEntry:
    if spends and chance.random() < 0.5:
        amount, what = chance.randrange(100, 9_000), chance.choice((None, *CONTENT_TYPES))
        if chance.random() < 0.2:
            currency = Details(currency=chance.choice(("EUR", "JPY", "USD")))
            return JournalEntry("p", "purchase", time, amount=amount, details=currency)
        return chance.choice((purchase, tip))(time, amount, what)
    if chance.random() < 0.2:
        return like(time)
    if chance.random() < 0.15:
        return message(time, sender="creator")
    score = max(-1.0, min(1.0, mood + chance.uniform(-0.3, 0.3)))
    label: Any = "positive" if score > 0.2 else "negative" if score < -0.2 else "neutral"
    topics = tuple(chance.sample(TOPICS, chance.randrange(3)))
    return message(time, TextFeatures(label, score, topics=topics, length=9, words=2))


class Known:
    """All that is remembered in a database, and the way to it."""

    def __init__(self, stores: Stores, settings: Settings, looks_max: int = 1_000) -> None:
        self.stores = stores
        self.settings = settings
        self.contexts: dict[str, tuple[MemoryContext, float]] | None = None
        self.segments = Segments(
            stores.pool,
            stores.pool,
            stores.store,
            settings.journal_partitions,
            settings.currency,
            looks_max=looks_max,
        )

    async def rendered(self) -> dict[str, tuple[MemoryContext, float]]:
        """Each fan's whole context at the moment, one by one, and what they paid in dollars."""
        if self.contexts is None:
            self.contexts = await self._rendered()
        return self.contexts

    async def _rendered(self) -> dict[str, tuple[MemoryContext, float]]:
        found = {}
        for row in await self.stores.pool.fetch(
            "SELECT fan_id FROM subject WHERE creator_id = $1", CREATOR
        ):
            fan = row["fan_id"]
            read = await self.stores.store.read(CREATOR, fan)
            assert read is not None
            context = render_context(CREATOR, fan, read.state, read.entries, MOMENT)
            found[fan] = context, engagement.worth(read.state.engagement) / 100
        return found

    async def pages(
        self, segment: Segment, sort: Sort, limit: int
    ) -> AsyncIterator[list[FanSummary]]:
        after: Place | None = None
        while True:
            page = await self.segments.page(CREATOR, segment, sort, MOMENT, limit, after)
            assert len(page.fans) <= limit
            yield page.fans
            after = page.end
            if after is None:
                return


@pytest.fixture(scope="module")
async def known(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Known]:
    async with helpers.fresh_database(services, template_database) as url:
        data = tmp_path_factory.mktemp("segments")
        settings = await helpers.fresh_settings(services, url, data, kafka=False)
        histories = {(CREATOR, f"fan-{number}"): history(number) for number in range(FANS)}
        theirs = {(OTHER, f"fan-{number}"): history(number + 1) for number in range(20)}
        await seed(settings, histories | theirs)
        async with open_stores(settings) as stores:
            await stores.pool.execute(ORDER_SOME)
            yield Known(stores, settings)


@pytest.fixture
async def own(store_settings: Settings) -> AsyncIterator[Known]:
    """A database for tests that write."""
    await seed(store_settings, {(CREATOR, f"fan-{one}"): history(one) for one in range(60)})
    async with open_stores(store_settings) as stores:
        await stores.pool.execute(ORDER_SOME)
        yield Known(stores, store_settings)


def key_of(sort: Sort, fan: FanSummary) -> Any:
    if sort == "waitingSince":
        assert fan.waiting_since is not None
        return [-ord(one) for one in fan.waiting_since]
    if sort == "score":
        return fan.engagement_score
    return fan.revenue if sort == "revenue" else fan.last_interaction or ""


@given(segments, st.sampled_from(SORTS), st.sampled_from((1, 7, 50, 200)))
@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_pages_hold_whom_a_filter_over_all_contexts_lets_in_in_order(
    known: Known, segment: Segment, sort: Sort, limit: int
) -> None:
    contexts = await known.rendered()
    if sort == "waitingSince":
        segment = replace(segment, waiting=True)
    expected = {fan for fan, one in contexts.items() if belongs(segment, *one)}
    found = [fan async for page in known.pages(segment, sort, limit) for fan in page]
    ids = [fan.fan_id for fan in found]
    assert len(ids) == len(set(ids))
    assert set(ids) == expected
    keys = [key_of(sort, fan) for fan in found]
    assert keys == sorted(keys, reverse=True)
    for fan in found:
        context, worth = contexts[fan.fan_id]
        assert fan.revenue == worth
        assert fan.engagement_score == context.engagement_metrics.engagement_score


@pytest.mark.parametrize("looks_max", [1, 9])
async def test_a_page_that_may_look_at_few_rows_is_short_and_nobody_is_lost(
    known: Known, looks_max: int
) -> None:
    narrow = Known(known.stores, known.settings, looks_max)
    segment = Segment(sentiment="positive", min_revenue=1.0)
    lengths = []
    found = set()
    async for page in narrow.pages(segment, "lastInteraction", 50):
        lengths.append(len(page))
        found |= {fan.fan_id for fan in page}
    assert max(lengths) <= looks_max
    assert min(lengths) == 0
    contexts = await known.rendered()
    assert found == {fan for fan, one in contexts.items() if belongs(segment, *one)}


async def test_members_are_all_of_a_segment_each_once_in_the_order_of_their_ids(
    known: Known,
) -> None:
    narrow = Known(known.stores, known.settings, looks_max=10)
    segment = Segment(max_score=0.5)
    pages = [one async for one in narrow.segments.members(CREATOR, segment, MOMENT, page=4)]
    ids = [fan.fan_id for page in pages for fan in page]
    contexts = await known.rendered()
    assert ids == sorted(fan for fan, one in contexts.items() if belongs(segment, *one))
    assert max(map(len, pages)) == 4


async def test_nobody_else_s_fans_are_in_it(known: Known) -> None:
    page = await known.segments.page(OTHER, Segment(), "score", MOMENT, 200)
    assert len(page.fans) == 20
    assert not (await known.segments.page("nobody's", Segment(), "score", MOMENT, 200)).fans


async def move(known: Known, fans: Sequence[str], now: int) -> None:
    """These fans write something, as projection would write it down."""
    async with known.stores.pool.acquire() as connection, connection.transaction():
        found = await opened_states(connection, known.stores.keyring)
        moved = []
        for one in sorted((found[CREATOR, fan] for fan in fans), key=lambda one: one.fan.id):
            state, version = decode(one.document), one.version
            for event in (purchase(now, 5_000), message(now, sender="creator")):
                version += 1
                state = fold(state, event, version)
            moved.append(StateRow.of(one.fan, 1, version, state, encode(state)))
        await states.write(connection, 1, moved)


@pytest.mark.parametrize("sort", SORTS)
async def test_paging_beside_writes_neither_loses_nor_repeats_a_fan_who_stood_still(
    own: Known, sort: Sort
) -> None:
    chance = random.Random(sort)
    rendered = (await own.rendered()).items()
    everybody = sorted(fan for fan, one in rendered if sort != "waitingSince" or waits(one[0]))
    movers = set(chance.sample(everybody, 25))
    met: list[str] = []
    async for page in own.pages(Segment(), sort, 5):
        met += [fan.fan_id for fan in page]
        now = MOMENT + len(met) * HOUR_MS
        await move(own, chance.sample(sorted(movers), 5), now)
    assert sorted(fan for fan in met if fan not in movers) == sorted(set(everybody) - movers)
    assert len(met) == len(set(met)), "they move out of what is still to come"


async def test_members_beside_writes_meet_everybody_once(own: Known) -> None:
    everybody = sorted(await own.rendered())
    met: list[str] = []
    async for page in own.segments.members(CREATOR, Segment(), MOMENT, page=7):
        met += [fan.fan_id for fan in page]
        await move(own, everybody, MOMENT + len(met))
    assert met == everybody


async def test_the_columns_are_written_with_the_state_whoever_writes_it(own: Known) -> None:
    await move(own, ["fan-1"], MOMENT)
    found = await opened_states(own.stores.pool, own.stores.keyring)
    by_id = {one.fan.id: one for one in found.values()}
    for row in await own.stores.pool.fetch("SELECT * FROM g1.fan_state"):
        stored = StateRow(**{name: row[name] for name in StateRow._fields})
        assert row["indexed_version"] == stored.version
        one = by_id[stored.subject]
        again = StateRow.of(one.fan, 1, one.version, decode(one.document), one.document)
        assert stored == again._replace(state=stored.state)


HOT = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'fan_state'"


async def test_an_event_of_a_fan_who_stands_in_no_index_changes_none(own: Known) -> None:
    pool = own.stores.pool
    await pool.execute("UPDATE g1.fan_state SET ordered = NULL")
    owner = await connect(url_of(own.settings, "owner"))
    await owner.execute("VACUUM FULL g1.fan_state")  # with room in each page
    await owner.close()
    found = await opened_states(pool, own.stores.keyring)
    one = found[CREATOR, "fan-1"]
    state = fold(decode(one.document), purchase(MOMENT, 5_000), one.version)
    row = StateRow.of(one.fan, 1, one.version + 1, state, encode(state))
    async with pool.acquire() as connection, connection.transaction():
        (before,) = await connection.fetch(HOT)
        await states.write(connection, 1, [row])
        (after,) = await connection.fetch(HOT)
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]


async def order_of(known: Known, sort: Sort) -> list[str]:
    return [fan.fan_id async for page in known.pages(Segment(), sort, 7) for fan in page]


async def test_only_the_fans_of_a_creator_who_has_many_are_put_into_the_indexes(
    own: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = own.stores.pool
    await seed(own.settings, {(OTHER, f"fan-{one}"): history(one) for one in range(30)})
    await pool.execute("UPDATE g1.fan_state SET ordered = NULL")
    before = [await order_of(own, sort) for sort in SORTS]
    monkeypatch.setattr(indexing, "UNORDERED_MAX", 30)
    monkeypatch.setattr(indexing, "ROWS", 25)
    monkeypatch.setattr(indexing, "CREATORS", 1)
    start, starts = states.HASH_MIN, []
    for _ in range(3):
        start = await order_fans(pool, start)
        starts.append(start)
    assert starts.count(states.HASH_MIN) == 1, "one creator each time, then from the beginning"
    rows = await pool.fetch("SELECT creator_hash, ordered FROM g1.fan_state")
    ordered = [row["creator_hash"] for row in rows if row["ordered"]]
    assert ordered == [states.creator_hash(CREATOR)] * 60
    assert [await order_of(own, sort) for sort in SORTS] == before


async def test_all_of_a_generation_that_nobody_reads_yet_come_into_the_indexes_at_once(
    own: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "UNORDERED_MAX", 10)
    async with own.stores.pool.acquire() as connection:
        await order_all(connection, 1)
    left = await own.stores.pool.fetchval("SELECT count(*) FROM g1.fan_state WHERE ordered IS NULL")
    assert left == 0


async def test_the_indexes_have_what_a_former_release_wrote_of_a_fan_in_them(own: Known) -> None:
    await own.stores.pool.execute("UPDATE g1.fan_state SET ordered = true")
    before = await order_of(own, "score")
    await own.stores.pool.execute("UPDATE g1.fan_state SET rank = -rank WHERE rank > '-infinity'")
    assert await order_of(own, "score") == before[::-1]


FORMER_WRITE = """
INSERT INTO g1.fan_state AS f (subject, version, state)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[])
ON CONFLICT (subject) DO UPDATE SET version = excluded.version, state = excluded.state
"""
"""As code writes that knows of no columns."""


async def test_a_former_releases_writes_are_noticed_and_indexed_by_workers(own: Known) -> None:
    before = (await opened_states(own.stores.pool, own.stores.keyring))[CREATOR, "fan-1"]
    changed = fold(decode(before.document), purchase(MOMENT, 100_000), 10_000)
    sealed = seal_state(before.fan.cipher, before.fan.id, 1, encode(changed))
    row = [before.fan.id], [10_001], [sealed]
    await own.stores.pool.execute(FORMER_WRITE, *row)
    with pytest.raises(FansUnindexed):
        await own.segments.page(CREATOR, Segment(), "score", MOMENT, 10)
    with pytest.raises(FansUnindexed):
        async for _ in own.segments.members(CREATOR, Segment(), MOMENT):
            pass
    assert await index_fans(own.stores.pool, own.stores.keyring) == 1
    page = await own.segments.page(CREATOR, Segment(min_revenue=1_000.0), "revenue", MOMENT, 10)
    assert page.fans[0].fan_id == "fan-1"
    assert await index_fans(own.stores.pool, own.stores.keyring) == 0


async def test_indexing_goes_on_where_it_was_cut_off_and_beside_others(own: Known) -> None:
    await own.stores.pool.execute(
        "UPDATE g1.fan_state SET creator_hash = NULL, rank = NULL, revenue = NULL,"
        " last_interaction = NULL, traits = NULL, waiting_since = NULL,"
        " indexed_version = NULL"
    )
    async with own.stores.pool.acquire() as connection:
        cut_off = connection.transaction()
        await cut_off.start()
        assert await states.index_some(connection, 1, 25, own.stores.keyring) == 25
        async with own.stores.pool.acquire() as other:  # does the rest, and does not wait
            assert await states.index_some(other, 1, ROWS, own.stores.keyring) == 35
        await cut_off.rollback()
    assert await index_fans(own.stores.pool, own.stores.keyring) == 25
    assert await index_fans(own.stores.pool, own.stores.keyring) == 0
    expected = await own.rendered()
    found = [fan.fan_id async for page in own.pages(Segment(), "score", 20) for fan in page]
    assert sorted(found) == sorted(expected)


async def test_a_lowered_version_keeps_its_columns_only_if_they_were_its_own(own: Known) -> None:
    pool = own.stores.pool
    one, other = [row["subject"] for row in await pool.fetch("SELECT subject FROM subject LIMIT 2")]
    await pool.execute("UPDATE g1.fan_state SET version = version + 9 WHERE subject = $1", other)
    async with pool.acquire() as connection:
        await states.cap_versions(connection, 1, [one, other], 1)
    rows = await pool.fetch(
        "SELECT subject FROM g1.fan_state WHERE indexed_version IS DISTINCT FROM version"
    )
    assert [row["subject"] for row in rows] == [other]


async def test_pages_go_on_in_the_next_generation(own: Known) -> None:
    first = await own.segments.page(CREATOR, Segment(), "score", MOMENT, 20)
    async with connecting(url_of(own.settings, "owner")) as connection, connection.transaction():
        await generations.create(connection, 2, "building")
        await connection.execute(COPY_STATES)
        for one in (await opened_states(connection, own.stores.keyring)).values():
            await put_state(connection, one, one.document, generation=2)
        await generations.switch(connection, 1, 2)
        await generations.drop(connection, 1)
    rest: list[str] = []
    after = first.end
    while after is not None:
        page = await own.segments.page(CREATOR, Segment(), "score", MOMENT, 20, after)
        rest += [fan.fan_id for fan in page.fans]
        after = page.end
    assert sorted([*rest, *(fan.fan_id for fan in first.fans)]) == sorted(await own.rendered())


async def test_who_is_nobody_any_more_or_has_another_s_name_is_not_shown(own: Known) -> None:
    pool = own.stores.pool
    rows = await pool.fetch("SELECT subject, fan_id FROM subject ORDER BY fan_id LIMIT 3")
    nobody = encode(FanState())
    known = await opened_states(pool, own.stores.keyring)
    fan = known[CREATOR, rows[0]["fan_id"]].fan
    gone = StateRow.of(fan, 1, 99, FanState(), nobody)
    async with pool.acquire() as connection:
        await states.write(connection, 1, [gone])
    await pool.execute(
        "UPDATE subject SET fan_id = 'stolen' WHERE subject = $1", rows[1]["subject"]
    )
    # Beside the state another creator's name, as no writer would put it there.
    await pool.execute(
        "UPDATE g1.fan_state SET creator_hash = $2 WHERE subject = $1",
        rows[2]["subject"],
        states.creator_hash(OTHER),
    )
    found = [fan.fan_id async for page in own.pages(Segment(), "score", 200) for fan in page]
    assert len(found) == 57
    assert not {"stolen", *(row["fan_id"] for row in rows)} & set(found)
    assert not (await own.segments.page(OTHER, Segment(), "score", MOMENT, 10)).fans
