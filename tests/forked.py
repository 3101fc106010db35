"""Commands in processes of their own, without importing everything anew for each.

A test run calls `fanmemory` about a hundred times, and three quarters of a second of CPU in each
are imports. So one process imports every command once, which does nothing else
(`tests/test_house.py`), and forks for each call. The child has its own environment, directory and
standard streams, and ends like any other.

    python -m tests.forked

reads one JSON object a line (`words`, `environment`, `directory`, `streams`: three paths) and
answers each with the exit code.
"""

import json
import os
import sys
import threading
from subprocess import PIPE, Popen
from typing import Any, NoReturn


class Forked:
    """Runs one command at a time."""

    def __init__(self) -> None:
        self._process: Popen[str] | None = None
        self._lock = threading.Lock()

    def run(self, **order: Any) -> int:
        """The exit code of one command; see above for what an order says."""
        with self._lock:
            if self._process is None:
                self._process = Popen(
                    [sys.executable, "-m", "tests.forked"], stdin=PIPE, stdout=PIPE, text=True
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            assert answer, f"the forking process ended with {self._process.wait()}"
            return int(answer)


def serve() -> None:
    """Answer orders until nobody gives any."""
    from ops.cli import fanmemory
    from ops.reference import leaves

    list(leaves(fanmemory))
    # By descriptor: a child must not find what we have buffered.
    orders = os.fdopen(os.dup(0), "r")
    answers = os.dup(1)
    os.set_inheritable(answers, False)
    for line in orders:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(**order)
        _, status = os.waitpid(child, 0)
        os.write(answers, b"%d\n" % os.waitstatus_to_exitcode(status))


def _run(
    words: list[str], environment: dict[str, str], directory: str, streams: list[str]
) -> NoReturn:
    code = 70
    try:
        flags = (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)
        for number, (path, flag) in enumerate(zip(streams, flags, strict=True)):
            opened = os.open(path, flag)
            os.dup2(opened, number)
            os.close(opened)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, closefd=False) for number, mode in enumerate(("r", "w", "w"))
        )
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        sys.argv = ["fanmemory", *words]
        from ops.cli import main

        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 # as the interpreter itself: say it, end with 1
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
        code = 1
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
