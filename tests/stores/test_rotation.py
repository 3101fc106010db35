"""Rotation: all is wrapped again whoever writes meanwhile, and a retired key opens nothing."""

import base64
import os
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import asyncpg
import pytest

from infra.postgres import Connection, connect, database_errors, open_pool
from privacy.keys import Keyring, parse_ring, without
from privacy.subjects import Subject, Subjects
from schemas.errors import DatabaseUnavailable, Misconfigured, SealBroken
from schemas.relationship import Relationship
from stores import connections, day_keys, erasure, suppression
from stores.connections import Ways
from stores.erasure import Names
from stores.rotation import require_in_use, retire, rotate, to_rotate, wrapped

OLD = "old:" + base64.b64encode(os.urandom(32)).decode()
NEW = "new:" + base64.b64encode(os.urandom(32)).decode()
FORMER, BOTH = Keyring.parse(OLD), Keyring.parse(f"{NEW},{OLD}")
AFTER = Keyring(without(parse_ring(f"{NEW},{OLD}"), "old", None))
PAIRS = [("creator", f"fan{number}") for number in range(25)]


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Any]:
    made = await connect(postgres_url)
    yield made
    await made.close()


async def make(
    connection: Connection, pairs: list[Relationship], keyring: Keyring = FORMER
) -> dict[Relationship, Subject]:
    return await Subjects(keyring, 1000).resolve(connection, pairs)


def keys(made: dict[Relationship, Subject]) -> dict[Relationship, tuple[bytes, bytes]]:
    return {pair: (one.id, one.key) for pair, one in made.items()}


async def test_everything_is_wrapped_again_and_stays_the_same(
    connection: Connection, postgres_url: str
) -> None:
    before = keys(await make(connection, PAIRS))
    id = await connections.add(connection, FORMER, "stripe", "creator", Ways("its secret"))
    pool = await open_pool(postgres_url)
    await suppression.put(pool, FORMER, PAIRS[0])
    assert await wrapped(connection) == {"old": {"fans": 25, "connections": 1, "suppressions": 1}}
    assert await retire(connection, "old") == {"fans": 25, "connections": 1, "suppressions": 1}

    told: list[int] = []
    done = await rotate(connection, BOTH, batch=10, progress=told.append)
    assert (done.subjects, done.connections, done.left, done.broken) == (25, 1, 0, [])
    assert told == [10, 10, 5]
    assert await wrapped(connection) == {"new": {"fans": 25, "connections": 1, "suppressions": 1}}
    assert keys(await make(connection, PAIRS, BOTH)) == before
    assert (await rotate(connection, BOTH)).subjects == 0

    assert await retire(connection, "old") == {}
    assert await retire(connection, "old") == {}  # twice changes nothing
    assert keys(await make(connection, PAIRS, AFTER)) == before
    found = await connections.find(connection, "stripe", id)
    assert found is not None
    assert found.ways(AFTER).secret == "its secret"
    assert await suppression.among(pool, AFTER, PAIRS[:2]) == {PAIRS[0]}
    # Whoever has the retired key alone has nothing.
    closed: dict[Relationship, SealBroken] = {}
    assert await Subjects(FORMER, 100).find(connection, PAIRS, closed) == {}
    assert set(closed) == set(PAIRS)
    with pytest.raises(SealBroken):
        found.ways(FORMER)
    pool.terminate()


async def test_days_and_erasures_under_way_are_wrapped_again_too(
    connection: Connection, postgres_url: str
) -> None:
    await make(connection, PAIRS[:1])
    async with connection.transaction():
        day, cipher = await day_keys.today(connection, FORMER)
    sealed = cipher.encrypt(bytes(12), b"a letter", None)
    pool = await open_pool(postgres_url)
    asked = [await erasure.erase(pool, Names(FORMER), 4, PAIRS[0]) for _ in range(3)]
    pool.terminate()
    left = {"days of dead letters": 1, "pending erasures": 3}
    assert await retire(connection, "old") == left

    await rotate(connection, BOTH, batch=2)

    assert await wrapped(connection) == {"new": left}
    assert await retire(connection, "old") == {}
    found = await day_keys.find(connection, AFTER, date.fromisoformat(day))
    assert found.decrypt(bytes(12), sealed, None) == b"a letter"
    rows = await connection.fetch("SELECT erasure, kek, sealed FROM erasure")
    assert {row["erasure"] for row in rows} == set(asked)
    assert {Names(AFTER).open(*row) for row in rows} == {PAIRS[0][1]}
    # The order that ingest comes to later is known by the same hash.
    assert Names(AFTER).hashed(PAIRS[0]) == Names(FORMER).hashed(PAIRS[0])


