"""`metadata.fact` of a note: a fact about the fan as a person says it is, or is not.

| `metadata.fact` | Says |
|---|---|
| `{"kind": "place", "value": "Lisbon"}` | it is so |
| `{"kind": "place", "value": "Lisbon", "wrong": true}` | it is not, whatever was read |
| `{"kind": "place", "value": null}` | nothing that was told of this kind so far counts any more |
"""

import re
from typing import Any, Final, get_args

from schemas.characters import has_hidden
from schemas.details import StatedFact
from schemas.errors import InvalidInput
from schemas.text_features import FACT_VALUE_LENGTH_MAX, FactKind

FACT: Final = "fact"
KINDS: Final[tuple[FactKind, ...]] = get_args(FactKind)

_is_birthday: Final = re.compile("(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])").fullmatch


def stated_in(metadata: dict[str, Any] | None) -> StatedFact | None:
    """What a note says, if anything. Raises `InvalidInput` for what can't be a fact."""
    given = (metadata or {}).get(FACT)
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidInput("metadata.fact", "must be an object of kind, value and wrong")
    kind, value, wrong = given.get("kind"), given.get("value"), given.get("wrong", False)
    if kind not in KINDS:
        raise InvalidInput("metadata.fact.kind", f"must be one of {', '.join(KINDS)}")
    if not isinstance(wrong, bool):
        raise InvalidInput("metadata.fact.wrong", "must be true or false")
    if value is None:
        if wrong:
            raise InvalidInput("metadata.fact.value", "is required to say that it is wrong")
        return StatedFact(kind)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput("metadata.fact.value", "must be a non-blank string, or null")
    value = value.strip()
    if len(value) > FACT_VALUE_LENGTH_MAX or has_hidden(value) is not None:
        raise InvalidInput(
            "metadata.fact.value",
            f"must be at most {FACT_VALUE_LENGTH_MAX} characters, none of them invisible",
        )
    if kind == "birthday" and _is_birthday(value) is None:
        raise InvalidInput("metadata.fact.value", "must be MM-DD of a birthday")
    return StatedFact(kind, value, wrong)
