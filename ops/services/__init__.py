"""Real Kafka, PostgreSQL and Valkey as children of this process, under one data directory.

    with EmbeddedServices(data) as services:
        services.endpoints.postgres_url

Everything they write is below the data directory. Whatever ends this process ends them; whatever
ends one of them, the next start recovers by itself. Linux only (parent-death signals, flock).
"""

import contextlib
import json
import signal
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.services import endpoints as endpoints_file
from ops.services import kafka, postgres, valkey
from ops.services.endpoints import Endpoints
from ops.services.lock import DirectoryLock
from ops.services.ports import free_port, is_free
from ops.services.service import Adapter, Service
from schemas.errors import Misconfigured, NotRunning, ServiceFailed

__all__ = ["NAMES", "EmbeddedServices", "Endpoints"]

ADAPTERS: dict[str, Adapter] = {module.NAME: module for module in (kafka, postgres, valkey)}
NAMES = tuple(ADAPTERS)
PORTS_FILE = "ports.json"


class EmbeddedServices:
    """The services of one data directory. Also a context manager: starts, and stops at the end.

    `names` says which to run; `ports` fixes some (`kafka`, `kafka_controller`, `postgres`,
    `valkey`). Without it the ports of the last run are taken again if they are free.
    """

    def __init__(
        self,
        data: Path,
        ports: Mapping[str, int] | None = None,
        names: Iterable[str] = NAMES,
    ) -> None:
        self.data = data.absolute()
        self._wanted = dict(ports or {})
        self.names = tuple(names)
        self._lock = DirectoryLock(self.data)
        self._services: dict[str, Service] = {}

    def start(self) -> Endpoints:
        """Start all services side by side and wait until they serve.

        Raises DataDirectoryInUse, Misconfigured (directory or packages) or ServiceFailed; then
        nothing is left running.
        """
        if not sys.platform.startswith("linux"):
            raise Misconfigured(
                "Embedded services need Linux.", hint="Set the FANMEMORY_*_URL variables."
            )
        self._make_directory()
        self._lock.acquire()
        try:
            ports = self._choose_ports()
            self._services = {
                name: Service(ADAPTERS[name], self.data, ports) for name in self.names
            }
            self._together("start")
            endpoints_file.save(self.data, self.endpoints)
        except BaseException:
            self.close()
            raise
        return self.endpoints

    @property
    def endpoints(self) -> Endpoints:
        """Where the services listen; empty for one that is not ours to run."""
        urls = {name: service.url for name, service in self._services.items()}
        writer, home = urls.get(postgres.NAME, ""), self.data / postgres.NAME
        return Endpoints(
            kafka=urls.get(kafka.NAME, ""),
            postgres_url=writer,
            postgres_owner_url=postgres.url_as("owner", writer, home) if writer else "",
            postgres_reader_url=postgres.url_as("reader", writer, home) if writer else "",
            redis_url=urls.get(valkey.NAME, ""),
            kafka_password=kafka.password(self.data) if kafka.NAME in urls else "",
        )

    def alive(self) -> dict[str, bool]:
        """Which services run now, by name."""
        return {name: service.is_alive() for name, service in self._services.items()}

    def pids(self) -> dict[str, int | None]:
        """The main process of each service."""
        return {name: service.pid for name, service in self._services.items()}

    def start_one(self, name: str) -> None:
        """Start a service that does not run, on its former port."""
        self._service(name).start()

    def stop(self, name: str) -> None:
        """Stop one service politely; the others keep running."""
        self._service(name).stop()

    def restart(self, name: str) -> None:
        """Stop one service and start it again."""
        self.stop(name)
        self.start_one(name)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one service's main process; after SIGKILL it is gone on return."""
        self._service(name).kill(number)

    def close(self) -> None:
        """Stop everything side by side and free the data directory; may be called twice."""
        try:
            self._together("stop")
        finally:
            self._services = {}
            with contextlib.suppress(FileNotFoundError):
                (self.data / endpoints_file.FILE_NAME).unlink()
            self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _service(self, name: str) -> Service:
        try:
            return self._services[name]
        except KeyError:
            raise NotRunning(f"{name} was not started here.") from None

    def _together(self, what: str) -> None:
        if not self._services:
            return
        with ThreadPoolExecutor(len(self._services)) as pool:
            work = [pool.submit(getattr(service, what)) for service in self._services.values()]
        for done in work:
            done.result()

    def _make_directory(self) -> None:
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.data / "logs").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Misconfigured(
                f"The data directory {self.data} can't be used: {error.strerror}.",
                hint="Give another one with --data or FANMEMORY_DATA.",
            ) from error

    def _choose_ports(self) -> dict[str, int]:
        """Given ports, else the last run's if free, else new ones; remembers the choice."""
        path = self.data / PORTS_FILE
        try:
            former: dict[str, int] = json.loads(path.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            former = {}
        chosen: dict[str, int] = {}
        for name in (port for service in self.names for port in ADAPTERS[service].PORTS):
            taken = frozenset(chosen.values()) | frozenset(self._wanted.values())
            if name in self._wanted:
                port = self._wanted[name]
                if not is_free(port):
                    raise ServiceFailed(
                        f"Port {port}, wanted for {name}, is in use.", hint="Give another port."
                    )
            elif name in former and former[name] not in taken and is_free(former[name]):
                port = former[name]
            else:
                port = free_port(taken)
            chosen[name] = port
        endpoints_file.write_private(path, json.dumps(former | chosen) + "\n")
        return chosen
