"""A disk of its own for one store, to be filled and freed while everything runs.

    with small_disk(data / "postgres") as disk:   # before the service starts
        ...
        disk.fill()
        ...
        disk.free()

It is a tmpfs, which only root may mount: `lacking` says why it can't be.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DISK_BYTES: Final = 192 << 20
"""A new PostgreSQL with one segment of log in reserve takes 64 MB, a new Kafka less."""
_BALLAST: Final = "ballast"
_CHUNK: Final = bytes(1 << 20)


def lacking() -> str:
    """Why no disk can be mounted here; empty when it can."""
    if os.geteuid() != 0:
        return "only root may mount a tmpfs"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk", 1 << 20):
                return ""
        except (OSError, subprocess.CalledProcessError):
            return "this container may not mount"


class SmallDisk:
    """A mounted disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def bytes_free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        """Take all that is left."""
        with (self.path / _BALLAST).open("ab", buffering=0) as ballast:
            with contextlib.suppress(OSError):
                while True:
                    ballast.write(_CHUNK)
            size = os.fstat(ballast.fileno()).st_size
            with contextlib.suppress(OSError):
                # What was written of the last chunk counts; the rest of it page by page.
                while os.pwrite(ballast.fileno(), _CHUNK[:4096], size):
                    size += 4096

    def free(self) -> None:
        """Give it back."""
        (self.path / _BALLAST).unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, size_bytes: int = DISK_BYTES) -> Iterator[SmallDisk]:
    """Mount an empty disk at `path` (made if missing) and take it away at the end."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0700", "tmpfs", str(path))
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: a process that is just ending may still hold a file.
        _run("umount", "--lazy", str(path))


def _run(program: str, *words: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(program)
    subprocess.run([found, *words], check=True, capture_output=True)
