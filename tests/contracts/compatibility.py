"""What a contract breaks of a former one: who was right then must be right now.

Of what is sent to us nothing may be removed or narrowed, and nothing newly needed. Of what we
tell nothing may be removed, stop being always there, or be of another type; a new choice in an
enumeration may be told. The same holds for HTTP (OpenAPI) and for records (AsyncAPI), of which
those that only this system reads may change.
"""

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
ANYTHING = "anything"
LOWER = {"minimum": float("-inf"), "minLength": 0, "minItems": 0}
"""Lower bounds, and what is as good as none."""
UPPER = ("maximum", "maxLength", "maxItems")


def broken(old: Document, new: Document) -> list[str]:
    """Every difference that breaks somebody, by its place."""
    comparison = _Comparison(old, new)
    return list(comparison.paths() if "openapi" in old else comparison.records())


class _Comparison:
    def __init__(self, old: Document, new: Document) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, str | None, bool]] = set()

    def records(self) -> Iterator[str]:
        """Of topics: what is received is sent to us, what is sent we tell."""
        for name, channel in self._old["channels"].items():
            if any(tag["name"] == "internal" for tag in channel.get("tags", ())):
                continue
            new = self._new["channels"].get(name)
            if new is None or new["address"] != channel["address"]:
                yield f"{channel['address']}: removed"
                continue
            for message in channel["messages"]:
                place = f"{channel['address']} {message}"
                if message not in new["messages"]:
                    yield f"{place}: removed"
                    continue
                before, now = (
                    document["components"]["messages"][message]
                    for document in (self._old, self._new)
                )
                if before["contentType"] != now["contentType"]:
                    yield f"{place}: another form"
                schemas = before["payload"], now["payload"]
                for action in ("receive", "send"):
                    was, is_ = (
                        _does(document, action, name) for document in (self._old, self._new)
                    )
                    if was and not is_:
                        yield f"{place}: no longer what this system {action}s"
                    if was:
                        yield from self._kinds(place, *schemas, sent=action == "receive")

    def paths(self) -> Iterator[str]:
        """Of HTTP."""
        for path, methods in self._old["paths"].items():
            for method, old in methods.items():
                new = self._new["paths"].get(path, {}).get(method)
                place = f"{method.upper()} {path}"
                if new is None:
                    yield f"{place}: removed"
                    continue
                yield from self._parameters(place, old, new)
                if scopes := sorted(_scopes(new) - _scopes(old)):
                    yield f"{place}: newly asks for {', '.join(scopes)}"
                old_body, new_body = (_content(one.get("requestBody")) for one in (old, new))
                for media, schema in old_body.items():
                    if media not in new_body:
                        yield f"{place} body: no more {media}"
                    else:
                        sent = new_body[media]
                        yield from self._kinds(f"{place} body", schema, sent, sent=True)
                if not old_body and new.get("requestBody", {}).get("required"):
                    yield f"{place} body: newly needed"
                for status, answer in old["responses"].items():
                    found = new["responses"].get(status)
                    if found is None:
                        yield f"{place} {status}: removed"
                        continue
                    for header in (
                        answer.get("headers", {}).keys() - found.get("headers", {}).keys()
                    ):
                        yield f"{place} {status} {header}: removed"
                    answers = _content(found)
                    for media, schema in _content(answer).items():
                        if media not in answers:
                            yield f"{place} {status}: no more {media}"
                        else:
                            told = answers[media]
                            yield from self._kinds(f"{place} {status}", schema, told, sent=False)

    def _parameters(self, place: str, old: Document, new: Document) -> Iterator[str]:
        before, now = (
            {(one["in"], one["name"]): one for one in operation.get("parameters", ())}
            for operation in (old, new)
        )
        for key, one in before.items():
            if key not in now:
                yield f"{place} {key[1]}: removed"
            else:
                schema = now[key]["schema"]
                yield from self._kinds(f"{place} {key[1]}", one["schema"], schema, sent=True)
        for key, one in now.items():
            if one["required"] and not before.get(key, {}).get("required"):
                yield f"{place} {key[1]}: newly needed"

    def _kinds(self, place: str, old: Document, new: Document, *, sent: bool) -> Iterator[str]:
        """`sent`: all that could be sent can be; else: all that is told is what could be."""
        old_kinds = dict(self._choices(self._old, old))
        new_kinds = dict(self._choices(self._new, new))
        more, fewer = (new_kinds, old_kinds) if sent else (old_kinds, new_kinds)
        lost = {kind for kind in fewer if kind not in more and not _covered(kind, more, sent=sent)}
        if lost:
            yield f"{place}: {'no more' if sent else 'newly'} {', '.join(sorted(lost))}"
        for kind in old_kinds.keys() & new_kinds.keys():
            yield from self._within(place, old_kinds[kind], new_kinds[kind], sent=sent)

    def _choices(self, document: Document, schema: Document) -> Iterator[tuple[str, Document]]:
        """The types that a schema allows, each with its part of it."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            schema = document["components"]["schemas"][name] | {"_name": name}
        if "anyOf" in schema:
            for one in schema["anyOf"]:
                yield from self._choices(document, one)
        elif "enum" in schema or "const" in schema:
            value = schema["const"] if "const" in schema else schema["enum"][0]
            yield {str: "string", bool: "boolean", int: "integer"}[type(value)], schema
        else:
            kinds = schema.get("type", ANYTHING)
            for one in kinds if isinstance(kinds, list) else [kinds]:
                yield one, schema

    def _within(self, place: str, old: Document, new: Document, *, sent: bool) -> Iterator[str]:
        name = old.get("_name")
        if name is not None:
            pair = (name, new.get("_name"), sent)
            if pair in self._seen:
                return
            self._seen.add(pair)
        yield from _values(place, old, new, sent=sent)
        if sent:
            yield from _bounds(place, old, new)
        if old.get("format") != new.get("format") and "format" in (new if sent else old):
            yield f"{place}: another format"
        yield from self._fields(place, old, new, sent=sent)
        for inner in ("items", "additionalProperties"):
            before, now = (one.get(inner) for one in (old, new))
            if isinstance(before, dict) or isinstance(now, dict):
                parts = (one if isinstance(one, dict) else {} for one in (before, now))
                yield from self._kinds(f"{place}[]", *parts, sent=sent)
        if sent and new.get("additionalProperties") is False is not old.get("additionalProperties"):
            yield f"{place}: no more fields of the sender's own"

    def _fields(self, place: str, old: Document, new: Document, *, sent: bool) -> Iterator[str]:
        fields = old.get("properties", {})
        for field, schema in fields.items():
            if field not in new.get("properties", {}):
                yield f"{place}.{field}: removed"
            else:
                found = new["properties"][field]
                yield from self._kinds(f"{place}.{field}", schema, found, sent=sent)
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for field in sorted(needs - needed if sent else (needed - needs) & fields.keys()):
            yield f"{place}.{field}: {'newly needed' if sent else 'no longer always there'}"


def _values(place: str, old: Document, new: Document, *, sent: bool) -> Iterator[str]:
    """Of an enumeration none may be lost; one that is told stays one, none is newly asked for."""
    before, now = (
        one.get("enum", [one["const"]] if "const" in one else None) for one in (old, new)
    )
    if before is None:
        if sent and now is not None:
            yield f"{place}: no more than {sorted(now)}"
    elif now is None:
        if not sent:
            yield f"{place}: newly anything"
    elif lost := sorted(set(before) - set(now)):
        yield f"{place}: no more {lost}"


def _covered(kind: str, by: Document, *, sent: bool) -> bool:
    """A whole number may be sent where any number may; whatever it is, it is anything."""
    return ANYTHING in by or (sent and kind == "integer" and "number" in by)


def _does(document: Document, action: str, channel: str) -> bool:
    """Whether this system does that with that channel."""
    return any(
        one["action"] == action and one["channel"]["$ref"] == f"#/channels/{channel}"
        for one in document["operations"].values()
    )


def _scopes(operation: Document) -> set[str]:
    """What a token must be good for; `a token` for one of any kind."""
    return {
        scope
        for one in operation["security"]
        for needs in one.values()
        for scope in (*needs, "a token")
    }


def _bounds(place: str, old: Document, new: Document) -> Iterator[str]:
    for bound, none in LOWER.items():
        if new.get(bound, none) > old.get(bound, none):
            yield f"{place}: {bound} raised"
    for bound in UPPER:
        if bound in new and new[bound] < old.get(bound, float("inf")):
            yield f"{place}: {bound} lowered"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{place}: another pattern"


def _content(one: Document | None) -> Document:
    found = (one or {}).get("content", {})
    return {media: content["schema"] for media, content in found.items()}
