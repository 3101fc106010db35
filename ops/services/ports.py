"""Find ports for servers, below the range that the kernel gives to clients.

A client that reconnects to a dead server on the same machine may be given the server's own port
as its source, connect to itself, and keep the server from coming back. Ports outside the
ephemeral range can't be taken like that.
"""

import random
import socket
from pathlib import Path

from schemas.errors import ServiceFailed

HOST = "127.0.0.1"
LOWEST = 10_000
EPHEMERAL_LOWEST_DEFAULT = 32_768  # Linux's default
TRIES_MAX = 200


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


def free_port(taken: frozenset[int] = frozenset()) -> int:
    """A port that is free now and not in `taken`; raises ServiceFailed when none is found."""
    highest = _ephemeral_lowest() - 1
    if highest <= LOWEST:
        raise ServiceFailed("The kernel's ephemeral port range leaves no port for servers.")
    for _ in range(TRIES_MAX):
        port = random.randint(LOWEST, highest)
        if port not in taken and is_free(port):
            return port
    raise ServiceFailed("No free port was found.")
