"""What can't be written, for now or for good, stops nobody else and loses nothing."""

import asyncpg

from tests.pipeline import Pipeline, mixed


async def test_a_read_only_database_is_waited_out(pipeline: Pipeline) -> None:
    """A standby not yet promoted, or what a provider does to a full disk."""
    worker = pipeline.start_worker()
    await pipeline.claimed()
    await pipeline.publish(*mixed(5, 20))
    await pipeline.drained()
    await _set_read_only(pipeline, "on")
    await pipeline.publish(*mixed(5, 20, first=20))

    async def waits() -> bool:
        return worker.said("waiting for DatabaseUnavailable") > 0 or not worker.alive

    await pipeline.wait_for(waits)
    assert worker.alive
    await _set_read_only(pipeline, "off")
    account = await pipeline.drained()
    assert (account.applied, account.quarantined) == (40, 0)
    assert worker.alive


async def _set_read_only(pipeline: Pipeline, value: str) -> None:
    """For every session of this test's database: the present ones are ended."""
    connection = await asyncpg.connect(pipeline.settings.postgres_url)
    try:
        await connection.execute("SET default_transaction_read_only = off")
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(
            f'ALTER DATABASE "{name}" SET default_transaction_read_only = {value}'
        )
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = $1 AND pid <> pg_backend_pid()",
            name,
        )
    finally:
        await connection.close()
