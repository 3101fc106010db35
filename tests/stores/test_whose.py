"""Whose an event is that names another event only."""

import pytest

from infra.postgres import connecting
from infra.settings import Settings
from lab.bench.seed import seed
from privacy.keys import Keyring
from schemas.details import Kind
from schemas.journal import JournalEntry
from stores import whose
from stores.whose import fan_with
from tests.views.interactions import NOON


async def test_the_one_fan_of_the_creator_who_has_it(
    store_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five fans, two of them looked at in one turn; ids of two types, of two fans, of another
    creator's fan; and a fan whose key does not open."""
    monkeypatch.setattr(whose, "PAGE_FANS", 2)

    def said(*ids: str) -> list[JournalEntry]:
        return [JournalEntry(id, "message", NOON, content="hi") for id in ids]

    tip = JournalEntry("t1", "tip", NOON, amount=500)
    histories = {("c", f"fan {number}"): said(f"m{number}") for number in range(3)}
    histories |= {
        ("c", "fan 3"): [*said("m3", "twice"), tip],
        ("c", "fan 4"): said("twice"),
        ("c", "lost"): said("of the lost"),
        ("d", "fan 0"): said("of d"),
    }
    await seed(store_settings, histories)
    keyring = Keyring.of(store_settings)
    async with connecting(store_settings.postgres_url) as db:
        await db.execute("UPDATE subject SET wrapped_key = '\\x00' WHERE fan_id = 'lost'")
        expected: tuple[tuple[str, Kind, str | None], ...] = (
            ("m0", "message", "fan 0"),
            ("m2", "message", "fan 2"),
            ("m3", "message", "fan 3"),
            ("t1", "tip", "fan 3"),
            ("t1", "message", None),
            ("twice", "message", None),
            ("of d", "message", None),
            ("of the lost", "message", None),
            ("nobody's", "message", None),
        )
        for id, kind, fan in expected:
            assert await fan_with(db, keyring, "c", id, kind) == fan, (id, kind)
        assert await fan_with(db, keyring, "nobody", "m1", "message") is None
