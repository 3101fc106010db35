"""Reading payloads that may hold anything, and building an event."""

import json
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Final

from integrations.converted import Context, Event, Unaddressed, Unfit
from integrations.texts import encodable

ATTACHMENTS_MAX: Final = 40
"""What the contract takes; the first ones are kept."""
ID_LENGTH_MAX: Final = 255


def read_json(body: bytes) -> Any:
    """A payload, its fractions as `Decimal`. Raises `Unfit`."""
    try:
        return json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise Unfit("is not JSON") from None


def at(value: Any, *path: str | int) -> Any:
    """What stands there, or None."""
    for step in path:
        if isinstance(value, dict) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def text_at(value: Any, *path: str | int) -> str | None:
    """A text that is not empty, or a whole number as its digits; else None."""
    found = at(value, *path)
    if isinstance(found, str):
        return found or None
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return None


def list_at(value: Any, *path: str | int) -> list[Any]:
    found = at(value, *path)
    return found if isinstance(found, list) else []


def first(*found: Any) -> Any:
    """The first that is not None."""
    return next((one for one in found if one is not None), None)


def fan_of(*found: str | None) -> str:
    """The fan's id. Raises `Unfit` when none is named."""
    for one in found:
        if one is not None and one.strip():
            return one.strip()
    raise Unfit("names no fan")


def unsent(event_id: str, time: str, *named: str | None) -> Event:
    """A message that was taken back. Raises `Unaddressed` where none of these names its fan."""
    refers = about(event_id, "message")
    event = build("delete", "", time, f"deleted-{event_id}", refersTo=refers)
    try:
        return event | {"fanId": fan_of(*named)}
    except Unfit:
        del event["fanId"]
        raise Unaddressed(event) from None


def id_of(*found: str | None) -> str:
    """The natural id. Raises `Unfit` when there is none."""
    for one in found:
        if one is not None and one.strip():
            return one
    raise Unfit("has no id")


def made_id(*parts: str) -> str:
    """An id for what has none: the same for the same parts."""
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()


def build(kind: str, fan: str, time: str, event_id: str, **more: Any) -> Event:
    """An event; what is None or empty is left out. Names are those of the contract's JSON."""
    event: Event = {"fanId": fan, "type": kind, "timestamp": time, "eventId": event_id, **more}
    if event.get("attachments"):
        event["attachments"] = event["attachments"][:ATTACHMENTS_MAX]
    kept = {name: value for name, value in event.items() if value is not None and value != []}
    return {n: encodable(v) if isinstance(v, str) else v for n, v in kept.items()}


def message(
    fan: str,
    time: str,
    event_id: str,
    text: str | None,
    attachments: list[dict[str, Any]] | None = None,
    **more: Any,
) -> Event:
    """A message. Raises `Unfit` when there is nothing in it."""
    if not (text and text.strip()) and not attachments:
        raise Unfit("is a message with neither text nor attachments", expected=True)
    content = text if text and text.strip() else None
    return build(
        "message", fan, time, event_id, content=content, attachments=attachments or None, **more
    )


def about(event_id: str | None, kind: str | None = None) -> dict[str, str] | None:
    """What an event refers to."""
    if event_id is None:
        return None
    return {"eventId": event_id} if kind is None else {"type": kind, "eventId": event_id}


def option(context: Context, name: str, *choices: str) -> str:
    """One of the choices, the first by default; what is none of them counts as the first."""
    chosen = context.options.get(name, "")
    return chosen if chosen in choices else choices[0]
