"""The contract as OpenAPI 3.1, made from the table of endpoints and the types of the bodies.

`make contracts` writes it to `schemas/published/openapi.json`, and `/openapi.json` answers it. The
schemas are msgspec's own, so what they say of a body is what is encoded and decoded.
"""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from api.endpoints import Access, Endpoint, Parameter
from api.parameters import IF_NONE_MATCH
from schemas.answers import ErrorBody
from schemas.described import described
from schemas.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    FanMemoryError,
    Forbidden,
    InvalidInput,
    Overloaded,
    RateLimited,
    ScopeMissing,
    Unauthenticated,
)

VERSION: Final = "3.1.1"
REFERENCE: Final = "#/components/schemas/{name}"

_SCHEME: Final = "bearer"
_HEADERS: Final = {"X-Correlation-Id": {"$ref": "#/components/headers/Correlation"}}
_CORRELATION: Final = {
    "description": "The caller's id if it sent a UUID, else that of its trace, else a new one.",
    "schema": {"type": "string", "format": "uuid"},
}


def document(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """The whole contract; `version` is the release's."""
    bodies = [ErrorBody]
    for endpoint in endpoints:
        bodies += [
            one
            for one in (endpoint.request, endpoint.response, endpoint.response_later)
            if one is not None
        ]
    schemas, components = described(bodies, REFERENCE)
    body_schemas = dict(zip(map(repr, bodies), schemas, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        of_path = paths.setdefault(endpoint.path, {})
        of_path[endpoint.method.lower()] = _operation(endpoint, body_schemas)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Fan Memory",
            "version": version,
            "summary": "What a creator's fans said, feel, like and buy, as of now.",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": {"Correlation": _CORRELATION},
            "securitySchemes": {
                _SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
    }


def _operation(endpoint: Endpoint, schemas: Mapping[str, Any]) -> dict[str, Any]:
    summary = (endpoint.handler.__doc__ or "").partition("\n\n")[0]
    made: dict[str, Any] = {"operationId": endpoint.name, "summary": " ".join(summary.split())}
    if endpoint.parameters:
        made["parameters"] = [_parameter(one) for one in endpoint.parameters]
    if endpoint.request is not None:
        content = {endpoint.request_media: {"schema": schemas[repr(endpoint.request)]}}
        made["requestBody"] = {"required": True, "content": content}
    made["responses"] = _responses(endpoint, schemas)
    private = endpoint.access is Access.CREATOR
    made["security"] = [{_SCHEME: [endpoint.scope]}] if private else []
    return made


def _parameter(one: Parameter) -> dict[str, Any]:
    return {
        "name": one.name,
        "in": one.place,
        "description": one.meaning,
        "required": one.required or one.place == "path",
        "schema": dict(one.schema),
    }


def _responses(endpoint: Endpoint, schemas: Mapping[str, Any]) -> dict[str, Any]:
    schema: Any = {"type": "string"}
    if endpoint.response is not None:
        schema = schemas[repr(endpoint.response)]
    responses: dict[str, Any] = {
        "200": {
            "description": "OK",
            "headers": _HEADERS,
            "content": {endpoint.response_media: {"schema": schema}},
        }
    }
    if endpoint.response_later is not None:
        responses["202"] = {
            "description": "It goes on; Location says where to ask.",
            "headers": _HEADERS,
            "content": {"application/json": {"schema": schemas[repr(endpoint.response_later)]}},
        }
    if IF_NONE_MATCH in endpoint.parameters:
        responses["304"] = {"description": "What the client has is still so.", "headers": _HEADERS}
    by_status: dict[int, list[str]] = {}
    for error in _errors(endpoint):
        says = (error.__doc__ or "").partition("\n")[0].rstrip(".")
        by_status.setdefault(error.status, []).append(says)
    failure = {"application/json": {"schema": schemas[repr(ErrorBody)]}}
    for status in sorted(by_status):
        said = "; ".join(dict.fromkeys(by_status[status])) or HTTPStatus(status).phrase
        responses[str(status)] = {
            "description": f"{said}.",
            "headers": _HEADERS,
            "content": failure,
        }
    return responses


def _errors(endpoint: Endpoint) -> Iterator[type[FanMemoryError]]:
    if endpoint.parameters or endpoint.request is not None:
        yield InvalidInput
    if endpoint.access is Access.CREATOR:
        yield from (Unauthenticated, Forbidden, ScopeMissing, RateLimited)
    if endpoint.method in ("POST", "PUT"):
        yield BodyTooLarge
    yield FanMemoryError
    if not endpoint.quiet:
        yield Overloaded
    if not endpoint.streams:
        yield DeadlineExceeded
    yield from endpoint.raises
