"""Erasures and forgettings: which one a path names, whose it is, and the answer that it goes on."""

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.envelopes import data
from schemas.answers import Erasure, Forgetting
from schemas.errors import FanMemoryError
from schemas.random_ids import id_bytes
from schemas.times import from_datetime, render_time
from stores.wall import sees


def asked(request: Request, name: str, missing: type[FanMemoryError]) -> bytes:
    """The id in the path; raises `missing` for what is no id."""
    try:
        return id_bytes(request.path_params[name])
    except ValueError:
        raise missing from None


def own(request: Request, creator_id: str) -> bool:
    """Whether the request may know of what was asked for in this creator's name."""
    return principal_of(request).speaks_for(creator_id) and sees(creator_id)


def going_on(request: Request, described: Erasure | Forgetting, location: str) -> Response:
    """202: `Location` names what says how far it has got."""
    response = data(request.scope, described)
    response.status_code = 202
    response.headers["location"] = location
    return response


def time_of(moment: datetime) -> str:
    """A moment as answers have it."""
    return render_time(from_datetime(moment))


def time_if_any(moment: datetime | None) -> str | None:
    return None if moment is None else time_of(moment)
