"""Subjects on a real Postgres: one per relationship, whoever asks, and erased means absent."""

import asyncio
import base64
import os
from typing import Any, cast

import pytest

from infra.postgres import Connection, connect
from privacy.keys import Keyring
from privacy.subjects import Subjects, journal_partition, replace, successor
from schemas.errors import SealBroken

KEYRING = Keyring.parse("k:" + base64.b64encode(os.urandom(32)).decode())


async def test_a_relationship_has_one_subject(postgres_url: str) -> None:
    connection = await connect(postgres_url)
    pairs = [("c1", "fan"), ("c2", "fan"), ("c1", "other"), ("a", "b:c"), ("a:b", "c")]
    made = await Subjects(KEYRING, 100).resolve(connection, pairs)
    again = await Subjects(KEYRING, 100).resolve(connection, [*pairs, *pairs])
    assert {pair: subject.id for pair, subject in again.items()} == {
        pair: subject.id for pair, subject in made.items()
    }
    assert len({subject.id for subject in made.values()}) == len(pairs)
    assert len({subject.key for subject in made.values()}) == len(pairs)
    await connection.close()


async def test_workers_that_make_the_same_subjects_at_once_agree(postgres_url: str) -> None:
    pairs = [("creator", f"fan{number}") for number in range(200)]

    async def resolve(order: int) -> dict[tuple[str, str], bytes]:
        connection = await connect(postgres_url)
        found = await Subjects(KEYRING, 1000).resolve(connection, pairs[::order])
        await connection.close()
        return {pair: subject.id for pair, subject in found.items()}

    first, *others = await asyncio.gather(*(resolve(order) for order in (1, -1, 1, -1)))
    assert len(first) == 200
    assert all(other == first for other in others)


async def test_what_is_kept_is_bounded_and_still_right(postgres_url: str) -> None:
    connection = await connect(postgres_url)
    subjects = Subjects(KEYRING, 10)
    pairs = [("creator", f"fan{number}") for number in range(35)]
    made = await subjects.resolve(connection, pairs)
    assert len(made) == 35
    for pair in pairs:
        found = await subjects.resolve(connection, [pair])
        assert found[pair].id == made[pair].id
        assert (await subjects.lookup(connection, [found[pair].id])).keys() == {found[pair].id}
    assert len(subjects._by_relationship) <= 10
    assert len(subjects._by_id) <= 10
    await connection.close()


async def test_an_erased_subject_is_absent_and_comes_back_as_another(postgres_url: str) -> None:
    connection = await connect(postgres_url)
    subjects = Subjects(KEYRING, 10)
    pair = ("creator", "fan")
    before = (await subjects.resolve(connection, [pair]))[pair]
    await connection.execute("DELETE FROM subject WHERE subject = $1", before.id)
    subjects.forget_all()
    assert await subjects.lookup(connection, [before.id]) == {}
    after = (await subjects.resolve(connection, [pair]))[pair]
    assert (after.id, after.key) != (before.id, before.key)
    await connection.close()


async def test_what_was_asked_before_all_was_forgotten_is_not_kept(postgres_url: str) -> None:
    """Projection forgets for an erasure, while the relay, who shares the subjects, still asks."""
    connection = await connect(postgres_url)
    subjects = Subjects(KEYRING, 10)
    pair = ("creator", "fan")
    before = (await Subjects(KEYRING, 10).resolve(connection, [pair]))[pair]

    class Late:
        """A connection whose answers come when the fan has been erased and forgotten."""

        async def fetch(self, *asked: Any) -> Any:
            rows = await connection.fetch(*asked)
            await connection.execute("DELETE FROM subject WHERE subject = $1", before.id)
            subjects.forget_all()
            return rows

    assert (await subjects.lookup(cast(Connection, Late()), [before.id])).keys() == {before.id}
    assert await subjects.lookup(connection, [before.id]) == {}
    await connection.close()


async def test_another_keyring_is_told_what_is_wrong(postgres_url: str) -> None:
    connection = await connect(postgres_url)
    await Subjects(KEYRING, 10).resolve(connection, [("creator", "fan")])
    other = Keyring.parse("other:" + base64.b64encode(os.urandom(32)).decode())
    with pytest.raises(SealBroken, match="keyring lacks"):
        await Subjects(other, 10).resolve(connection, [("creator", "fan")])
    await connection.close()


async def test_a_subject_shows_nobody(postgres_url: str) -> None:
    connection = await connect(postgres_url)
    pair = ("secret-creator", "secret-fan")
    subject = (await Subjects(KEYRING, 10).resolve(connection, [pair]))[pair]
    assert "secret" not in f"{subject!r} {subject}"
    await connection.close()


def test_subjects_spread_over_the_journal() -> None:
    counts = [0] * 8
    for _ in range(8000):
        counts[journal_partition(os.urandom(16), 8)] += 1
    # Binomial(8000, 1/8): mean 1000, deviation 30; 6 deviations are never seen.
    assert all(820 < count < 1180 for count in counts)
    assert journal_partition(bytes(16), 8) == 0
    assert journal_partition(b"\xff" * 16, 7) == 0xFFFFFFFF % 7


async def test_a_successor_takes_the_place_of_a_subject_once(postgres_url: str) -> None:
    """In the same partition of the journal, whatever their number; with a key of its own."""
    connection = await connect(postgres_url)
    who = ("creator", "moves")
    old = (await Subjects(KEYRING, 10).resolve(connection, [who]))[who]
    for partitions in (1, 2, 7, 12, 1000):
        for _ in range(20):
            new = successor(KEYRING, old, partitions)
            assert journal_partition(new.id, partitions) == journal_partition(old.id, partitions)
            assert (new.creator_id, new.fan_id) == who
            assert new.id != old.id and new.key != old.key
    assert await replace(connection, KEYRING, old, new)
    found = await Subjects(KEYRING, 10).find(connection, [who])
    assert (found[who].id, found[who].key) == (new.id, new.key)
    assert not await Subjects(KEYRING, 10).lookup(connection, [old.id])
    assert not await replace(connection, KEYRING, old, successor(KEYRING, old, 12))
    await connection.close()
