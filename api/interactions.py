"""POST /api/of-memory/interaction: validate, append to the log, answer with the place."""

from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.components import components_of
from api.envelopes import correlation_id, success
from infra.clock import now_ms
from infra.kafka import relationship_key
from schemas.events import parse_interaction

POSITION_HEADER = "x-position"


async def save_interaction(request: Request) -> Response:
    """Answers when the brokers have it; `position` is what a read's `minPosition` waits for.

    The body goes to the log as it came, after the same check that ingest makes against the same
    clock: the record carries the time of arrival that was used here.
    """
    value = await request.body()
    arrived = now_ms()
    interaction = parse_interaction(value, arrived)
    principal_of(request).require(interaction.creator_id)
    key = relationship_key(interaction.creator_id, interaction.fan_id)
    components = components_of(request)
    written = await components.publisher.publish(key, value, arrived, correlation_id(request.scope))
    components.origins.remember(written, (interaction.creator_id, interaction.fan_id))
    position = str(written)
    response = success(request.scope, position=position)
    response.headers[POSITION_HEADER] = position
    return response
