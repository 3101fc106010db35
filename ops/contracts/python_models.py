"""The models of `clients/python`, made from the contract of HTTP: one struct per schema.

What is answered is read tolerantly: fields that are not known are left out, and where the contract
has a few words to choose from, a newer service may say another; so there it is any text. What is
only sent is as strict as the contract.
"""

import keyword
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

HEAD: Final = '''"""What is sent and answered, made from the contract by `make contracts`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct
from msgspec import field as named

D = TypeVar("D")


class Enveloped(Struct, Generic[D], frozen=True, kw_only=True, rename="camel"):
    """An answer around what was asked for."""

    data: D
    correlation_id: str
    timestamp: datetime
    degraded: bool = False
'''
_ENVELOPE: Final = re.compile(r"DataOf(\w+?)(List)?").fullmatch
_BASES: Final = ("Struct", "frozen=True", "kw_only=True", "omit_defaults=True", 'rename="camel"')
_SIMPLE: Final[dict[str | None, str]] = {
    None: "Any",
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
}
_WIDTH: Final = 100


def models(document: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """The module's source; long lines are the formatter's. `told` are schemas beside those of the
    document: of what a stream says."""
    schemas = {**document["components"]["schemas"], **told}
    sent = _reached(schemas, _bodies(document, "requestBody"))
    answered = _reached(schemas, _bodies(document, "responses"))
    parts, aliases = [HEAD], []
    for name in sorted(schemas):
        if matched := _ENVELOPE(name):
            inner = f"list[{matched[1]}]" if matched[2] else matched[1]
            aliases.append(f"{name} = Enveloped[{inner}]")
        else:
            parts.append(_struct(name, schemas[name], strict=name in sent and name not in answered))
    return "\n\n".join(parts) + "\n\n" + "\n".join(aliases) + "\n"


def _bodies(document: Mapping[str, Any], of: str) -> Iterator[str]:
    for methods in document["paths"].values():
        for operation in methods.values():
            yield from _references(operation.get(of))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def _reached(schemas: Mapping[str, Any], names: Iterator[str]) -> set[str]:
    found: set[str] = set()
    left = [name for name in names if name in schemas]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += _references(schemas[name])
    return found


def _struct(name: str, schema: Mapping[str, Any], *, strict: bool) -> str:
    lines = [f"class {name}({', '.join(_BASES)}):"]
    if "description" in schema:
        lines += _docstring(schema["description"])
    needed = schema.get("required", ())
    for public, kind in schema.get("properties", {}).items():
        annotation = _kind(kind, strict=strict)
        default = ""
        if public not in needed:
            value = kind.get("default")
            default = repr(value)
            if value is None and not annotation.endswith("None"):
                annotation += " | None"
        lines.append(f"    {_field(public, annotation, default)}")
    return "\n".join(lines if len(lines) > 1 else [*lines, "    pass"])


def _docstring(text: str) -> list[str]:
    wrapped = textwrap.wrap(text, _WIDTH - 10)
    if len(wrapped) == 1:
        return [f'    """{wrapped[0]}"""', ""]
    return [f'    """{wrapped[0]}', *(f"    {line}" for line in wrapped[1:]), '    """', ""]


def _field(public: str, annotation: str, default: str) -> str:
    """One that Python has another use for gets a `_`."""
    name = re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", public)
    first, *more = name.split("_")
    if first + "".join(part.capitalize() for part in more) != public:
        raise ValueError(f"{public} is no name that msgspec makes of {name}")
    if not keyword.iskeyword(name):
        return f"{name}: {annotation}" + (f" = {default}" if default else "")
    given = f", default={default}" if default else ""
    return f'{name}_: {annotation} = named(name="{public}"{given})'


def _kind(schema: Mapping[str, Any], *, strict: bool) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        kinds = dict.fromkeys(_kind(one, strict=strict) for one in schema["anyOf"])
        return " | ".join(sorted(kinds, key=lambda kind: kind == "None"))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        if strict:
            return f"Literal[{', '.join(map(repr, values))}]"
        return type(values[0]).__name__
    if schema.get("format") == "date-time":
        return "datetime"
    kind = schema.get("type")
    if kind == "array":
        return f"list[{_kind(schema.get('items', {}), strict=strict)}]"
    if kind == "object":
        inner = schema.get("additionalProperties")
        of = _kind(inner, strict=strict) if isinstance(inner, dict) else "Any"
        return f"dict[str, {of}]"
    return _SIMPLE[kind]
