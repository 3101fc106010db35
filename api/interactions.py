"""POST /api/of-memory/interaction and /interactions: validate, append to the log, say where."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from api import idempotency, ndjson
from api.auth import Principal, principal_of
from api.components import Components, components_of
from api.envelopes import correlation_id, data, success
from api.limits import cost_of
from api.turns import Turns
from infra.clock import now_ms
from infra.kafka import relationship_key
from schemas.errors import FanMemoryError, FanSuppressed, Forbidden, InvalidInput
from schemas.events import Interaction, parse_interaction
from schemas.positions import Position
from schemas.relationship import Relationship
from stores import wall

POSITION_HEADER: Final = "x-position"
EVENTS_MAX: Final = 500
BATCH_BYTES_MAX: Final = 1 << 20


class Accepted(NamedTuple):
    """An event that may be appended."""

    who: Relationship
    value: bytes


async def save_interaction(request: Request) -> Response:
    """Append one interaction to the log; answered when the brokers have it.

    The body goes to the log as it came, but for the id that `Idempotency-Key` gives, after the same
    check that ingest makes against the same clock: the record carries the time of arrival that was
    used here.
    """
    value = await request.body()
    key = idempotency.key_of(request.scope["headers_by_name"])
    arrived = now_ms()
    components = components_of(request)
    event = _accept(value, arrived, principal_of(request), key, components)
    written = await components.publisher.publish(
        relationship_key(*event.who), event.value, arrived, correlation_id(request.scope)
    )
    await _tell(components, [(event.who, written)])
    position = str(written)
    response = success(request.scope, position=position)
    response.headers[POSITION_HEADER] = position
    return response


async def save_interactions(request: Request) -> Response:
    """Append several: what became of each, in order. One that is refused stops no other.

    Raises `InvalidInput` for a body that holds no event, or too many; and what the broker's failure
    was when every event was good and it has taken none.
    """
    key = idempotency.key_of(request.scope["headers_by_name"])
    principal, components = principal_of(request), components_of(request)
    arrived = now_ms()
    outcomes: list[Accepted | FanMemoryError] = []
    turns = Turns()
    async for value in ndjson.values(request.stream()):
        number = len(outcomes)
        if number == EVENTS_MAX:
            raise InvalidInput("$", f"must be at most {EVENTS_MAX} events")
        try:
            outcomes.append(
                _accept(
                    value,
                    arrived,
                    principal,
                    None if key is None else f"{key}:{number}",
                    components,
                )
            )
        except (InvalidInput, Forbidden, FanSuppressed) as error:
            outcomes.append(error)
        if turns.over(value):
            await asyncio.sleep(0)
    if not outcomes:
        raise InvalidInput("$", "must hold at least one event")
    await components.limits.pay(principal, cost_of(len(outcomes)) - 1)
    events = [one for one in outcomes if isinstance(one, Accepted)]
    written = await components.publisher.publish_several(
        [(relationship_key(*event.who), event.value) for event in events],
        arrived,
        correlation_id(request.scope),
    )
    await _tell(
        components,
        [
            (event.who, place)
            for event, place in zip(events, written, strict=True)
            if isinstance(place, Position)
        ],
    )
    failures = [place for place in written if isinstance(place, FanMemoryError)]
    if len(failures) == len(outcomes):
        raise failures[0]
    places = iter(written)
    results = [_told(next(places) if isinstance(one, Accepted) else one) for one in outcomes]
    return data(request.scope, results, accepted=len(events) - len(failures))


def _accept(
    value: bytes, arrived: int, principal: Principal, key: str | None, components: Components
) -> Accepted:
    """Raises `InvalidInput`, `Forbidden` for another creator's event, and `FanSuppressed`."""
    interaction: Interaction = parse_interaction(value, arrived, components.settings.currency)
    principal.require(interaction.creator_id)
    wall.require(interaction.creator_id)
    if (interaction.creator_id, interaction.fan_id) in components.suppressed:
        raise FanSuppressed
    if key is not None:
        value = idempotency.identified(value, interaction, key)
    return Accepted((interaction.creator_id, interaction.fan_id), value)


async def _tell(components: Components, writes: Sequence[tuple[Relationship, Position]]) -> None:
    """Readers of these fans, of what they have to wait for."""
    for who, place in writes:
        components.origins.remember(place, who)
    await components.memory.written.leave(writes)


def _told(outcome: Position | FanMemoryError) -> dict[str, Any]:
    if isinstance(outcome, Position):
        return {"position": str(outcome)}
    if isinstance(outcome, InvalidInput):
        return {"error": str(outcome), "field": outcome.field}
    if isinstance(outcome, Forbidden):
        return {"error": str(outcome), "field": "creatorId"}
    if isinstance(outcome, FanSuppressed):
        return {"error": str(outcome), "field": "fanId"}
    return {"error": str(outcome), "field": None, "details": outcome.advice}
