"""A client of Fan Memory's HTTP API, for programs that wait and for those that don't.

client    `FanMemory` and `AsyncFanMemory`: one method per call
calls     what each call is, once for both
models    what is sent and answered, made from the published contract
retrying  when something is tried again
errors    what is raised
"""

from fanmemory_client import models
from fanmemory_client.calls import Call, Read, Told
from fanmemory_client.client import AsyncFanMemory, FanMemory
from fanmemory_client.errors import (
    BadRequest,
    Conflict,
    FanMemoryError,
    Forbidden,
    NoAnswer,
    NotFound,
    RateLimited,
    ServerFailed,
    Unauthorized,
    Unavailable,
)
from fanmemory_client.retrying import Policy

__all__ = [
    "AsyncFanMemory",
    "BadRequest",
    "Call",
    "Conflict",
    "FanMemory",
    "FanMemoryError",
    "Forbidden",
    "NoAnswer",
    "NotFound",
    "Policy",
    "RateLimited",
    "Read",
    "ServerFailed",
    "Told",
    "Unauthorized",
    "Unavailable",
    "models",
]
__version__ = "0.2.0"
