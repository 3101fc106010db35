"""A relationship: one creator and one of their fans. All memory is kept per relationship."""

import re
from typing import Final

from schemas.errors import InvalidInput

Relationship = tuple[str, str]
"""(creatorId, fanId). Never logged."""

ID_LENGTH_MAX: Final = 128
_control: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def check_id(field: str, value: str) -> None:
    """Raise `InvalidInput` naming `field` unless it is 1 to 128 characters, not all blank, and none
    a control character or half a pair."""
    if not value or value.isspace():
        raise InvalidInput(field, "must not be blank")
    if len(value) > ID_LENGTH_MAX:
        raise InvalidInput(field, f"must be at most {ID_LENGTH_MAX} characters")
    if _control(value):
        raise InvalidInput(field, "must not contain control characters")
