"""GET /openapi.json and /docs: what this API takes and answers, for programs and for people."""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints import Endpoint
from api.envelopes import JsonResponse
from api.openapi import document
from api.page import rendered

_HEADERS: Final = (
    (b"cache-control", b"public, max-age=300"),
    # The page is one file; nothing else is loaded by it, and it runs nothing.
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
)


class Contract:
    """Of one table of endpoints; made when it is first asked for, and then kept."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints

    @cached_property
    def document(self) -> dict[str, Any]:
        return document(self._endpoints, version("fan-memory"))

    @cached_property
    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self.document), indent=1) + b"\n"

    @cached_property
    def page(self) -> bytes:
        return rendered(self.document).encode()


async def get_openapi(request: Request) -> Response:
    """This API as OpenAPI 3.1."""
    return _kept(JsonResponse(_contract(request).json))


async def get_page(request: Request) -> Response:
    """The same to read: one page without scripts."""
    return _kept(Response(_contract(request).page, media_type="text/html"))


def _contract(request: Request) -> Contract:
    contract: Contract = request.scope["contract"]
    return contract


def _kept(response: Response) -> Response:
    response.raw_headers += _HEADERS
    return response
