"""Faults of stores whose disk is full: a small tmpfs is laid under one, filled, and freed again.

Mounting needs root, so these are in the whole run only, and left out with a word without it.
"""

import asyncio
import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Final

from lab.chaos.fault import Fault, Stage
from lab.chaos.full import SmallDisk, small_disk
from ops.services import kafka, postgres

ROOM_BYTES: Final = 64 << 20
"""Left above what the store holds, until it is filled."""
NOTICED_SECONDS_MAX: Final = 60.0
LASTING_SECONDS: Final = 3.0
WORDS: Final = b"No space left on device"


class _DiskFull(Fault):
    """Base: the service's data move onto a tmpfs and back."""

    service: str
    folder: str
    _noticed = False
    _disk: SmallDisk | None = None

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._mounted = contextlib.ExitStack()

    async def inject(self, stage: Stage) -> None:
        home = stage.services.data / self.service / self.folder
        await asyncio.to_thread(self._move_in, stage, home)
        before = self._complaints(stage)
        if self._disk is not None:
            await asyncio.to_thread(self._disk.fill)
        for _ in range(int(NOTICED_SECONDS_MAX / 0.5)):
            stage.emitter.burst(50)
            await asyncio.sleep(0.5)
            alive = stage.services.alive()[self.service]
            if not alive or self._complaints(stage) > before:
                self._noticed = True
                break
        await asyncio.sleep(LASTING_SECONDS)

    async def seen(self, stage: Stage) -> bool:
        return self._noticed

    async def heal(self, stage: Stage) -> None:
        home = stage.services.data / self.service / self.folder
        await asyncio.to_thread(self._move_out, stage, home)

    def _complaints(self, stage: Stage) -> int:
        logs = (stage.services.data / "logs").glob(f"{self.service}*.log")
        return sum(log.read_bytes().count(WORDS) for log in logs)

    def _move_in(self, stage: Stage, home: Path) -> None:
        stage.services.stop(self.service)
        beside = home.with_name(f"{home.name}.disk")
        home.rename(beside)
        size = sum(path.stat().st_blocks * 512 for path in beside.rglob("*")) + ROOM_BYTES
        self._disk = self._mounted.enter_context(small_disk(home, size))
        _copy(beside, home)
        shutil.rmtree(beside)
        stage.services.start_one(self.service)

    def _move_out(self, stage: Stage, home: Path) -> None:
        if self._disk is None:
            stage.services.start_one(self.service)
            return
        self._disk.free()
        stage.services.start_one(self.service)  # on the same disk, which has room again
        stage.services.stop(self.service)
        beside = home.with_name(f"{home.name}.disk")
        beside.mkdir()
        _copy(home, beside)
        self._mounted.close()
        home.rmdir()
        beside.rename(home)
        stage.services.start_one(self.service)


class PostgresFull(_DiskFull):
    name = "postgres disk full"
    service = postgres.NAME
    folder = "cluster"


class KafkaFull(_DiskFull):
    name = "kafka disk full"
    service = kafka.NAME
    folder = "log"


MOUNTED: Final = frozenset({PostgresFull.name, KafkaFull.name})
"""The faults that need root."""


def _copy(source: Path, target: Path) -> None:
    """With owners and modes, also of the directory itself."""
    found = shutil.which("cp") or "cp"
    subprocess.run([found, "-a", f"{source}/.", str(target)], check=True, capture_output=True)
