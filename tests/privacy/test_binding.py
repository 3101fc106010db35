"""Binding keys to relationships: nothing opens for somebody else, before, while and after."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.postgres import Connection, connect
from privacy.binding import bind, binding_state
from privacy.keys import Keyring, is_bound
from privacy.subjects import Subject, Subjects
from schemas.errors import Misconfigured, SealBroken
from schemas.relationship import Relationship

OLD = "old:" + base64.b64encode(os.urandom(32)).decode()
NEW = "new:" + base64.b64encode(os.urandom(32)).decode()
KEYRING = Keyring.parse(OLD)
PAIRS = [("creator", f"fan{number}") for number in range(25)]


@pytest.fixture
async def connection(postgres_url: str) -> AsyncIterator[Any]:
    made = await connect(postgres_url)
    yield made
    await made.close()


async def make(connection: Connection, pairs: list[Relationship]) -> dict[Relationship, Subject]:
    return await Subjects(KEYRING, 1000).resolve(connection, pairs)


async def make_as_the_former_release(
    connection: Connection, pairs: list[Relationship]
) -> dict[Relationship, Subject]:
    await connection.execute("UPDATE key_binding SET state = 'unbound'")
    return await make(connection, pairs)


async def wrappings(connection: Connection) -> list[bytes]:
    return [row[0] for row in await connection.fetch("SELECT wrapped_key FROM subject")]


async def locked(connection: Connection, made: dict[Relationship, Subject]) -> set[bytes]:
    """Of these, whose key does not open any more."""
    closed: dict[bytes, SealBroken] = {}
    await Subjects(KEYRING, 1000).lookup(connection, [one.id for one in made.values()], closed)
    return set(closed)


async def swap(connection: Connection, first: str, second: str) -> None:
    """Hang each one's memory on the other's name."""
    for fan, name in ((first, "between"), (second, first), ("between", second)):
        await connection.execute("UPDATE subject SET fan_id = $1 WHERE fan_id = $2", name, fan)


async def test_a_new_database_binds_every_key(connection: Connection) -> None:
    await make(connection, PAIRS)
    assert await binding_state(connection) == "bound"
    assert all(map(is_bound, await wrappings(connection)))


async def test_swapped_mappings_open_nothing_and_are_named(connection: Connection) -> None:
    made = await make(connection, PAIRS)
    assert await locked(connection, made) == set()
    await swap(connection, "fan1", "fan2")
    await connection.execute("UPDATE subject SET creator_id = 'thief' WHERE fan_id = 'fan3'")
    for pair in (("creator", "fan1"), ("creator", "fan2"), ("thief", "fan3")):
        with pytest.raises(SealBroken):
            await make(connection, [pair])
    assert await locked(connection, made) == {
        made["creator", f"fan{number}"].id for number in (1, 2, 3)
    }


async def test_keys_of_the_former_release_are_bound_and_stay_the_same_keys(
    connection: Connection,
) -> None:
    before = await make_as_the_former_release(connection, PAIRS)
    assert not any(map(is_bound, await wrappings(connection)))
    told: list[int] = []
    done = await bind(connection, KEYRING, batch=10, progress=told.append)
    assert (done.bound, done.broken, told) == (25, [], [10, 20, 25])
    assert await binding_state(connection) == "bound"
    assert all(map(is_bound, await wrappings(connection)))
    after = await make(connection, PAIRS)
    assert {pair: (one.id, one.key) for pair, one in after.items()} == {
        pair: (one.id, one.key) for pair, one in before.items()
    }
    assert (await bind(connection, KEYRING)).bound == 0


async def test_an_interrupted_run_is_finished_by_the_next(connection: Connection) -> None:
    await make_as_the_former_release(connection, PAIRS)

    def interrupt(bound: int) -> None:
        if bound == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await bind(connection, KEYRING, batch=10, progress=interrupt)
    assert await binding_state(connection) == "binding"
    assert len(await make(connection, [*PAIRS, ("creator", "new")])) == 26  # old and new open
    assert sum(map(is_bound, await wrappings(connection))) == 21
    assert (await bind(connection, KEYRING)).bound == 5


async def test_an_unbound_key_put_back_afterwards_opens_nothing(connection: Connection) -> None:
    await make_as_the_former_release(connection, PAIRS[:1])
    (unbound,) = await wrappings(connection)
    await bind(connection, KEYRING)
    await connection.execute("UPDATE subject SET wrapped_key = $1", unbound)
    with pytest.raises(SealBroken, match="not bound"):
        await make(connection, PAIRS[:1])
    await connection.execute("DELETE FROM key_binding")  # nor without the word of the database
    with pytest.raises(SealBroken, match="not bound"):
        await make(connection, PAIRS[:1])


async def test_whoever_makes_a_subject_while_binding_ends_makes_a_bound_one(
    connection: Connection, postgres_url: str
) -> None:
    """It waits for the lock that the last step holds, and then goes by the new state."""
    await connection.execute("UPDATE key_binding SET state = 'unbound'")
    other = await connect(postgres_url)
    await make(other, PAIRS[:1])  # so that its statements are prepared
    async with connection.transaction():
        await connection.execute("LOCK TABLE subject IN SHARE ROW EXCLUSIVE MODE")
        making = asyncio.create_task(make(other, [("creator", "late")]))
        while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        await connection.execute("UPDATE key_binding SET state = 'bound'")
    assert (await making).keys() == {("creator", "late")}
    late = await connection.fetchval("SELECT wrapped_key FROM subject WHERE fan_id = 'late'")
    assert is_bound(late)
    await other.close()


async def test_what_no_key_opens_is_named_and_does_not_stop_the_others(
    connection: Connection,
) -> None:
    made = await make_as_the_former_release(connection, PAIRS)
    await connection.execute(
        "UPDATE subject SET wrapped_key = set_byte(wrapped_key, 20, 1 # get_byte(wrapped_key, 20))"
        " WHERE fan_id = 'fan7'"
    )
    done = await bind(connection, KEYRING, batch=10)
    assert (done.bound, done.broken) == (24, [made["creator", "fan7"].id])
    assert await binding_state(connection) == "bound"


async def test_a_keyring_that_lacks_a_key_changes_nothing(connection: Connection) -> None:
    await make_as_the_former_release(connection, PAIRS)
    before = await wrappings(connection)
    with pytest.raises(Misconfigured, match="lacks 1 of the keys"):
        await bind(connection, Keyring.parse(NEW))
    assert await wrappings(connection) == before
    assert await binding_state(connection) == "unbound"
    assert (await bind(connection, Keyring.parse(f"{NEW},{OLD}"))).bound == 25
    assert {row[0] for row in await connection.fetch("SELECT kek FROM subject")} == {"new"}
