"""Anything else, by a mapping: which of a payload's fields is which field of an event.

    {"rules": [{
      "when":   {"/event/type": "ChatMessage"},
      "each":   "/data/messages",
      "fields": {"type":      {"value": "message"},
                 "fanId":     "/user/id",
                 "eventId":   "/id",
                 "timestamp": "/created_at",
                 "amount":    {"at": "/amount_micros", "digits": 6}}}]}

A place is a JSON pointer (RFC 6901) into the payload, or into each element of the list at `each`.
The first rule whose `when` fits is used. A field is a place, `{"at": place}` with `digits` for
whole minor units or `map` for words (`{"map": {"gift": "tip"}}`), or `{"value": …}`. `timestamp`
takes every form of time, `amount` and `price` every form of money. `fanId`, `type`, `eventId` are
needed: a payload without them, and one that no rule fits, is left out with the reason.

- Natural id: what the mapping names. Amounts: major units, or minor ones with `digits`.
- Mass messages, media, edits, refunds, renewals, likes: what the mapping gives as `origin`,
  `attachments`, `replaces`, `type`, `refersTo`, `sender`.
- Signed: like Stripe, in `X-Fanmemory-Signature`.
"""

from collections.abc import Mapping
from typing import Any, Final

from integrations import signatures
from integrations.amounts import minor, money
from integrations.converted import NO_CONTEXT, Context, Converted, Event, Unfit, gather
from integrations.parts import build, message, read_json
from integrations.times import moment
from schemas.errors import InvalidInput

NATURAL_ID: Final = "what the mapping names as eventId"
SIGNATURE_HEADER: Final = "x-fanmemory-signature"

NEEDED: Final = ("fanId", "type", "eventId")
FIELDS: Final = frozenset(
    (*NEEDED, "timestamp", "content", "amount", "currency", "metadata", "sender", "author",
     "origin", "attachments", "format", "price", "refersTo", "replaces", "reason", "sequence")
)  # fmt: skip
"""Of the contract; `metadata`, `refersTo` and `attachments` are taken as they stand."""
_ABSENT: Final = {
    name: f"has nothing where the mapping looks for {name}" for name in (*NEEDED, "timestamp")
}
RULES_MAX: Final = 100
DIGITS_MAX: Final = 9

read = read_json


def check(mapping: Any) -> Mapping[str, Any]:
    """The mapping, if it is one. Raises `InvalidInput`, which names the part that is wrong."""
    rules = mapping.get("rules") if isinstance(mapping, dict) else None
    if not isinstance(rules, list) or not 0 < len(rules) <= RULES_MAX:
        raise InvalidInput("rules", f"must be a list of 1 to {RULES_MAX} rules")
    for place, rule in enumerate(rules):
        _check_rule(f"rules[{place}]", rule)
    found: Mapping[str, Any] = mapping
    return found


def _check_rule(name: str, rule: Any) -> None:
    if not isinstance(rule, dict) or not rule.keys() <= {"when", "each", "fields"}:
        raise InvalidInput(name, "must hold `fields`, and may hold `when` and `each`")
    fields, when, each = rule.get("fields"), rule.get("when", {}), rule.get("each", "")
    if not isinstance(fields, dict) or not isinstance(when, dict):
        raise InvalidInput(name, "must have objects as `fields` and `when`")
    for unknown in sorted(fields.keys() - FIELDS):
        raise InvalidInput(f"{name}.fields", f"{unknown[:40]!r} is no field of an event")
    for missing in sorted(set(NEEDED) - fields.keys()):
        raise InvalidInput(f"{name}.fields", f"must give {missing}")
    for pointer in (*when, each):
        _check_pointer(f"{name}.when" if pointer in when else f"{name}.each", pointer)
    for field, source in fields.items():
        _check_source(f"{name}.fields.{field}", source)


