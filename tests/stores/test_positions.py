"""Positions: a claim of our own in the midst of a batch hides no erasure from it."""

import pytest

from infra.postgres import connecting, open_pool
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.subjects import Subjects, journal_partition
from schemas.errors import Fenced
from schemas.topics import JOURNAL
from stores import erasure
from stores.erasure import Names
from stores.generations import FIRST_GENERATION
from stores.positions import Batch, Positions

PARTITIONS = 4
WHO = [("creator", "erased"), ("creator", "another")]


async def test_who_was_erased_since_the_look_up_is_met_although_we_claimed_again(
    store_settings: Settings,
) -> None:
    """A rebalance gives us the partition once more, while its batch is under way: the rows are then
    known as they stand behind the erasure, and only the batch knows that it looked before."""
    settings = store_settings
    keyring, positions = Keyring.of(settings), Positions(JOURNAL.name)
    pool = await open_pool(settings.postgres_url)
    async with connecting(settings.postgres_url) as connection:
        everywhere = list(range(PARTITIONS))
        await positions.claim(connection, FIRST_GENERATION, everywhere)
        found = await Subjects(keyring, 10).resolve(connection, WHO)
        erased, another = (found[who].id for who in WHO)
        held = positions.held
        batch = [Batch(journal_partition(erased, PARTITIONS), 0, 1, [])]

        await erasure.erase(pool, Names(keyring), PARTITIONS, WHO[0])
        async with connection.transaction():
            with pytest.raises(Fenced):
                await positions.meet_erasures(connection, batch, [erased], held)
        await positions.claim(connection, FIRST_GENERATION, everywhere)

        async with connection.transaction():
            with pytest.raises(Fenced):
                await positions.meet_erasures(connection, batch, [erased], held)
            now = positions.held
            with pytest.raises(Fenced):  # of whoever keeps subjects from before
                await positions.meet_erasures(connection, batch, [erased], now, certain=False)
            assert await positions.meet_erasures(connection, batch, [another], now) == {}
            await positions.advance(connection, batch)
    await pool.close()
