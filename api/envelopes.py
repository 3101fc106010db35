"""What an answer looks like: success and error bodies, and the correlation id that ties them.

    {"data": …, "correlationId": …, "timestamp": …}
    {"error": …, "type": …, "correlationId": …, "details": …}

`error` is the error's own sentence, `details` what the reader should do next. The stack, SQL, ids
and texts of fans are never part of either.
"""

import uuid
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.types import Scope

from infra.clock import now_ms
from schemas.errors import FanMemoryError
from schemas.times import render_time

CORRELATION_HEADER: Final = "x-correlation-id"
RETRY_AFTER_SECONDS: Final = 1

_encode = msgspec.json.Encoder().encode


class JsonResponse(Response):
    """A response whose body is JSON bytes already."""

    media_type = "application/json"


def new_correlation_id(incoming: str | None) -> str:
    """The caller's id if it is a UUID, else a new UUIDv4.

    Only UUIDs: anything else could carry a fan's id, or a novel, into every log line.
    """
    if incoming is not None and len(incoming) == 36:
        try:
            return str(uuid.UUID(incoming))
        except ValueError:
            pass
    return str(uuid.uuid4())


def correlation_id(scope: Scope) -> str:
    """The id that the middleware gave this request."""
    return str(scope["correlation_id"])


def timestamp() -> str:
    return render_time(now_ms())


def data(scope: Scope, document: object, **more: object) -> JsonResponse:
    """200 with a document, which is anything that msgspec encodes."""
    body: dict[str, Any] = {
        "data": document,
        "correlationId": correlation_id(scope),
        "timestamp": timestamp(),
    }
    body.update(more)
    return JsonResponse(_encode(body))


def success(scope: Scope, **more: object) -> JsonResponse:
    """200 for a write: `success`, `correlationId`, `timestamp` and what else it says."""
    body: dict[str, Any] = {
        "success": True,
        "correlationId": correlation_id(scope),
        "timestamp": timestamp(),
    }
    body.update(more)
    return JsonResponse(_encode(body))


def plain(document: object, status: int = 200) -> JsonResponse:
    """A document without an envelope: health."""
    return JsonResponse(_encode(document), status)


def failure(scope: Scope, error: FanMemoryError, headers: dict[str, str] | None = None) -> Response:
    """The error's own status and words."""
    body: dict[str, Any] = {"error": str(error)}
    if error.type is not None:
        body["type"] = error.type
    if error.status >= 500 and error.type is None and not error.retryable:
        body["error"] = "Internal server error"
    body["correlationId"] = correlation_id(scope)
    body["details"] = error.advice
    sent = dict(headers or {})
    if error.status == 503:
        sent["retry-after"] = str(RETRY_AFTER_SECONDS)
    if error.status == 401:
        sent["www-authenticate"] = "Bearer"
    return JsonResponse(_encode(body), error.status, sent)