def _check_source(name: str, source: Any) -> None:
    if isinstance(source, str):
        _check_pointer(name, source)
        return
    if not isinstance(source, dict) or not source.keys() <= {"at", "value", "digits", "map"}:
        raise InvalidInput(name, "must be a place, or an object with `at` or `value`")
    if ("at" in source) == ("value" in source):
        raise InvalidInput(name, "must have either `at` or `value`")
    if "at" in source:
        _check_pointer(name, source["at"])
    digits = source.get("digits", 0)
    if isinstance(digits, bool) or not isinstance(digits, int) or not 0 <= digits <= DIGITS_MAX:
        raise InvalidInput(name, f"`digits` must be 0 to {DIGITS_MAX}")
    if not isinstance(source.get("map", {}), dict):
        raise InvalidInput(name, "`map` must be an object")


def _check_pointer(name: str, pointer: Any) -> None:
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise InvalidInput(name, "must be a JSON pointer such as /data/id")


def events(payload: Any, context: Context = NO_CONTEXT) -> Converted:
    """The events that the first fitting rule makes of a payload."""
    rules = (context.mapping or {}).get("rules", [])
    for rule in rules:
        if all(_at(payload, place) == wanted for place, wanted in rule.get("when", {}).items()):
            break
    else:
        return gather([None], _no_rule if rules else _no_mapping)
    found = _at(payload, rule.get("each", ""))
    parts = found if "each" in rule and isinstance(found, list) else [found]
    return gather(parts, lambda one: [_event(one, rule["fields"], context)])


def verify(headers: Mapping[str, str], body: bytes, secret: str, now: int) -> str | None:
    return signatures.timed(headers.get(SIGNATURE_HEADER), body, secret, now)


def _no_rule(_part: Any) -> list[Event]:
    raise Unfit("fits no rule of the mapping")


def _no_mapping(_part: Any) -> list[Event]:
    raise Unfit("has no mapping: give one with --mapping")


def _at(value: Any, pointer: str) -> Any:
    """What a JSON pointer names, or None."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and len(name) < 10:
            value = value[int(name)] if int(name) < len(value) else None
        else:
            return None
    return value


def _event(found: Any, fields: Mapping[str, Any], context: Context) -> Event:
    taken = {name: _taken(name, found, source) for name, source in fields.items()}
    for name in NEEDED:
        if not isinstance(taken[name], str) or not taken[name].strip():
            raise Unfit(_ABSENT[name])
    kind, fan, event_id = taken.pop("type"), taken.pop("fanId"), taken.pop("eventId")
    when = moment(context, taken.pop("timestamp", None))
    if "timestamp" in fields and _taken("timestamp", found, fields["timestamp"]) is None:
        raise Unfit(_ABSENT["timestamp"])
    if taken.get("amount") is not None:
        paid = money(taken["amount"], taken.get("currency"), context.currency)
        taken |= {"amount": paid.amount, "currency": paid.currency}
    if taken.get("price") is not None:
        taken["price"] = money(taken["price"]).amount
    if kind == "message":
        text, attachments = taken.pop("content", None), taken.pop("attachments", None)
        if attachments is not None and not isinstance(attachments, list):
            raise Unfit("has attachments that are no list")
        return message(fan, when, event_id, text, attachments, **taken)
    return build(kind, fan, when, event_id, **taken)


def _taken(name: str, found: Any, source: Any) -> Any:
    """The value of a field; ids and words as texts, a minor amount in major units."""
    if isinstance(source, dict) and "value" in source:
        return source["value"]
    place = source if isinstance(source, str) else source["at"]
    value = _at(found, place)
    if isinstance(source, dict):
        if "map" in source and isinstance(value, str | int):
            value = source["map"].get(str(value))
        if source.get("digits") and value is not None:
            value = minor(value, source["digits"])
    numeric = name in ("amount", "price", "timestamp", "sequence")
    if isinstance(value, int) and not isinstance(value, bool) and not numeric:
        return str(value)
    if name in ("content", "currency", "sender", "author", "origin", "format", "replaces"):
        return value if isinstance(value, str) and value else None
    return value
