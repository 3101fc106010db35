"""GET, PUT and DELETE /api/webhooks/connections…: a creator's connections to platforms.

A creator sees and changes their own only. The id is the client's choice, 32 random hexadecimal
digits, so that a PUT which is sent again changes nothing. The secret goes in and never comes out:
whoever lost it puts another one.
"""

import re
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.components import components_of
from api.envelopes import data, success
from api.parameters import creator_of
from infra.postgres import database_errors
from integrations import generic
from integrations.platforms import DELIVERING
from schemas.errors import ConnectionTaken, InvalidInput, RouteNotFound
from schemas.money import currency_code
from stores import connections
from stores.connections import ID_BYTES, PlatformConnection, Ways

SECRET_LENGTH_MAX: Final = 1_000
NAMES_MAX: Final = 20
_id: Final = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}").fullmatch
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class NewConnection(msgspec.Struct, forbid_unknown_fields=True):
    """What a connection is made of."""

    platform: str
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=SECRET_LENGTH_MAX)]
    """That the platform signs with."""
    me: Annotated[list[_Name], msgspec.Meta(max_length=NAMES_MAX)] = []
    """The creator's own names or ids there."""
    zone: str = "UTC"
    """Of times without one."""
    currency: str | None = None
    """Of amounts without one."""
    options: Annotated[dict[_Name, _Name], msgspec.Meta(max_length=NAMES_MAX)] = {}
    """The platform's own."""
    mapping: dict[str, Any] | None = None
    """Of `generic`."""


class Connection(msgspec.Struct, frozen=True, rename="camel"):
    """What is told of a connection."""

    connection: str
    platform: str
    creator_id: str
    path: str
    """To give to the platform, behind this API's host."""
    created_at: str


class Connections(msgspec.Struct, frozen=True):
    """A creator's own."""

    connections: list[Connection]
    """Oldest first."""


async def list_connections(request: Request) -> Response:
    """The creator's own, oldest first."""
    async with database_errors():
        found = await connections.list_own(components_of(request).reading, creator_of(request))
    return data(request.scope, Connections([_shown(one) for one in found]))


async def get_connection(request: Request) -> Response:
    """Raises `RouteNotFound` for another creator's as for none."""
    pool, creator, id = components_of(request).reading, creator_of(request), _asked(request)
    async with database_errors():
        found = await connections.find_own(pool, creator, id)
    if found is None:
        raise RouteNotFound
    return data(request.scope, _shown(found))


async def put_connection(request: Request) -> Response:
    """Make it, or put another platform, secret and options in its place.

    Raises `InvalidInput`, and `ConnectionTaken` when the id is taken or there are too many.
    """
    components, creator, id = components_of(request), creator_of(request), _asked(request)
    given = _given(await request.body())
    ways = _ways(given)
    async with database_errors():
        found = await connections.put(
            components.writing_for(creator), components.keyring, id, given.platform, creator, ways
        )
    if found is None:
        raise ConnectionTaken
    return data(request.scope, _shown(found))


async def delete_connection(request: Request) -> Response:
    """Take no more of its deliveries; what it delivered stays."""
    creator, id = creator_of(request), _asked(request)
    pool = components_of(request).writing_for(creator)
    async with database_errors():
        if not await connections.remove_own(pool, creator, id):
            raise RouteNotFound
    return success(request.scope)


def _asked(request: Request) -> str:
    id: str = request.path_params["connection"]
    if not _id(id):
        raise InvalidInput("connection", f"must be {2 * ID_BYTES} random hexadecimal digits")
    return id


def _given(body: bytes) -> NewConnection:
    try:
        return _decode(body)
    except msgspec.ValidationError as error:
        path = _path(str(error))
        raise InvalidInput(path[1] if path else "$", "is missing, or not what it must be") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput("$", "must be a JSON object") from None


def _ways(given: NewConnection) -> Ways:
    if given.platform not in DELIVERING:
        names = ", ".join(sorted(DELIVERING))
        raise InvalidInput("platform", f"must be one of {names}")
    try:
        zone = ZoneInfo(given.zone)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise InvalidInput("zone", "must be a time zone such as Europe/Berlin") from None
    currency = None if given.currency is None else currency_code("currency", given.currency)
    if given.platform == "generic":
        if given.mapping is None:
            raise InvalidInput("mapping", "is required for generic")
        generic.check(given.mapping)
    elif given.mapping is not None:
        raise InvalidInput("mapping", "belongs to generic")
    return Ways(given.secret, tuple(given.me), zone.key, currency, given.options, given.mapping)


def _shown(found: PlatformConnection) -> Connection:
    path = f"/api/webhooks/{found.platform}/{found.id}"
    return Connection(found.id, found.platform, found.creator_id, path, found.created_at)


_decode: Final = msgspec.json.Decoder(NewConnection).decode
_path: Final = re.compile(
    rf"[`.]({'|'.join(field.name for field in msgspec.structs.fields(NewConnection))})\b"
).search
