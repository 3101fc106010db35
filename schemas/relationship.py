"""A relationship: one creator and one of their fans. All memory is kept per relationship."""

import re
from typing import Final
from unicodedata import normalize

import msgspec

from schemas.characters import has_hidden, without_joints
from schemas.errors import InvalidInput

Relationship = tuple[str, str]
"""(creatorId, fanId). Never logged."""

ID_LENGTH_MAX: Final = 255
NOBODY: Final = frozenset(
    (
        *("undefined", "null", "none", "nan", "[object object]", "true", "false", "0", "-1"),
        *("anonymous", "unknown"),
    )
)
"""What programs write where they know of nobody: many people would become one. In lower case."""

_plain: Final = re.compile("[!-~](?:[ -~]{0,253}[!-~])?").fullmatch
"""Nearly every id: printable ASCII without white space at its ends."""


def check_id(field: str, value: str) -> str:
    """The id of a fan or a creator in its normal form (NFC), in which ids are compared.

    Raises `InvalidInput` naming `field` unless it is 1 to 255 characters, none of them a control,
    bidirectional or invisible character, without white space at the ends, and no word that means
    nobody.
    """
    if _plain(value) is None:
        value = _unusual(field, value)
    if value.lower() in NOBODY:
        raise InvalidInput(field, "must name somebody: this word stands for nobody")
    return value


def _unusual(field: str, value: str) -> str:
    if not value or value.isspace():
        raise InvalidInput(field, "must not be blank")
    # What joins an emoji is seen as one picture; alone it would make two fans of one name.
    if has_hidden(value if value.isascii() else without_joints("", value)):
        raise InvalidInput(field, "must not contain control or invisible characters")
    value = normalize("NFC", value)
    if len(value) > ID_LENGTH_MAX:
        raise InvalidInput(field, f"must be at most {ID_LENGTH_MAX} characters")
    if value != value.strip():
        raise InvalidInput(field, "must not begin or end with white space")
    return value


_control: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def check_event_id(field: str, value: str) -> None:
    """Raise `InvalidInput` naming `field` unless it is 1 to 255 characters, not all blank, and none
    a control character or half a pair. A producer's own id is compared as it is."""
    if not value or value.isspace():
        raise InvalidInput(field, "must not be blank")
    if len(value) > ID_LENGTH_MAX:
        raise InvalidInput(field, f"must be at most {ID_LENGTH_MAX} characters")
    if _control(value):
        raise InvalidInput(field, "must not contain control characters")


class _Named(msgspec.Struct, rename="camel", gc=False):
    creator_id: str
    fan_id: str


_decode_named: Final = msgspec.json.Decoder(_Named).decode


def named_in(value: bytes | None) -> Relationship | None:
    """Whose record this is, whatever else is wrong with it; None where it names nobody."""
    try:
        named = _decode_named(value or b"")
        return check_id("creatorId", named.creator_id), check_id("fanId", named.fan_id)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InvalidInput):
        return None
