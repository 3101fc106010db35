"""GET /api/of-memory/changes: what happened to a fan since a write or a time."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from api.components import components_of
from api.conditional import not_kept
from api.parameters import Query, moment, query_of, relationship_of, required
from api.remarks import remarks_of
from infra.clock import now_ms
from schemas.errors import FanNotFound, InvalidInput
from schemas.positions import parse_position
from schemas.topics import INTERACTIONS, JOURNAL
from views.changes import Since, changes

_WRONG: Final = (
    "must be a position, as a write or a version tells it, or an RFC 3339 time with a zone (write +"
    " as %2B)"
)


async def get_changes(request: Request) -> Response:
    """What happened to a fan since: the events, and what the fields of the views were and are.

    At most 500 events; with `more` the next ones are those since `until`.
    """
    components, query = components_of(request), query_of(request)
    who = relationship_of(request, query)
    since = _since(query)
    remembered = await components.memory.recall(
        *who, messages=False, remarks=remarks_of(request.scope)
    )
    now, currency = now_ms(), components.settings.currency
    found = await components.past.fold_as_it_came(
        *who, lambda history: changes(who, remembered.partition, history, since, now, currency)
    )
    if found is None:
        raise FanNotFound
    return not_kept(request, found)


def _since(query: Query) -> Since:
    """Raises `InvalidInput` for what is neither a position nor a time."""
    text = required(query, "since")
    try:
        position = parse_position(text, "since")
    except InvalidInput:
        try:
            return Since(None, moment(query, "since"))
        except InvalidInput:
            raise InvalidInput("since", _WRONG) from None
    if position.topic not in (INTERACTIONS.name, JOURNAL.name):
        raise InvalidInput("since", _WRONG)
    return Since(position)
