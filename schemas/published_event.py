"""InteractionEvent as its JSON Schema is published: the fields of what is parsed, with its bounds.

The parser takes an amount as it was written, so its type says nothing of numbers; and it checks
lengths by itself, with words of its own. What is published says both.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec

from schemas.details import ATTACHMENTS_MAX, AttachmentType, Kind
from schemas.events import Wire
from schemas.html import HTML_LENGTH_MAX
from schemas.relationship import ID_LENGTH_MAX

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_LENGTH_MAX)]
_Amount = Annotated[float, msgspec.Meta(ge=0, description="In major units.")]


class Attachment(msgspec.Struct, rename="camel"):
    type: AttachmentType
    id: _Id | int | None = None
    price: _Amount | None = None


class Reference(msgspec.Struct, rename="camel"):
    """Another event of the same relationship."""

    event_id: _Id
    type: Kind | None = None
    """Of the event meant; null: a message, or whatever else has that id."""


_TYPES: Final[dict[str, Any]] = {
    "fan_id": _Id,
    "creator_id": _Id,
    "event_id": _Id | None,
    "replaces": _Id | None,
    "content": Annotated[str, msgspec.Meta(max_length=HTML_LENGTH_MAX)] | None,
    "amount": _Amount | None,
    "price": _Amount | None,
    "refers_to": Reference | None,
    "attachments": Annotated[list[Attachment], msgspec.Meta(max_length=ATTACHMENTS_MAX)] | None,
}
"""What is published otherwise than it is parsed."""


def _fields() -> Iterator[Any]:
    for field in msgspec.structs.fields(Wire):
        kind = _TYPES.get(field.name, field.type)
        if field.required:
            yield field.name, kind
        else:
            yield field.name, kind, None if field.type is msgspec.Raw else field.default


InteractionEvent: Final = msgspec.defstruct(
    "InteractionEvent",
    _fields(),
    rename="camel",
    namespace={"__doc__": "Something between a fan and a creator; docs/events.md says more."},
)

Batch: Any = list[InteractionEvent]  # type: ignore[valid-type] # it is made, not written
"""What is appended at once."""
