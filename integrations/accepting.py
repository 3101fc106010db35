"""The JSON of an event, and whether the contract takes it."""

from integrations.converted import Event, encode
from schemas.errors import InvalidInput
from schemas.events import parse_interaction
from schemas.money import DEFAULT_CURRENCY


def accepted(
    creator_id: str, event: Event, now: int, currency: str = DEFAULT_CURRENCY
) -> tuple[bytes, InvalidInput | None]:
    """The event's JSON, and why it will be refused, if it will. `now` in ms; `currency` is
    that of amounts that name none."""
    value = encode(creator_id, event)
    try:
        parse_interaction(value, now, currency)
    except InvalidInput as error:
        return value, error
    return value, None
