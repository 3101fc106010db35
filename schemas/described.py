"""JSON Schemas of our types as they are published: msgspec's own, with public names.

The published contracts are made of them, so what these say of a record is what is encoded and
decoded.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

_generic: Final = re.compile(r"([A-Za-z]+)_([A-Za-z]\w*?)_").fullmatch
_list_of: Final = re.compile(r"([A-Za-z]+)_list_(?:\w+\.)*(\w+?)__").fullmatch
_PUBLIC: Final = {"IntentWire": "ProductionWorkflowIntent"}
"""Names inside -> the names that others know."""


def described(types: Sequence[Any], ref_template: str) -> tuple[list[Any], dict[str, Any]]:
    """(one schema per type, the named schemas that they refer to, sorted by name)."""
    schemas, components = msgspec.json.schema_components(types, ref_template="{name}")
    named = {public_name(name): _published(one, ref_template) for name, one in components.items()}
    if len(named) < len(components):
        raise ValueError("two types are published under one name")
    return [_published(one, ref_template) for one in schemas], dict(sorted(named.items()))


def public_name(name: str) -> str:
    """`DataOfErasure` for `Data[Erasure]`, `DataOfJudgedList` for `Data[list[Judged]]`."""
    if matched := _list_of(name):
        return f"{matched[1]}Of{matched[2]}List"
    if matched := _generic(name):
        return f"{matched[1]}Of{matched[2]}"
    return _PUBLIC.get(name, name)


def _published(value: Any, ref_template: str) -> Any:
    """What msgspec made of a type, with public names, and docstrings as one line."""
    if isinstance(value, list):
        return [_published(one, ref_template) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _published(one, ref_template) for key, one in value.items() if key != "title"}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = ref_template.format(name=public_name(made["$ref"]))
    if isinstance(made.get("description"), str):
        made["description"] = " ".join(made["description"].split())
    return made
