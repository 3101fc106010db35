"""Instagram: the export of messages (`message_1.json`), and the webhooks of its Messenger API.

- Natural id: the webhook's `mid` (160 characters and more). Exports have none: an id is made of
  sender, time and text, so the same export again adds nothing; the two ids never meet, so take a
  conversation from one of them only.
- Sides: in an export the fan is the participant who is not `me`; give the creator's shown name.
  Where an export names one sender only, that is the fan. Groups are left out.
- Fans: an export's folder names the conversation (`thread_path`); without it the shown name.
- Encoding: exports are UTF-8 that was written as Latin-1; it is repaired.
- Edits: exports hold both texts, the later one marked `(edited)`: the first is left out, and the
  last stands at the first one's time. Webhooks: `message_edit` replaces.
- Unsent: `is_unsent` in exports is left out; `is_deleted` in webhooks deletes.
- Media-only and shares: attachments, or the shared link as text. Likes of both sides: reactions.
- Mass messages, amounts, refunds, renewals: none.
- Signed: `X-Hub-Signature-256` by the app's secret; it carries no time.
"""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from typing import Any, Final

from integrations import signatures
from integrations.converted import NO_CONTEXT, Context, Converted, Event, Unfit, gather
from integrations.parts import (
    about,
    at,
    build,
    fan_of,
    first,
    id_of,
    list_at,
    made_id,
    message,
    read_json,
    text_at,
)
from integrations.texts import repaired
from integrations.times import milliseconds, moment
from schemas.times import MINUTE_MS

NATURAL_ID: Final = "the webhook's mid; in exports one made of sender, time and text"

EDIT_MS_MAX: Final = 15 * MINUTE_MS
"""Until when Instagram lets a message be edited."""
ALIKE_MIN: Final = 0.3
"""How alike an edited text and its first one are at least, else it is another message."""

_MEDIA: Final = (
    ("photos", "photo"),
    ("videos", "video"),
    ("audio_files", "audio"),
    ("gifs", "gif"),
    ("files", "file"),
)
_WEBHOOK_MEDIA: Final = {"image": "photo", "video": "video", "audio": "audio", "file": "file"}
_NOTICES: Final = ("Liked a message", "Reacted ")
_edited = re.compile(r"\s*\(edited\)\s*$")

read = read_json


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events of an export's file, or of one delivery."""
    if at(payload, "object") == "instagram":
        parts = [one for entry in list_at(payload, "entry") for one in list_at(entry, "messaging")]
        return gather(parts or [None], lambda one: _delivered(one, context))
    return _exported(payload, context)


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    del now  # nothing in it tells when it was signed
    sent = headers.get("x-hub-signature-256")
    return signatures.hexadecimal(sent, body, secret, prefix="sha256=")


# Exports.


def _exported(payload: Any, context: Context) -> Converted:
    found = list_at(payload, "messages")
    if not found:
        return gather([None], _nothing)
    try:
        fan, is_fan = _sides(payload, found, context)
    except Unfit as unfit:
        return Converted(skipped=(unfit.skipped,) * len(found))
    texts = _last_texts(found)
    seen: dict[str, int] = {}

    def convert(part: tuple[int, Any]) -> list[Event]:
        place, one = part
        if place in texts and texts[place] is None:
            raise Unfit("was edited: its last text counts", expected=True)
        return _export_events(one, texts.get(place), fan, is_fan, seen, context)

    # Newest first in the file; the ids of equal messages are told apart in the order of time.
    return gather(list(reversed(list(enumerate(found)))), convert)


def _nothing(_part: Any) -> list[Event]:
    raise Unfit("is no export of Instagram's, or an empty one")


def _name(found: Any, *path: str) -> str | None:
    name = text_at(found, *path)
    return repaired(name) if name is not None else None


def _sides(payload: Any, found: list[Any], context: Context) -> tuple[str, frozenset[str]]:
    """The fan's id, and the names by which the fan writes."""
    names = {_name(one, "name") for one in list_at(payload, "participants")}
    names |= {_name(one, "sender_name") for one in found}
    others = {name for name in names if name is not None} - context.me
    if len(others) != 1:
        if len(names) == 2 and not context.me:
            raise Unfit("has two sides: say which is the creator's with --me")
        raise Unfit("is no conversation with one fan", expected=bool(context.me))
    folder = (text_at(payload, "thread_path") or "").rpartition("/")[2]
    return fan_of(folder or None, next(iter(others))), frozenset(others)


