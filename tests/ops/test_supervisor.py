"""The supervisor with real child processes."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from ops.services import EmbeddedServices
from ops.services.process import LOG_BYTES_MAX, bound_logs
from ops.supervisor import BACKOFF, Program, Restart, Supervisor


def program(log: Path, code: str, name: str = "child", **environment: str) -> Program:
    return Program(name, (sys.executable, "-c", code), log, environment)


async def eventually(condition: Callable[[], bool], seconds_max: float = 20.0) -> None:
    async with asyncio.timeout(seconds_max):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
async def restarts() -> list[Restart]:
    return []


@pytest.fixture
async def supervisor(restarts: list[Restart]) -> AsyncIterator[Supervisor]:
    running = Supervisor(on_restart=restarts.append)
    yield running
    await running.stop(1.0)


SLEEP = "import time; time.sleep(600)"


async def test_a_program_that_is_killed_runs_again_and_the_kill_is_reported(
    supervisor: Supervisor, restarts: list[Restart], tmp_path: Path
) -> None:
    supervisor.add(program(tmp_path / "log", SLEEP))
    await eventually(lambda: "child" in supervisor.pids())
    first = supervisor.pids()["child"]
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.pids().get("child", first) != first)
    assert [(restart.name, restart.reason) for restart in restarts] == [("child", "SIGKILL")]
    assert supervisor.restarts == {"child": 1}


async def test_a_program_that_fails_at_once_is_tried_ever_more_slowly(
    supervisor: Supervisor, restarts: list[Restart], tmp_path: Path
) -> None:
    supervisor.add(program(tmp_path / "log", "print('no luck'); raise SystemExit(3)"))
    await eventually(lambda: len(restarts) >= 4)
    assert {restart.reason for restart in restarts} == {"exit code 3"}
    assert restarts[3].pause_seconds > restarts[0].pause_seconds
    assert (tmp_path / "log").read_text().count("no luck") >= 4


async def test_a_restart_tells_the_last_error_that_the_program_logged(
    supervisor: Supervisor, restarts: list[Restart], tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("error: of a former run\n")
    code = textwrap.dedent(
        """
        print('{"level": "error", "message": "the first"}')
        print("error: the last, and why")
        print('{"level": "info", "message": "going down"}')
        raise SystemExit(1)
        """
    )
    supervisor.add(program(tmp_path / "log", code))
    await eventually(lambda: len(restarts) >= 1)
    assert restarts[0].said == "the last, and why"


async def test_of_a_program_that_logged_no_error_nothing_is_told(
    supervisor: Supervisor, restarts: list[Restart], tmp_path: Path
) -> None:
    (tmp_path / "log").write_text("error: of a former run\n")
    supervisor.add(program(tmp_path / "log", "raise SystemExit(1)"))
    await eventually(lambda: len(restarts) >= 1)
    assert restarts[0].said == ""


def test_pauses_double_are_bounded_and_never_vanish() -> None:
    longest = [BACKOFF.seconds(failures, lambda: 1.0) for failures in range(1, 1000)]
    shortest = [BACKOFF.seconds(failures, lambda: 0.0) for failures in range(1, 1000)]
    assert longest[:3] == [0.1, 0.2, 0.4]
    assert longest[-1] == BACKOFF.longest_seconds == 10
    assert longest == sorted(longest)
    assert all(short >= long / 2 for short, long in zip(shortest, longest, strict=True))


async def test_stopping_asks_politely_and_what_was_being_done_is_finished(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    code = textwrap.dedent(
        """
        import os, pathlib, signal, time
        def finish(*_):
            pathlib.Path(os.environ["DONE"]).write_text("finished")
            raise SystemExit
        signal.signal(signal.SIGTERM, finish)
        print("listening", flush=True)
        time.sleep(600)
        """
    )
    supervisor.add(program(tmp_path / "log", code, DONE=str(done)))
    await eventually(lambda: (tmp_path / "log").exists() and (tmp_path / "log").stat().st_size > 0)
    await supervisor.stop(10.0)
    assert done.read_text() == "finished"
    assert supervisor.restarts == {}


@pytest.mark.parametrize("paused", [False, True])
async def test_a_program_that_does_not_listen_is_killed_at_the_deadline(
    supervisor: Supervisor, tmp_path: Path, paused: bool
) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True);" + SLEEP
    supervisor.add(program(tmp_path / "log", code))
    await eventually(lambda: (tmp_path / "log").exists() and (tmp_path / "log").stat().st_size > 0)
    pid = supervisor.pids()["child"]
    if paused:
        os.kill(pid, signal.SIGSTOP)
    await supervisor.remove("child", 0.3)
    assert not psutil.pid_exists(pid)


async def test_stopping_before_the_child_exists_leaves_none(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.add(program(tmp_path / "log", SLEEP))
    await supervisor.stop(2.0)
    assert supervisor.pids() == {}


async def test_a_killed_supervisor_leaves_no_programs(tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        import asyncio, sys
        from pathlib import Path
        from ops.supervisor import Program, Supervisor
        async def main():
            supervisor = Supervisor()
            supervisor.add(Program("child", (sys.executable, "-c", {SLEEP!r}), Path(sys.argv[1])))
            while not supervisor.pids():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            print(supervisor.pids()["child"], flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
        """
    )
    parent = subprocess.Popen(  # noqa: ASYNC220 - it is read and killed at once
        [sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    await eventually(lambda: not psutil.pid_exists(pid), 5.0)


async def test_services_that_die_are_started_again(
    own_services: EmbeddedServices, restarts: list[Restart]
) -> None:
    supervisor = Supervisor(own_services, restarts.append)
    supervisor.watch_services(own_services.data / "logs")
    try:
        for name in ("postgres", "valkey", "kafka"):
            own_services.kill(name)
        await eventually(lambda: {restart.name for restart in restarts} == {*own_services.alive()})
        await eventually(lambda: all(own_services.alive().values()))
    finally:
        await supervisor.stop()
    before = own_services.endpoints
    assert all(own_services.alive().values())
    assert own_services.endpoints == before


def test_logs_are_cut_when_too_long_and_their_writers_go_on(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * (LOG_BYTES_MAX + 1))
        bound_logs(tmp_path)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "child.log.old").stat().st_size == LOG_BYTES_MAX + 1
