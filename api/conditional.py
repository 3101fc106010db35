"""Answers that a client may keep, and ask again for only if they have changed: ETag and 304.

The tag is weak. It names the version of the memory and the hour: scores decay although nothing
happens, by 0.2 % in an hour at most (half-life 14 days), and what is older is not called the same.
"""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api import remarks
from api.envelopes import data
from infra.clock import now_ms
from schemas.times import HOUR_MS
from stores.cached import Remembered

_NO_STORE: Final = (b"cache-control", b"no-store")
_CACHE_CONTROL: Final = (b"cache-control", b"private, no-cache")
"""Nobody but the client keeps it, and the client asks each time."""


def answer(
    request: Request, found: Remembered, render: Callable[[], object], *, lacks: bool = False
) -> Response:
    """200 with the document and its tag; 304, and nothing rendered, if the client has that.

    What `lacks` something that may be known a moment later has a tag of its own, so that nobody
    keeps it for the whole; who has the whole is told to keep that.
    """
    tag = tag_of(found, now_ms())
    sent = request.scope["headers_by_name"].get(b"if-none-match")
    if lacks and not (sent is not None and matches(sent, tag)):
        tag = tag.removesuffix(b'"') + b'.part"'
    if sent is not None and matches(sent, tag):
        response = Response(status_code=304)
    else:
        response = data(request.scope, render(), **remarks.fields(request.scope))
    response.raw_headers += ((b"etag", tag), _CACHE_CONTROL)
    return response


def not_kept(request: Request, document: object) -> Response:
    """200 with something that is true of this moment only: without a tag, and nobody keeps it."""
    response = data(request.scope, document, **remarks.fields(request.scope))
    response.raw_headers.append(_NO_STORE)
    return response


def tag_of(found: Remembered, now: int) -> bytes:
    """Of one build of the views, one version, one hour; it tells nothing of the fan."""
    hour = now // HOUR_MS
    return b'W/"%d.%d.%d.%d"' % (found.generation, found.partition, found.version, hour)


def matches(sent: bytes, tag: bytes) -> bool:
    """Whether `If-None-Match` names this tag: compared weakly, as RFC 9110, 13.1.2, has it."""
    if sent == tag or sent.strip() == b"*":
        return True
    opaque = tag.removeprefix(b"W/")
    return any(one.strip().removeprefix(b"W/") == opaque for one in sent.split(b","))
