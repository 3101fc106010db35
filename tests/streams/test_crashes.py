"""A worker that dies or must not work: what it owed is done by the next one, or refused."""

import base64
import os

from pydantic import SecretStr

from schemas.topics import MEMORY_UPDATES
from schemas.updates import decode_update
from tests.pipeline import Pipeline, message


async def test_an_update_that_was_owed_is_told_by_the_next_worker(pipeline: Pipeline) -> None:
    crashing = pipeline.start_worker(fail_at="outbox.before_send")
    await pipeline.publish(message("fan", 1))
    assert crashing.process.wait(30) == -9
    assert (await pipeline.accounting()).applied == 1  # committed, and nobody has been told
    assert await pipeline.records(MEMORY_UPDATES.name) == []
    await pipeline.forget_dead_workers()
    pipeline.start_worker()

    async def told() -> bool:
        records = await pipeline.records(MEMORY_UPDATES.name)
        return [decode_update(one.value).fan_id for one in records] == ["fan"]

    await pipeline.wait_for(told)


async def test_a_worker_with_another_keyring_refuses_to_work(pipeline: Pipeline) -> None:
    first = pipeline.start_worker()
    await pipeline.publish(message("fan", 1))
    await pipeline.drained()
    first.kill()
    await pipeline.forget_dead_workers()
    other = "other:" + base64.b64encode(os.urandom(32)).decode()
    second = pipeline.start_worker(keyring=SecretStr(other))
    await pipeline.publish(message("fan", 2))
    assert second.process.wait(30) == 1
    assert second.said("keyring lacks") >= 1
    assert second.said(other) == 0
    await pipeline.forget_dead_workers()
    pipeline.start_worker()
    after = await pipeline.drained()
    assert (after.applied, after.dead_letters, after.quarantined) == (2, 0, 0)
