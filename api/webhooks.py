"""POST /api/webhooks/{platform}/{connection}: what a platform delivers, checked as it signs it.

In this order: find the connection, check signature and time over the raw body, only then read it,
convert it, publish all of it, answer. 2xx is said once the brokers have everything. A delivery that
is sent again has the same ids, so it counts once.

What the contract refuses is published too, so that ingest keeps it as a dead letter; the answer is
422 with the reason. What is no event, unexpectedly, is kept in the same way (`unread`) and answered
with 200: a platform that sends something new would otherwise send it for days, and then stop. What
is of a suppressed fan is left out, with 200 for the same reason.

What names no fan, but a message that was taken back, is of the fan who has that message. It is
looked for twice, since the message may have come a moment ago; then it is kept as `unread` too.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from api.components import Components, components_of
from api.envelopes import correlation_id, success
from api.origins import Refusal
from infra.clock import now_ms
from infra.kafka import relationship_key
from infra.postgres import database_errors
from integrations.accepting import accepted
from integrations.converted import NO_FAN, UNREAD, Context, Converted, Platform, Skipped, Unfit
from integrations.converted import Event as PlatformEvent
from integrations.platforms import DELIVERING
from schemas.errors import DeliveryRefused, DeliveryUnfit, InvalidInput, RouteNotFound
from schemas.positions import Position
from schemas.relationship import check_id
from stores import connections
from stores.connections import PlatformConnection, Ways
from stores.whose import fan_with

EVENTS_MAX: Final = 500
"""Of one delivery."""
LOOKS_APART_SECONDS: Final = 0.5
SUPPRESSED: Final = "is of a fan who asked that nothing more be remembered"


async def deliver(request: Request) -> Response:
    """Take what a platform delivers, checked as that platform signs it.

    Raises `DeliveryRefused` (401), `DeliveryUnfit` (422), `BrokerUnavailable` and the others.
    """
    body = await request.body()
    arrived = now_ms()
    components = components_of(request)
    platform, module = _platform(request.path_params["platform"])
    async with database_errors():
        found = await connections.find(components.pool, platform, request.path_params["connection"])
    if found is None:
        raise RouteNotFound
    ways = found.ways(components.keyring)
    headers = {name.lower(): value for name, value in request.headers.items()}
    if (reason := module.verify(headers, body, ways.secret, arrived)) is not None:
        components.metrics.webhook(platform, "refused signatures", 1)
        raise DeliveryRefused(f"The delivery {reason}.")
    converted = _converted(module, body, _context(ways, headers, arrived))
    converted = await _address(components, found.creator_id, converted)
    return await _take(request, components, found, body, converted, arrived)


async def _address(components: Components, creator: str, converted: Converted) -> Converted:
    """What names no fan with the fan that it is of, or among what was left out."""
    events, skipped = list(converted.events), list(converted.skipped)
    for event in converted.unaddressed:
        fan = await _fan_with(components, creator, event)
        if fan is None:
            skipped.append(Skipped(NO_FAN, False))
        else:
            events.append(event | {"fanId": fan})
    return Converted(tuple(events), tuple(skipped))


async def _fan_with(components: Components, creator: str, event: PlatformEvent) -> str | None:
    meant = event["refersTo"]
    for pause in (0.0, LOOKS_APART_SECONDS):
        await asyncio.sleep(pause)
        async with components.lookups, database_errors(), components.pool.acquire() as connection:
            fan = await fan_with(
                connection, components.keyring, creator, meant["eventId"], meant["type"]
            )
        if fan is not None:
            return fan
    return None


def _suppressed(components: Components, creator: str, fan: str) -> bool:
    try:
        return (creator, check_id("fanId", fan)) in components.suppressed
    except InvalidInput:
        return False


def _platform(name: str) -> tuple[str, Platform]:
    module = DELIVERING.get(name)
    if module is None:
        raise RouteNotFound
    return name, module


def _context(ways: Ways, headers: dict[str, str], arrived: int) -> Context:
    return Context(
        arrived,
        frozenset(ways.me),
        ZoneInfo(ways.zone),
        ways.currency,
        ways.options,
        ways.mapping,
        headers,
    )


def _converted(module: Platform, body: bytes, context: Context) -> Converted:
    try:
        payload = module.read(body)
    except Unfit as unfit:
        raise DeliveryUnfit(f"The delivery {unfit.skipped.reason}.") from None
    converted = module.events(payload, context)
    if len(converted.events) + len(converted.unaddressed) > EVENTS_MAX:
        raise DeliveryUnfit(f"The delivery holds more than {EVENTS_MAX} events.")
    return converted


async def _take(
    request: Request,
    components: Components,
    found: PlatformConnection,
    body: bytes,
    converted: Converted,
    arrived: int,
) -> Response:
    creator, platform = found.creator_id, found.platform
    currency = components.settings.currency
    events = [one for one in converted.events if not _suppressed(components, creator, one["fanId"])]
    judged = [(event["fanId"], *accepted(creator, event, arrived, currency)) for event in events]
    sending = [(fan, value) for fan, value, _ in judged]
    refused = [refusal for _, _, refusal in judged if refusal is not None]
    unexpected = [one for one in converted.skipped if not one.expected]
    if unexpected:
        sending.append((UNREAD, unread(found, unexpected[0].reason, body)))
    positions = await _publish(request, creator, sending, arrived)
    refusals = {at: refusal for at, (_, _, refusal) in enumerate(judged)}
    for at, ((fan, _), written) in enumerate(zip(sending, positions, strict=True)):
        who, refusal = (creator, fan), refusals.get(at)
        origin = who if refusal is None else Refusal(who, refusal.field, refusal.reason)
        components.origins.remember(written, origin)
    # Of what is refused nothing comes into the views: nobody shall wait for it.
    await components.memory.written.leave(
        [
            ((creator, fan), position)
            for (fan, _, refusal), position in zip(judged, positions, strict=False)
            if refusal is None
        ]
    )
    for outcome, count in (
        ("accepted", len(events) - len(refused)),
        ("refused", len(refused)),
        ("unread", len(unexpected)),
        ("left out", len(converted.skipped) - len(unexpected)),
        ("suppressed", len(converted.events) - len(events)),
    ):
        components.metrics.webhook(platform, outcome, count)
    if refused:
        raise DeliveryUnfit(f"The delivery holds an event that is refused: {refused[0]}.")
    reasons = [reason for reason, _ in converted.skipped]
    reasons += [SUPPRESSED] * (len(converted.events) - len(events))
    told: dict[str, Any] = {"accepted": len(events), "leftOut": reasons}
    if positions:
        told["position"] = str(positions[-1])
    return success(request.scope, **told)


async def _publish(
    request: Request, creator: str, sending: Sequence[tuple[str, bytes]], arrived: int
) -> list[Position]:
    """All of them, in their order within a fan; raises when the brokers lack one."""
    records = [(relationship_key(creator, fan), value) for fan, value in sending]
    outcomes = await components_of(request).publisher.publish_several(
        records, arrived, correlation_id(request.scope)
    )
    positions = [one for one in outcomes if isinstance(one, Position)]
    for one in outcomes:
        if not isinstance(one, Position):
            raise one
    return positions


def unread(found: PlatformConnection, reason: str, body: bytes) -> bytes:
    """What is kept of a delivery that is no event: where it came from, why, and all of it."""
    return json.dumps(
        {
            "type": UNREAD,
            "creatorId": found.creator_id,
            "reason": reason,
            "platform": found.platform,
            "connection": found.id,
            # Whatever bytes it has come back by the same error handler.
            "body": body.decode("utf-8", "surrogateescape"),
        }
    ).encode()
