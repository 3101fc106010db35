"""A record that ends every worker that begins it is found, and set aside, and the rest goes on."""

from types import SimpleNamespace

from stores.attempts import ALONE_MAX, CLAIMS_MAX, REASON
from stores.folding import read_frames
from tests.pipeline import Pipeline, message
from tests.streams.poisoned import POISON


async def test_a_record_that_ends_every_worker_is_set_aside(pipeline: Pipeline) -> None:
    events = [message(f"fan{number % 5}", number) for number in range(20)]
    events[7]["content"] = POISON
    await pipeline.publish(*events)

    async def settled() -> bool:
        if not pipeline.workers or not pipeline.workers[-1].alive:
            assert len(pipeline.workers) < CLAIMS_MAX + ALONE_MAX
            await pipeline.forget_dead_workers()
            pipeline.start_worker(module="tests.streams.poisoned")
        account = await pipeline.accounting()
        return account.read >= 20 and account.folded >= account.accepted

    await pipeline.wait_for(settled, 120)
    account = await pipeline.accounting()
    assert (account.applied, account.dead_letters, account.quarantined) == (19, 1, 0)
    ((letter, opened),) = await pipeline.dead_letters()
    assert (letter.field, letter.reason) == ("$", REASON)
    assert POISON.encode() in (opened or b"")
    assert pipeline.workers[-1].alive


def test_a_journal_record_that_is_to_be_set_aside_is_not_looked_at() -> None:
    record = SimpleNamespace(partition=2, offset=7, key=b"k" * 16, value=b"anything")
    framed = read_frames([record], {}, {(2, 7): REASON})
    assert framed.records == []
    ((partition, offset, subject, reason, value),) = framed.quarantined
    assert (partition, offset, subject, reason, value) == (2, 7, None, REASON, b"anything")
    assert framed.tallies[2].quarantined == 1
