"""What an endpoint is: one frozen row that says everything about it.

Routes, who may ask, limits, quiet logging and the published contract are read from the table of
these in `api.table`, so a route can't be there without them. Whatever says nothing about access is
a creator's.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from api.auth import Scope
from schemas.errors import FanMemoryError

_TEXT: Final[Mapping[str, Any]] = {"type": "string"}

Handler = Callable[[Request], Awaitable[Response]]


class Access(Enum):
    """Who may ask."""

    PUBLIC = "public"
    """Anybody: no token is looked at."""
    CREATOR = "creator"
    """Whoever has a token of a creator; `Principal.require` says of which."""


class Parameter(NamedTuple):
    """Something that a handler reads beside the body."""

    name: str
    meaning: str
    place: Literal["query", "header", "path"] = "query"
    schema: Mapping[str, Any] = _TEXT
    """JSON Schema of one value."""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path and method."""

    path: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
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
    ticket: bool = False
    """A ticket (`api.stream_tickets`) will do in place of a token."""
    quiet: bool = False
    """Asked every few seconds by machines: answered also when all places are taken, and logged at
    DEBUG unless it fails."""
    parameters: tuple[Parameter, ...] = ()
    """What it reads of query, head and path."""
    request: Any = None
    """The type of a body; None: there is none."""
    request_media: str = "application/json"
    response: Any = None
    """The type of the body of 200; None: it is no JSON."""
    response_later: Any = None
    """The type of the body of 202; None: it is never answered."""
    response_media: str = "application/json"
    raises: tuple[type[FanMemoryError], ...] = ()
    """Beside what every endpoint of its access can raise."""
