"""What `doctor` says of those who were erased and whose traces are still in PostgreSQL's files."""

import pytest

from infra.postgres import connecting
from infra.settings import Settings
from ops.doctor.database import erased
from ops.doctor.findings import Note
from privacy.keys import Keyring
from stores import erasure
from stores.erasure import Names
from stores.opened import open_stores
from stores.vacuum import vacuum


async def completed(settings: Settings, ago: str) -> None:
    """An erasure that was complete so long ago."""
    async with open_stores(settings) as stores:
        names = Names(Keyring.of(settings))
        await erasure.erase(stores.pool, names, settings.journal_partitions, ("creator", "fan"))
    async with connecting(settings.postgres_url) as db:
        await db.execute(
            "UPDATE erasure SET taken_at = now(), completed_at = now() - $1::text::interval", ago
        )


async def test_files_that_nothing_cleans_are_noted_and_clean_ones_are_fine(
    store_settings: Settings,
) -> None:
    assert "have left" in await erased(store_settings)
    await completed(store_settings, "5 minutes")
    assert "within minutes" in await erased(store_settings)
    await completed(store_settings, "50 minutes")
    with pytest.raises(Note, match="50 min ago are still in") as noted:
        await erased(store_settings)
    assert "worker" in noted.value.advice
    small = store_settings.model_copy(update={"rewritten_megabytes_max": 0})
    with pytest.raises(Note, match="more than is written anew") as noted:
        await erased(small)
    assert "FANMEMORY_REWRITTEN_MEGABYTES_MAX" in noted.value.advice
    assert await vacuum(store_settings, every_seconds=0)
    assert "have left" in await erased(store_settings)