async def test_an_interrupted_rotation_is_finished_by_the_next(connection: Connection) -> None:
    before = keys(await make(connection, PAIRS))

    def interrupt(_rewrapped: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotate(connection, BOTH, batch=10, progress=interrupt)
    assert keys(await make(connection, PAIRS, BOTH)) == before  # all open meanwhile
    assert await to_rotate(connection, BOTH) == 15
    assert (await rotate(connection, BOTH)).subjects == 15


async def test_what_is_written_or_erased_meanwhile_is_right(
    connection: Connection, postgres_url: str
) -> None:
    """A process with the former ring makes a fan behind the rotation; another fan is erased."""
    await make(connection, PAIRS)
    other = await connect(postgres_url)
    rows = await connection.fetch("SELECT subject FROM subject ORDER BY subject")
    read = connection.fetch

    async def fetch(query: str, *arguments: Any) -> Any:
        found = await read(query, *arguments)
        if arguments and arguments[0] == bytes(16):
            await other.execute("DELETE FROM subject WHERE subject = $1", rows[3]["subject"])
            moved = (bytes(15) + b"\1", rows[-1]["subject"])
            await other.execute("UPDATE subject SET subject = $1 WHERE subject = $2", *moved)
        return found

    class Interfered:
        def __getattr__(self, name: str) -> Any:
            return fetch if name == "fetch" else getattr(connection, name)

    done = await rotate(Interfered(), BOTH, batch=10)  # type: ignore[arg-type]
    assert (done.subjects, done.left) == (23, 1)
    assert not await connection.fetch("SELECT FROM subject WHERE subject = $1", rows[3]["subject"])
    await other.close()


async def test_what_no_key_opens_is_named_and_keeps_its_key(connection: Connection) -> None:
    made = await make(connection, PAIRS)
    await connection.execute("UPDATE subject SET creator_id = 'thief' WHERE fan_id = 'fan7'")
    done = await rotate(connection, BOTH, batch=10)
    assert (done.subjects, done.left) == (24, 0)
    assert done.broken == [made["creator", "fan7"].id]
    assert await retire(connection, "old") == {"fans": 1}


async def test_a_retired_key_wraps_nothing_whoever_still_has_it(connection: Connection) -> None:
    await make(connection, PAIRS[:2])
    await rotate(connection, BOTH)
    assert await retire(connection, "old") == {}
    with pytest.raises(DatabaseUnavailable):  # a worker waits, and its watchdog ends it
        async with database_errors():
            await make(connection, [("creator", "newcomer")])
    with pytest.raises(asyncpg.OperatorInterventionError):
        await connections.add(connection, FORMER, "stripe", "creator", Ways("s"))
    with pytest.raises(Misconfigured, match="was retired"):
        await require_in_use(connection, FORMER)
    with pytest.raises(Misconfigured, match="was retired"):
        await rotate(connection, Keyring.parse(f"{OLD},{NEW}"))
    await require_in_use(connection, AFTER)
    assert len(await make(connection, [("creator", "newcomer")], AFTER)) == 1


async def test_a_ring_that_lacks_a_key_or_a_former_releases_keys_change_nothing(
    connection: Connection,
) -> None:
    await make(connection, PAIRS)
    with pytest.raises(Misconfigured, match="lacks 1 of the keys"):
        await rotate(connection, Keyring.parse(NEW))
    await connection.execute("UPDATE key_binding SET state = 'binding'")
    with pytest.raises(Misconfigured, match="former release"):
        await rotate(connection, BOTH)
    assert await wrapped(connection) == {"old": {"fans": 25}}
