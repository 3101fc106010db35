"""A worker that stands still with work to do ends, so that a fresh one can take over."""

from types import SimpleNamespace

from infra.exit_codes import STALLED
from stores.positions import Held, Positions
from streams.watchdog import Stall, Watchdog
from tests.pipeline import Pipeline, message

STALL_SECONDS = 60.0


def watched(end: int) -> tuple[Watchdog, Held]:
    """A watchdog over one partition at position 10 of a log that ends at `end`."""
    positions = Positions("journal")
    held = positions.held[0] = Held(0, 10, 1, 0)
    watchdog = Watchdog([SimpleNamespace(positions=positions, stopped={})], STALL_SECONDS)  # type: ignore[list-item]
    watchdog._ends = {("journal", 0): end}
    return watchdog, held


def test_lag_without_movement_is_standing_still() -> None:
    watchdog, _ = watched(end=11)
    now = watchdog._beat
    assert watchdog.standing_still(now) is None
    assert watchdog.standing_still(now + STALL_SECONDS) is None
    watchdog._beat = now + STALL_SECONDS
    stall = watchdog.standing_still(now + STALL_SECONDS + 1)
    assert stall is not None
    assert (stall.topic, stall.partition) == ("journal", 0)


def test_movement_is_not_standing_still() -> None:
    watchdog, held = watched(end=1000)
    now = watchdog._beat
    for minute in range(10):
        held.next += 1
        watchdog._beat = now + minute * STALL_SECONDS
        assert watchdog.standing_still(watchdog._beat) is None


def test_without_lag_there_is_nothing_to_move() -> None:
    watchdog, _ = watched(end=10)
    now = watchdog._beat
    for minute in range(10):
        watchdog._beat = now + minute * STALL_SECONDS
        assert watchdog.standing_still(watchdog._beat) is None


def test_an_event_loop_that_hangs_is_standing_still() -> None:
    watchdog, _ = watched(end=10)
    assert watchdog.standing_still(watchdog._beat + STALL_SECONDS + 1) == Stall(
        "the event loop hangs"
    )


async def test_a_worker_that_stands_still_exits(pipeline: Pipeline) -> None:
    worker = pipeline.start_worker(stall_seconds_max=5.0)
    await pipeline.claimed()
    async with pipeline.locked("interaction"):
        await pipeline.publish(*(message(f"fan{number}", number) for number in range(10)))
        assert worker.process.wait(30) == STALLED
    # On a machine so busy that the loop itself stands still, the watchdog says that instead.
    assert worker.said("has lag and does not move") + worker.said("the event loop hangs") >= 1
    await pipeline.forget_dead_workers()
    pipeline.start_worker()
    after = await pipeline.drained()
    assert (after.applied, after.duplicates) == (10, 0)
