"""Work on partitions side by side: one process per core, progress as it goes.

The processes are fresh interpreters, since a fork would copy event loops and connections. They end
with the process that started them.
"""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import queue
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

from schemas.errors import FanMemoryError

TELL_SECONDS: Final = 0.1
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
GC_THRESHOLD: Final = 100_000
"""Allocations between collections: records in the thousands are held on purpose."""

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[int], None]

_told: Any = None
_stopped: Any = None


class _Stopped(Exception):
    """Another task failed, or the whole work was given up."""


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def on_processes(
    work: Callable[[Task, Progress], Coroutine[Any, Any, Result]],
    tasks: Sequence[Task],
    *,
    processes: int,
    progress: Progress,
) -> list[Result]:
    """Results in the order of the tasks; `work` is a function of a module.

    `work` calls its progress often, if only with 0: there it is told to give up when another task
    failed. The first error of any task is raised here. With one process they run in this one.
    """
    if processes <= 1:
        return [await work(task, progress) for task in tasks]
    context = multiprocessing.get_context("spawn")
    told, stopped = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(
        max(1, min(processes, len(tasks))),
        context,
        initializer=_begin,
        initargs=(told, stopped, os.getpid()),
    )
    loop = asyncio.get_running_loop()
    futures = [loop.run_in_executor(pool, _run, work, task) for task in tasks]
    try:
        waiting: set[Any] = set(futures)
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=TELL_SECONDS, return_when=FIRST_COMPLETED
            )
            _drain(told, progress)
            for future in done:
                future.result()
        _drain(told, progress)
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise FanMemoryError(
            "A process that worked on a partition was killed.", hint="Run the command again."
        ) from error
    finally:
        stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)
        # Whoever gave up early never asked for the errors of the others.
        await asyncio.gather(*futures, return_exceptions=True)
        told.close()


def _drain(told: Any, progress: Progress) -> None:
    while True:
        try:
            progress(told.get_nowait())
        except queue.Empty:
            return


def _begin(told: Any, stopped: Any, parent: int) -> None:
    """In a new process: die with the parent, and leave Ctrl-C to it."""
    global _told, _stopped
    _told, _stopped = told, stopped
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    gc.set_threshold(GC_THRESHOLD)


def _run(work: Callable[[Task, Progress], Coroutine[Any, Any, Result]], task: Task) -> Result:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work(task, _tell))


def _tell(count: int) -> None:
    if _stopped.is_set():
        raise _Stopped
    if count:
        _told.put(count)
