"""Find ports for servers, below the range that the kernel gives to clients.

A client that reconnects to a dead server on the same machine may be given the server's own port
as its source, connect to itself, and keep the server from coming back. Ports outside the
ephemeral range can't be taken like that.
"""

import contextlib
import random
import socket
import sys
from pathlib import Path

from schemas.errors import ServiceFailed

HOST = "127.0.0.1"
LOWEST = 10_000
EPHEMERAL_LOWEST_DEFAULT = 32_768  # Linux's default
TRIES_MAX = 200

_CLAIMED: list[socket.socket] = []
"""Names of the ports that this process was given, held until it ends."""


def _ephemeral_lowest() -> int:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii")
        return int(text.split()[0])
    except (OSError, ValueError, IndexError):
        return EPHEMERAL_LOWEST_DEFAULT


def is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1)
        except OSError:
            return False
    return True


def _claim(port: int) -> bool:
    """Keep other processes of ours from choosing the same port before its server listens.

    A name in the abstract namespace is taken at once by one process, belongs to the same network
    namespace as the port, and is free again when the process is gone.
    """
    if not sys.platform.startswith("linux"):
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with contextlib.suppress(OSError):
        name.bind(f"\0fanmemory-port-{port}")
        _CLAIMED.append(name)
        return True
    name.close()
    return False


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """A port that is free now and not in `taken`; raises ServiceFailed when none is found."""
    highest = _ephemeral_lowest() - 1
    if highest <= LOWEST:
        raise ServiceFailed("The kernel's ephemeral port range leaves no port for servers.")
    for _ in range(TRIES_MAX):
        port = random.randint(LOWEST, highest)
        if port not in taken and _claim(port) and is_free(port):
            return port
    raise ServiceFailed("No free port was found.")
