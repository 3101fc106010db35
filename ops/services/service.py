"""One embedded service: what is the same for Kafka, PostgreSQL and Valkey."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ops.services.lock import service_lock
from ops.services.process import KILLED_SECONDS_MAX, Command, spawn, stop, tail, wait_until
from schemas.errors import ServiceFailed

# Longer than any former process may take to notice its parent's death and go.
FORMER_SECONDS_MAX = 30.0


class Adapter(Protocol):
    """What each of the modules `kafka`, `postgres` and `valkey` provides."""

    NAME: str
    PORTS: tuple[str, ...]
    READY_SECONDS_MAX: float

    def prepare(self, home: Path, inherited: int) -> None:
        """Make what the first start needs; clear what a crash left. Idempotent."""

    def command(self, home: Path, ports: Mapping[str, int]) -> Command:
        """The server's command; writes its configuration."""

    def is_ready(self, home: Path, ports: Mapping[str, int], pid: int) -> bool:
        """Whether clients are served now."""

    def url(self, home: Path, ports: Mapping[str, int]) -> str:
        """Where clients connect."""


class Service:
    """Starts, kills and stops one server; safe to call from any thread, one call at a time."""

    def __init__(self, adapter: Adapter, data: Path, ports: Mapping[str, int]) -> None:
        self.name = adapter.NAME
        self._adapter = adapter
        self._home = data / adapter.NAME
        self._ports = ports
        self._turn = threading.RLock()
        self._command: Command | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self._adapter.url(self._home, self._ports)

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        return self._process.pid if self._process is not None and self.is_alive() else None

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it serves; does nothing when it already runs."""
        with self._turn:
            if self.is_alive():
                return
            self._home.mkdir(mode=0o700, exist_ok=True)
            lock = service_lock(self._home, FORMER_SECONDS_MAX)
            try:
                self._adapter.prepare(self._home, lock)
                self._command = self._adapter.command(self._home, self._ports)
                self._process = spawn(self._command, inherited=(lock,))
            finally:
                os.close(lock)
            self._wait_until_ready(self._command, self._process)

    def _wait_until_ready(self, command: Command, process: subprocess.Popen[bytes]) -> None:
        def settled() -> bool:
            return process.poll() is not None or self._adapter.is_ready(
                self._home, self._ports, process.pid
            )

        in_time = wait_until(settled, self._adapter.READY_SECONDS_MAX)
        if in_time and process.poll() is None:
            return
        what = "exited" if process.poll() is not None else "was not ready in time"
        stop(process, ())
        raise ServiceFailed(f"{self.name} {what} while starting.\n{tail(command.log)}")

    def kill(self, number: signal.Signals) -> None:
        """Send a signal to the server's main process; waits for the end after SIGKILL."""
        with self._turn:
            if self._process is None or self._process.poll() is not None:
                return
            self._process.send_signal(number)
            if number == signal.SIGKILL:
                self._process.wait(KILLED_SECONDS_MAX)

    def stop(self) -> None:
        """End the server politely, then by force."""
        with self._turn:
            if self._process is not None and self._command is not None:
                stop(self._process, self._command.stop)
