"""A worker ends well whenever it is told to, however far its start has come."""

import asyncio
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.pipeline import Pipeline, Worker

STOPPED_AFTER_SECONDS = (0.0, 0.03, 0.08, 0.15)
"""From the start of the consumer's thread, which takes some 0.1 s."""
NEVER_RUNS = """
import asyncio, mode, streams.process
from infra import logs

streams.process.STOP_SECONDS_MAX = 0.2
logs.configure("worker", "INFO")
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
streams.process.Process(
    mode.Service(), asyncio.Event().wait, loop=loop
).execute_from_commandline()
"""


def handles_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(re.findall(r"SigCgt:\s+(\w+)", status)[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


async def test_a_worker_stopped_while_it_starts_ends_well(pipeline: Pipeline) -> None:
    """Without waiting for the start, some hung or ended by SIGSEGV."""

    async def stopped(after: float) -> Worker:
        worker = pipeline.start_worker()

        async def starting() -> bool:
            assert worker.alive
            return bool(worker.said("_Thread]: Starting"))

        await pipeline.wait_for(starting)
        await asyncio.sleep(after)
        worker.signal(signal.SIGTERM)
        return worker

    for worker in await asyncio.gather(*(stopped(after) for after in STOPPED_AFTER_SECONDS)):
        assert await asyncio.to_thread(worker.process.wait, 30) == 0
        assert not worker.said("did not stop within")


def test_a_stop_that_nothing_obeys_has_a_deadline() -> None:
    with subprocess.Popen([sys.executable, "-c", NEVER_RUNS], stderr=subprocess.PIPE) as process:
        try:
            while not handles_sigterm(process.pid):
                assert process.poll() is None
                time.sleep(0.01)
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
        assert process.stderr is not None
        assert b"did not stop within" in process.stderr.read()
