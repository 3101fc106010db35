"""What was refused is found by whoever's it is, for as long as it is kept."""

import json
import time

import pytest

from infra.postgres import Connection, connecting
from infra.settings import Settings
from lab.bench.seed import seed
from privacy.keys import Keyring
from schemas.dead_letters import CONFLICT_REASON, about, decode_dead_letter
from schemas.journal import JournalEntry
from schemas.positions import Position
from stores import erasure, fates, refused
from stores.erasure import Names
from stores.letters import Letters, keys_of
from stores.opened import open_stores
from stores.refused import Marks
from tests.views.interactions import NOON

WHO, STRANGER = ("c", "fan"), ("c", "stranger")
NOW = int(time.time() * 1000)


def event(who: tuple[str, str] = WHO, id: str | None = "e1", kind: str = "tip") -> bytes:
    named = {"creatorId": who[0], "fanId": who[1], "eventId": id, "type": kind, "amount": -1}
    return json.dumps(named).encode()


async def refuse(
    db: Connection, keyring: Keyring, *values: bytes, at: int = NOW, first: int = 0, why: str = "no"
) -> list[bytes]:
    """As ingest does; returns the letters as they are published."""
    letters = Letters(keyring)
    whose = [about(value) for value in values]
    names = [(n.creator_id, n.fan_id) if n and n.fan_id else None for n in whose]
    sealings = await letters.sealings(db, names)
    made = [
        letters.letter(Position("interactions", 0, first + n), value, "amount", why, at, sealing)
        for n, (value, sealing) in enumerate(zip(values, sealings, strict=True))
    ]
    await refused.write(db, [one.row for one in made])
    return [one.outgoing.value for one in made]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (event(), ("c", "fan", "e1", "tip")),
        (event(kind="wink"), ("c", "fan", "e1", None)),
        (event(id=None), ("c", "fan", None, "tip")),
        (event(("c", "undefined")), ("c", None, "e1", "tip")),
        (
            b'{"creatorId": "c", "fanId": 5, "eventId": "\\u0000", "type": []}',
            ("c", None, None, None),
        ),
        (event(("null", "fan")), None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
        (None, None),
    ],
)
def test_whose_it_is_as_far_as_it_can_be_read(
    value: bytes | None, named: tuple[str | None, ...] | None
) -> None:
    found = about(value)
    if named is None:
        assert found is None
    else:
        assert found is not None
        told = (found.creator_id, found.fan_id, found.event_id, found.type)
        assert told == named


async def test_fan_and_creator_find_it_and_nobody_reads_it_in_the_table(
    store_settings: Settings,
) -> None:
    settings = store_settings
    keyring = Keyring.of(settings)
    await seed(settings, {WHO: [JournalEntry("m1", "message", NOON, content="hi")]})
    async with open_stores(settings) as stores, connecting(settings.postgres_url) as db:
        values = [event(), event(STRANGER), event(("d", "fan")), event(id=None), b"[]"]
        written = await refuse(db, keyring, *values)
        await refuse(db, keyring, *values)  # a log went back
        rows = await db.fetch("SELECT row_to_json(refused)::text AS text FROM refused")
        assert len(rows) == 4
        for row in rows:
            assert not {"fan", "stranger", "e1"} & set(json.loads(row["text"]).values())
        keys = await keys_of(db, keyring, map(decode_dead_letter, written))
        names = [
            keys.about(one.key, one.about, one.source) for one in map(decode_dead_letter, written)
        ]
        assert [named and named.fan_id for named in names] == [
            "fan",
            "stranger",
            "fan",
            "fan",
            None,
        ]

        partitions = settings.journal_partitions
        known = await fates.known(stores.pool, keyring, partitions, WHO, "e1")
        assert [
            (one.refused.source.offset, one.about and one.about.type) for one in known.refused
        ] == [(0, "tip")]
        assert (known.applied, known.aside) == ([], [])
        known = await fates.known(stores.pool, keyring, partitions, WHO, "m1")
        assert [(one.kind, str(one.version).startswith("journal-")) for one in known.applied] == [
            ("message", True)
        ]
        listed = await fates.page(stores.pool, keyring, "c", 1 << 62, 10)
        assert [one.about and one.about.fan_id for one in listed] == ["fan", "stranger", "fan"]
        assert await fates.page(stores.pool, keyring, "c", listed[-1].refused.id, 10) == []


@pytest.mark.parametrize("who", [WHO, STRANGER])
async def test_an_erased_fans_are_gone_known_or_not(
    store_settings: Settings, who: tuple[str, str]
) -> None:
    """The other's stay."""
    settings, keyring = store_settings, Keyring.of(store_settings)
    await seed(settings, {WHO: [JournalEntry("m1", "message", NOON, content="hi")]})
    async with open_stores(settings) as stores, connecting(settings.postgres_url) as db:
        await refuse(db, keyring, event(), event(STRANGER), why=CONFLICT_REASON)
        await erasure.erase(stores.pool, Names(keyring), settings.journal_partitions, who)
        for one in (WHO, STRANGER):
            known = await fates.known(stores.pool, keyring, settings.journal_partitions, one, "e1")
            assert len(known.refused) == (one != who)


async def test_what_is_old_or_too_much_goes(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = Keyring.of(store_settings)
    async with connecting(store_settings.postgres_url) as db:
        old = NOW - 15 * 86_400_000
        await refuse(db, keyring, event(id="old"), at=old)
        marks = Marks(keyring)
        assert await refused.of_event(db, marks, WHO, "old") == [], "as soon as its letter is gone"
        monkeypatch.setattr(refused, "ROWS_MAX", 3)
        for n in range(6):
            await refuse(db, keyring, event(id=f"e{n}"), first=n)
        left = [n for n in range(6) if await refused.of_event(db, marks, WHO, f"e{n}")]
        assert left == [3, 4, 5]
        assert await db.fetchval("SELECT count(*) FROM refused") == 3
