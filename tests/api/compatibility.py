"""What a contract breaks of a former one: clients that were right then must be right now.

Of what is sent to us nothing may be removed or narrowed, and nothing newly needed. Of what we
answer nothing may be removed, stop being always there, or be of another type; a new choice in an
enumeration may be answered.
"""

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]
LOWER, UPPER = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems")


def broken(old: Document, new: Document) -> list[str]:
    """Every difference that breaks somebody, by its place."""
    return list(_Comparison(old, new).paths())


class _Comparison:
    def __init__(self, old: Document, new: Document) -> None:
        self._old, self._new = old, new
        self._seen: set[tuple[str, bool]] = set()

    def paths(self) -> Iterator[str]:
        for path, methods in self._old["paths"].items():
            for method, old in methods.items():
                new = self._new["paths"].get(path, {}).get(method)
                place = f"{method.upper()} {path}"
                if new is None:
                    yield f"{place}: removed"
                    continue
                yield from self._parameters(place, old, new)
                old_body, new_body = (_content(one.get("requestBody")) for one in (old, new))
                for media, schema in old_body.items():
                    yield from self._sent(f"{place} body", schema, new_body.get(media, {}))
                if not old_body and new.get("requestBody", {}).get("required"):
                    yield f"{place} body: newly needed"
                for status, answer in old["responses"].items():
                    answers = _content(new["responses"].get(status))
                    for media, schema in _content(answer).items():
                        if media not in answers:
                            yield f"{place} {status}: removed"
                        else:
                            yield from self._told(f"{place} {status}", schema, answers[media])

    def _parameters(self, place: str, old: Document, new: Document) -> Iterator[str]:
        before, now = (
            {(one["in"], one["name"]): one for one in operation.get("parameters", ())}
            for operation in (old, new)
        )
        for key, one in before.items():
            if key not in now:
                yield f"{place} {key[1]}: removed"
            else:
                yield from self._sent(f"{place} {key[1]}", one["schema"], now[key]["schema"])
        for key, one in now.items():
            if one["required"] and not before.get(key, {}).get("required"):
                yield f"{place} {key[1]}: newly needed"

    def _sent(self, place: str, old: Document, new: Document) -> Iterator[str]:
        """All that could be sent can be."""
        yield from self._kinds(place, old, new, sent=True)

    def _told(self, place: str, old: Document, new: Document) -> Iterator[str]:
        """All that is answered is what could be."""
        yield from self._kinds(place, old, new, sent=False)

    def _kinds(self, place: str, old: Document, new: Document, *, sent: bool) -> Iterator[str]:
        old_kinds = dict(self._choices(self._old, old))
        new_kinds = dict(self._choices(self._new, new))
        more, fewer = (new_kinds, old_kinds) if sent else (old_kinds, new_kinds)
        if lost := sorted(fewer.keys() - more.keys()):
            yield f"{place}: {'no more' if sent else 'newly'} {', '.join(lost)}"
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
            yield "string", schema
        else:
            kinds = schema.get("type", "anything")
            for one in kinds if isinstance(kinds, list) else [kinds]:
                yield one, schema

    def _within(self, place: str, old: Document, new: Document, *, sent: bool) -> Iterator[str]:
        name = old.get("_name")
        if name is not None:
            if (name, sent) in self._seen:
                return
            self._seen.add((name, sent))
        if sent:
            yield from _bounds(place, old, new)
        before, now = old.get("enum"), new.get("enum")
        if now is not None and (before is None or (lost := set(before) - set(now))):
            if sent or before is not None:
                yield f"{place}: no more {sorted(lost) if before is not None else 'any text'}"
        elif before is not None and now is None and not sent:
            yield f"{place}: newly any text"
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
        for inner in ("items", "additionalProperties"):
            if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
                yield from self._kinds(f"{place}[]", old[inner], new[inner], sent=sent)


def _bounds(place: str, old: Document, new: Document) -> Iterator[str]:
    for bound in LOWER:
        if new.get(bound, 0) > old.get(bound, 0):
            yield f"{place}: {bound} raised"
    for bound in UPPER:
        if bound in new and new[bound] < old.get(bound, float("inf")):
            yield f"{place}: {bound} lowered"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{place}: another pattern"


def _content(one: Document | None) -> Document:
    found = (one or {}).get("content", {})
    return {media: content["schema"] for media, content in found.items()}