def _last_texts(found: list[Any]) -> dict[int, str | None]:
    """Of edited messages: the last text at the first one's place, None at the others'."""
    texts: dict[int, str | None] = {}
    stamps = [at(one, "timestamp_ms") for one in found]
    order = [place for place, stamp in enumerate(stamps) if isinstance(stamp, int)]
    order.sort(key=lambda place: stamps[place])
    latest: dict[str | None, list[int]] = {}
    for place in order:
        sender = text_at(found[place], "sender_name")
        text = text_at(found[place], "content")
        before = latest.setdefault(sender, [])
        if text is not None and _edited.search(repaired(text)):
            last = _edited.sub("", repaired(text))
            original = _original(last, place, before, found, stamps)
            texts[place if original is None else original] = last
            if original is not None:
                texts[place] = None
                continue
        before.append(place)
    return texts


def _original(
    last: str, place: int, before: list[int], found: list[Any], stamps: list[Any]
) -> int | None:
    """The newest earlier message of the same sender that is alike enough."""
    for earlier in reversed(before[-20:]):
        if stamps[place] - stamps[earlier] > EDIT_MS_MAX:
            return None
        text = _edited.sub("", repaired(text_at(found[earlier], "content") or ""))[:500]
        if text and SequenceMatcher(None, text, last[:500]).ratio() >= ALIKE_MIN:
            return earlier
    return None


def _export_events(
    found: Any,
    text: str | None,
    fan: str,
    is_fan: frozenset[str],
    seen: dict[str, int],
    context: Context,
) -> list[Event]:
    sender = _name(found, "sender_name")
    stamp = at(found, "timestamp_ms")
    if at(found, "is_unsent") is True:
        raise Unfit("was unsent", expected=True)
    if text is None:
        text = repaired(text_at(found, "content") or "")
    if text.startswith(_NOTICES):
        raise Unfit("is a notice of the app's: the like stands at its message", expected=True)
    attachments = [{"type": kind} for name, kind in _MEDIA for _ in list_at(found, name)]
    if at(found, "sticker") is not None:
        attachments.append({"type": "sticker"})
    if not text.strip():
        shared = at(found, "share")
        text = repaired(first(text_at(shared, "share_text"), text_at(shared, "link"), ""))
    first_text = repaired(text_at(found, "content") or "")
    name = made_id("instagram", sender or "", str(stamp), first_text)
    seen[name] = seen.get(name, 0) + 1
    event_id = name if seen[name] == 1 else f"{name}-{seen[name]}"
    when = moment(context, stamp)
    by = None if sender in is_fan else "creator"
    made = [message(fan, when, event_id, text, attachments, sender=by)]
    for one in list_at(found, "reactions"):
        actor = _name(one, "actor")
        made.append(
            build(
                "like",
                fan,
                when,
                f"reaction-{event_id}-{'fan' if actor in is_fan else 'creator'}",
                sender=None if actor in is_fan else "creator",
                refersTo=about(event_id, "message"),
                metadata={"contentType": "message"},
            )
        )
    return made


# Webhooks.


def _delivered(found: Any, context: Context) -> list[Event]:
    when = moment(context, at(found, "timestamp"))
    told = at(found, "message")
    echo = at(told, "is_echo") is True or text_at(found, "sender", "id") in context.me
    fan = fan_of(text_at(found, "recipient" if echo else "sender", "id"))
    sender = "creator" if echo else None
    if told is not None:
        event_id = id_of(text_at(told, "mid"))
        if at(told, "is_deleted") is True:
            target = about(event_id, "message")
            return [build("delete", fan, when, f"deleted-{event_id}", refersTo=target)]
        attachments = [
            {"type": _WEBHOOK_MEDIA.get(text_at(one, "type") or "", "file")}
            for one in list_at(told, "attachments")
        ]
        return [message(fan, when, event_id, text_at(told, "text"), attachments, sender=sender)]
    edit = at(found, "message_edit")
    if edit is not None:
        event_id = id_of(text_at(edit, "mid"))
        number = text_at(edit, "num_edit") or str(milliseconds(when, context.zone))
        text = text_at(edit, "text")
        edited = f"edit-{number}-{made_id(event_id)}"
        return [message(fan, when, edited, text, sender=sender, replaces=event_id)]
    reaction = at(found, "reaction")
    if reaction is not None:
        if text_at(reaction, "action") != "react":
            raise Unfit("takes a like back, which nobody can", expected=True)
        event_id = id_of(text_at(reaction, "mid"))
        return [
            build(
                "like",
                fan,
                when,
                f"reaction-{made_id(event_id)}-{sender or 'fan'}",
                sender=sender,
                refersTo=about(event_id, "message"),
                metadata={"contentType": "message"},
            )
        ]
    if any(at(found, name) is not None for name in ("read", "postback", "referral")):
        raise Unfit("says nothing of what a fan did", expected=True)
    raise Unfit("is an event that is not known")
