"""The parts of an export: what is told of one fan, in the order in which it is written."""

from typing import Any, Final, NamedTuple

VERSION: Final = 1


class Section(NamedTuple):
    """One part of the document, under a name of its own."""

    name: str
    value: Any
    """Whatever msgspec encodes; of a list each item comes as a part of its own (`Item`)."""


class Begin(NamedTuple):
    """A list begins, of `Item`s."""

    name: str


class Item(NamedTuple):
    """One item of the list that began last."""

    value: Any


class End(NamedTuple):
    """The list ends."""


Part = Section | Begin | Item | End
