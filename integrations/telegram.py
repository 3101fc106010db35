"""Telegram Desktop's export: `result.json` of one chat, or of all.

- Natural id: the message's, which counts within its chat.
- Sides: in a personal chat `from_id` is the fan's when it is the chat's own id, else the creator's.
  Groups and channels are no conversation with one fan: left out.
- Times: `date_unixtime`; older exports have only `date`, which is the exporting computer's local
  time: name its zone.
- Texts come whole or in parts. Edits: a message stands there as it was last.
- Media-only: attachments. Calls, pins, joins, polls, places, contacts: left out.
- Likes of both sides: reactions, one per message and side.
- Amounts, refunds, renewals, mass messages: Telegram exports none that could be told apart.
- Telegram posts no webhooks here.
"""

from collections.abc import Mapping
from typing import Any, Final

from integrations.converted import (
    NO_CONTEXT,
    NO_WEBHOOKS,
    Context,
    Converted,
    Event,
    Unfit,
    gather,
)
from integrations.parts import (
    about,
    at,
    build,
    fan_of,
    id_of,
    list_at,
    message,
    read_json,
    text_at,
)
from integrations.times import moment

NATURAL_ID: Final = "the message's id, within its chat"

_MEDIA: Final = {
    "video_file": "video",
    "video_message": "video",
    "voice_message": "voice",
    "audio_file": "audio",
    "animation": "gif",
    "sticker": "sticker",
}

read = read_json


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of all personal chats of an export."""
    whole = at(payload, "chats", "list")
    chats = whole if isinstance(whole, list) else [payload]
    parts: list[tuple[str | None, Any]] = []
    for chat in chats:
        fan = text_at(chat, "id") if text_at(chat, "type") == "personal_chat" else None
        parts += [(fan, one) for one in list_at(chat, "messages")]
    if not parts:
        parts = [(None, None)]
    return gather(parts, lambda part: _converted(part[0], part[1], context))


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    del headers, body, secret, now
    return NO_WEBHOOKS


def _converted(chat: str | None, found: Any, context: Context) -> list[Event]:
    if found is None:
        raise Unfit("is no export of Telegram's, or an empty one")
    if chat is None:
        raise Unfit("is in no personal chat", expected=True)
    if text_at(found, "type") != "message":
        raise Unfit("is no message of anybody's", expected=True)
    fan = fan_of(chat)
    event_id = id_of(text_at(found, "id"))
    when = moment(context, at(found, "date_unixtime"), at(found, "date"))
    sender = None if _is_fan(text_at(found, "from_id"), fan) else "creator"
    made = [message(fan, when, event_id, _text(found), _attachments(found), sender=sender)]
    return made + _likes(found, fan, event_id, when, context)


def _is_fan(account: str | None, fan: str) -> bool:
    """`user123` is the account of the personal chat 123."""
    return account is not None and account.removeprefix("user") == fan


def _text(found: Any) -> str:
    text = at(found, "text")
    parts = text if isinstance(text, list) else [text]
    return "".join(one if isinstance(one, str) else text_at(one, "text") or "" for one in parts)


def _attachments(found: Any) -> list[dict[str, Any]]:
    if at(found, "photo") is not None:
        return [{"type": "photo"}]
    kind = _MEDIA.get(text_at(found, "media_type") or "")
    if kind is None and at(found, "file") is None:
        return []
    return [{"type": kind or "file"}]


def _likes(found: Any, fan: str, event_id: str, when: str, context: Context) -> list[Event]:
    """The first reaction of each side; who of many reacted is told by `recent` alone."""
    made: dict[str, Event] = {}
    for reaction in list_at(found, "reactions"):
        for one in list_at(reaction, "recent"):
            account = text_at(one, "from_id")
            if account is None or account in made:
                continue
            made[account] = build(
                "like",
                fan,
                moment(context, at(one, "date_unixtime"), at(one, "date"), when),
                f"reaction-{account}-{event_id}",
                sender=None if _is_fan(account, fan) else "creator",
                refersTo=about(event_id, "message"),
                metadata={"contentType": "message"},
            )
    return list(made.values())
