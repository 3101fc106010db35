"""POST /api/of-memory/interaction: validate, append to the log, answer with the place."""

from starlette.requests import Request
from starlette.responses import Response

from api.envelopes import success
from api.parts import creator_of, parts_of
from infra.clock import now_ms
from infra.kafka import relationship_key
from schemas.errors import Forbidden
from schemas.events import parse_interaction

POSITION_HEADER = "x-position"


async def save_interaction(request: Request) -> Response:
    """Answers when the brokers have it; `position` is what a read's `minPosition` waits for.

    The body goes to the log as it came, after the same check that ingest makes against the same
    clock: the record carries the time of arrival that was used here.
    """
    _, creator_id = creator_of(request)
    value = await request.body()
    arrived = now_ms()
    interaction = parse_interaction(value, arrived)
    if interaction.creator_id != creator_id:
        raise Forbidden
    key = relationship_key(interaction.creator_id, interaction.fan_id)
    parts = parts_of(request)
    written = await parts.publisher.publish(key, value, arrived)
    parts.origins.remember(written, (interaction.creator_id, interaction.fan_id))
    position = str(written)
    response = success(request.scope, position=position)
    response.headers[POSITION_HEADER] = position
    return response
