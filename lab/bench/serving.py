"""An API process for benches, as `fanmemory api` runs it, and what it used."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from infra.settings import Settings
from lab.bench.http import Load
from ops.services.ports import free_port
from schemas.errors import ServiceFailed

START_SECONDS_MAX: Final = 20.0
LIMITS: Final = ("FANMEMORY_USER_REQUESTS_PER_MINUTE", "FANMEMORY_CREATOR_REQUESTS_PER_MINUTE")
REQUESTS_PER_MINUTE: Final = 10_000_000
"""Out of reach, and not 0: that a request is counted belongs to what it costs."""


def check(load: Load) -> None:
    """Raises `ServiceFailed` when anything was answered with other than 200."""
    if set(load.statuses) != {200}:
        raise ServiceFailed(f"It answered {load.statuses}.")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, from the kernel's own counters."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def api_process(
    settings: Settings,
    data: Path,
    environment: Mapping[str, str] | None = None,
    *,
    limited: bool = False,
) -> AsyncIterator[tuple[int, int]]:
    """(port, pid); with an `environment` of its own, if it is not to have ours and what stands in
    `data`. Only if `limited` does it refuse those who ask more than the settings let them."""
    limits = () if limited else tuple(f"{name}={REQUESTS_PER_MINUTE}" for name in LIMITS)
    port = free_port()
    with (data / "api.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("env", *limits),
            *(sys.executable, "-m", "ops.cli", "api", "--data", str(data), "--port", str(port)),
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        await until_listening(settings.api_host, port, process, START_SECONDS_MAX)
        yield port, process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def until_listening(
    host: str, port: int, process: asyncio.subprocess.Process, seconds_max: float
) -> None:
    """Raises `ServiceFailed` when it ends before, or is not there in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds_max
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        except OSError:
            if process.returncode is not None or loop.time() > deadline:
                raise ServiceFailed("It did not start.") from None
            await asyncio.sleep(0.05)
