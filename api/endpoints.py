"""What an endpoint is: one frozen row that says everything about it.

Routes, who may ask, limits and quiet logging are read from the table of these in `api.app`, so a
route can't be there without them. Whatever says nothing about access is a creator's.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from api.auth import Scope

Handler = Callable[[Request], Awaitable[Response]]


class Access(Enum):
    """Who may ask."""

    PUBLIC = "public"
    """Anybody: no token is looked at."""
    CREATOR = "creator"
    """Whoever has a token of a creator; `Principal.require` says of which."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path and method."""

    path: str
    method: Literal["GET", "POST"]
    handler: Handler
    name: str
    """Also the `operation` of its log lines."""
    access: Access = Access.CREATOR
    scope: Scope = "memory:write"
    """What a token must be good for. What says nothing asks for more than reading."""
    deadline_s: float | None = None
    """Seconds until 504; None: the setting's."""
    body_bytes_max: int | None = None
    """Of the largest body; None: the setting's."""
    streams: bool = False
    """Answers for as long as the client listens: no deadline, and none of the places in flight."""
    quiet: bool = False
    """Asked every few seconds by machines: answered also when all places are taken, and logged at
    DEBUG unless it fails."""
    request: type[Any] | None = None
    """What a body holds; None: there is none."""
    response: type[Any] | None = None
    """What `data` of the answer holds; None: the answer is no such envelope."""
