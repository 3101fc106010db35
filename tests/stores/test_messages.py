"""Messages page by page: each once, in order, as corrected; and searches that end somewhere."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby, pairwise

import msgspec
import pytest

from infra.postgres import open_pool, url_of
from infra.settings import Settings
from lab.bench.seed import seed
from ops.services import Endpoints
from privacy.keys import Keyring
from schemas.context import ConversationMessage
from schemas.details import Details
from schemas.errors import FanNotFound
from schemas.journal import JournalEntry
from schemas.positions import Place
from stores import wall
from stores.cache import open_cache
from stores.messages import NEWEST, PAGE_BYTES_MAX, Messages, Page
from stores.past import open_past
from stores.reader import FanMemory
from stores.store import Store
from tests import services as helpers
from tests.stores.test_corrections import CORRECTIONS, COUNT, HISTORY, WHO, Fan
from tests.stores.test_corrections import fan as fan
from tests.views.corrected import delete
from tests.views.interactions import NOON, message, purchase
from views.messages import Message, in_order, rank_of, render_one

MANY = ("creator", "many")
LONG = ("creator", "long")
SILENT = ("creator", "silent")
LONGEST = "\U0001f60d" * 10_000


def said(number: int, chance: random.Random) -> JournalEntry:
    """One of many, often several of one time."""
    one = message(
        NOON + chance.randrange(60) * 1000,
        sender=chance.choice(("fan", "fan", "creator")),
        event_id=f"e{number}",
    )
    details = Details(
        origin=chance.choice(("direct", "direct", "broadcast")),
        sequence=chance.choice((None, number)),
    )
    text = chance.choice(("Voilà une rose", "a RED rose", "red", "nothing"))
    return msgspec.structs.replace(one, content=text, details=details)


def many() -> list[JournalEntry]:
    chance = random.Random(3)
    said_ = [said(number, chance) for number in range(150)]
    return [*said_[:70], purchase(NOON), *said_[70:]]


def expected(history: list[JournalEntry]) -> list[str]:
    """The ids, the newest first."""
    placed = [
        Message(entry.time, at, rank_of(entry), entry)
        for at, entry in enumerate(history)
        if entry.kind == "message"
    ]
    placed.sort(key=lambda one: (one.time, one.offset))
    return [one.entry.event_id for one in in_order(placed)][::-1]


class Reading:
    def __init__(self, messages: Messages) -> None:
        self.messages = messages

    async def pages(
        self, who: tuple[str, str], limit: int, words: tuple[str, ...] = ()
    ) -> list[list[ConversationMessage]]:
        before, found = NEWEST, []
        while True:
            page = await self.page(who, before, limit, words)
            assert len(page.messages) <= limit
            found.append(page.messages)
            if page.end is None:
                return found
            assert page.end < before, "each page gets on"
            before = page.end

    async def page(
        self, who: tuple[str, str], before: Place, limit: int, words: tuple[str, ...] = ()
    ) -> Page:
        if words:
            return await self.messages.search(who, words, before, limit)
        return await self.messages.page(who, before, limit)

    async def ids(self, who: tuple[str, str], limit: int, *words: str) -> list[str]:
        pages = await self.pages(who, limit, words)
        return [one.id for page in pages for one in page]


@asynccontextmanager
async def reading(settings: Settings, looks_max: int = 2_000) -> AsyncIterator[Reading]:
    keyring = Keyring.of(settings)
    pool = await open_pool(url_of(settings, "reader"), size_max=4)
    cache = open_cache(settings, keyring)
    store = Store(pool, keyring, settings.journal_partitions)
    memory = FanMemory(cache, store, keyring, settings)
    past = await open_past(settings, keyring)
    yield Reading(Messages(pool, keyring, memory.store_guard, past, looks_max=looks_max))
    await memory.close()
    await past.close()
    await cache.close()
    pool.terminate()


@pytest.fixture(scope="module")
async def known(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Reading]:
    """Who looks at 40 messages for a page of a search."""
    longest = msgspec.structs.replace(message(), content=LONGEST)
    histories = {
        MANY: many(),
        LONG: [
            msgspec.structs.replace(longest, event_id=f"e{n}", time=NOON + n) for n in range(120)
        ],
        SILENT: [purchase()],
    }
    async with helpers.fresh_database(services, template_database) as url:
        data = tmp_path_factory.mktemp("messages")
        settings = await helpers.fresh_settings(services, url, data, kafka=False)
        await seed(settings, histories)
        async with reading(settings, looks_max=40) as made:
            yield made


@pytest.fixture
async def reader(fan: Fan, store_settings: Settings) -> AsyncIterator[Reading]:
    async with reading(store_settings) as made:
        yield made


async def test_pages_have_every_message_once_newest_first(known: Reading) -> None:
    history = many()
    right = expected(history)
    times = {entry.event_id: entry.time for entry in history}
    for limit in (50, 200):
        assert await known.ids(MANY, limit) == right
    for limit in (1, 3):  # of one time there are more than a page has
        found = await known.ids(MANY, limit)
        assert sorted(found) == sorted(right)
        assert [times[id] for id in found] == [times[id] for id in right]
    assert await known.ids(SILENT, 50) == []


async def test_a_page_shows_a_message_as_the_context_does(known: Reading) -> None:
    by_id = {entry.event_id: entry for entry in many()}
    for page in await known.pages(MANY, 50):
        assert page == [render_one(MANY, by_id[one.id]) for one in page]


async def test_messages_of_one_time_are_not_parted_where_a_page_can_hold_them(
    known: Reading,
) -> None:
    sizes = [len(list(group)) for _, group in groupby(sorted(e.time for e in many()))]
    limit = max(sizes)
    pages = await known.pages(MANY, limit)
    ends = [page[-1].timestamp for page in pages]
    assert len(set(ends)) == len(pages)
    for page, after in pairwise(pages):
        assert page[-1].timestamp > after[0].timestamp


@pytest.mark.parametrize("limit", [1, 7, 200])
@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (("rose",), {"Voilà une rose", "a RED rose"}),
        (("rose", "red"), {"a RED rose"}),
        (("voila",), {"Voilà une rose"}),
        (("tulip",), set()),
    ],
)
async def test_a_search_finds_all_that_has_the_words_and_nothing_else(
    known: Reading, limit: int, words: tuple[str, ...], texts: set[str]
) -> None:
    right = [e.event_id for e in many() if e.kind == "message" and e.content in texts]
    found = await known.ids(MANY, limit, *words)
    assert sorted(found) == sorted(right)
    if limit == 200:
        order = expected(many())
        assert found == sorted(found, key=order.index)


async def test_a_search_looks_at_so_many_messages_and_says_where_to_go_on(known: Reading) -> None:
    pages = await known.pages(MANY, 200, ("tulip",))
    assert all(page == [] for page in pages)
    assert len(pages) >= 150 / 40


async def test_a_page_is_made_of_so_many_bytes(known: Reading) -> None:
    pages = await known.pages(LONG, 200)
    assert [one.id for page in pages for one in page] == [f"e{n}" for n in reversed(range(120))]
    assert len(pages) == 2
    for page in pages:
        assert 0 < sum(len(one.content.encode()) for one in page) <= PAGE_BYTES_MAX


async def test_what_is_written_meanwhile_neither_shifts_nor_repeats_anything(
    fan: Fan, reader: Reading
) -> None:
    first = await reader.page(WHO, NEWEST, 20)
    assert first.end is not None
    late = message(NOON - 5, event_id="late")
    await fan.take(message(NOON + 500, event_id="new"), late, delete("e10", time=NOON + 501))
    rest = [await reader.page(WHO, first.end, 20)]
    while (end := rest[-1].end) is not None:
        rest.append(await reader.page(WHO, end, 20))
    ids = [one.id for page in (first, *rest) for one in page.messages]
    whole = [f"e{n}" for n in reversed(range(COUNT)) if n != 10]
    assert ids == [*whole, "late"]


async def test_corrected_messages_are_what_the_context_has(fan: Fan, reader: Reading) -> None:
    await fan.take(*CORRECTIONS)
    found = (await reader.page(WHO, NEWEST, 50)).messages
    assert found[::-1] == [render_one(WHO, entry) for entry in (await fan.read()).entries]
    assert found[0].content == "edited"
    assert await reader.ids(WHO, 50, "edited") == ["e58"]
    assert len(await reader.ids(WHO, 50, "text")) == COUNT - 2
    assert len(HISTORY) > COUNT


async def test_nobody_sees_another_creators_messages(known: Reading) -> None:
    with pytest.raises(FanNotFound):
        await known.page(("creator", "nobody"), NEWEST, 50)
    token = wall._let_in.set(frozenset(("another",)))
    try:
        for words in ((), ("rose",)):
            with pytest.raises(FanNotFound):
                await known.page(MANY, NEWEST, 50, words)
    finally:
        wall._let_in.reset(token)
