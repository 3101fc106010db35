"""What a call raises. Each class is one thing that a caller may want to do something about."""

from collections.abc import Mapping
from typing import Final

import msgspec


class FanMemoryError(Exception):
    """A call that did not give what was asked for."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        type: str | None = None,
        correlation_id: str | None = None,
        details: str | None = None,
        fresh: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP; 0 when there was no answer."""
        self.type = type
        """The class of the error in the API's words, where it has one."""
        self.correlation_id = correlation_id
        """The id that the service's own log lines of this request have."""
        self.details = details
        """What to do next."""
        self.fresh = fresh
        """Of a stale draft: the ids of the messages that are newer."""


class BadRequest(FanMemoryError):
    """A parameter or a field is wrong; the message names it. 400, 413, 422."""


class Unauthorized(FanMemoryError):
    """There is no valid token. 401."""


class Forbidden(FanMemoryError):
    """The token is not this creator's, or not good for this. 403."""


class NotFound(FanMemoryError):
    """Nothing is remembered under this name. 404."""


class Conflict(FanMemoryError):
    """What it is about is in another state by now. 409."""


class RateLimited(FanMemoryError):
    """More than may be asked in a minute, also after waiting. 429."""


class Unavailable(FanMemoryError):
    """A part of the service is away or too busy, also after trying again. 503, 504."""


class ServerFailed(FanMemoryError):
    """Anything else that the service answered, or an answer that is not what its contract says."""


class NoAnswer(FanMemoryError):
    """No connection, or no answer within the deadline. A write may have been carried out all the
    same."""


_CLASSES: Final[dict[int, type[FanMemoryError]]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: BadRequest,
    422: BadRequest,
    429: RateLimited,
    503: Unavailable,
    504: Unavailable,
}


class _Said(msgspec.Struct, rename="camel"):
    error: str | None = None
    type: str | None = None
    correlation_id: str | None = None
    details: str | None = None
    fresh: tuple[str, ...] = ()


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> FanMemoryError:
    """The error that an answer is; its body may be anything."""
    try:
        said = msgspec.json.decode(body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Said()
    return _CLASSES.get(status, ServerFailed)(
        said.error or f"The service answered {status}.",
        status=status,
        type=said.type,
        correlation_id=said.correlation_id or headers.get("x-correlation-id"),
        details=said.details,
        fresh=said.fresh,
    )
