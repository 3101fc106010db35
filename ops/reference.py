"""The tables of the docs that the code knows better: `make docs` rewrites them.

A page marks such a table by `<!-- name -->` … `<!-- /name -->`; a test holds every one equal to
what is written here.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from admin.topics import configuration
from infra.settings import Settings
from ops.cli import fanmemory
from privacy.holders import HOLDERS
from schemas.dead_letters import DeadLetter
from schemas.details import ATTACHMENTS_MAX, AttachmentType, Details, Origin, RefundReason
from schemas.errors import FanMemoryError
from schemas.events import (
    CONTENT_LENGTH_MAX,
    KINDS,
    PAID,
    REFERRING,
    Author,
    Format,
    Sender,
    Wire,
)
from schemas.html import HTML_LENGTH_MAX
from schemas.journal import JournalEntry, JournalRecord
from schemas.metadata import BYTES_MAX, DEPTH_MAX
from schemas.money import MINOR_MAX
from schemas.relationship import ID_LENGTH_MAX
from schemas.times import DAY_MS
from schemas.topics import TOPICS, UNLIMITED
from schemas.updates import MemoryUpdate

DOCS: Final = Path(__file__).parents[1] / "docs"
SHARED_OPTIONS: Final = ("--data", "--json", "--help")
"""Said once for all commands."""

_MARKED = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- /\2 -->\n)", re.DOTALL)


def settings_table() -> str:
    """Every setting: its variable, its default, its meaning."""
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        meaning = str(field.description).replace("|", "\\|")
        if field.annotation is SecretStr:
            meaning += f"; or in the file that `FANMEMORY_{name.upper()}_FILE` names"
        lines.append(f"| `FANMEMORY_{name.upper()}` | {_default(field.default)} | {meaning} |")
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        raise ValueError("a setting without a default can't be left out")
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        value = int(value)
    return f"`{value}`" if str(value) else "empty"


def commands_list() -> str:
    """Every command with what it does and its own options."""
    return "\n".join(_described(path, command) for path, command in leaves(fanmemory)) + "\n"


def leaves(
    group: click.Group, path: tuple[str, ...] = ("fanmemory",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that is not a group, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None:
            raise ValueError(f"{name} is listed and not there")
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def _described(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(path))
    arguments = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    shared = [name for name in SHARED_OPTIONS if any(name in option.opts for option in options)]
    usage = " ".join((*path, *(f"[{name}]" for name in shared), *arguments))
    text = " ".join((command.help or "").split())
    lines = [f"- `{usage}`: {text}"]
    own = [option for option in options if not set(option.opts) & set(SHARED_OPTIONS)]
    return "\n".join((*lines, *(f"  - {_option(option, context)}" for option in own)))


def _option(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    if record is None:
        raise ValueError(f"{option.name} has no help")
    usage, text = record
    return f"`{usage}`: {' '.join(text.split())}" if text else f"`{usage}`"


def topics_table() -> str:
    """Every topic as it is made."""
    lines = [
        "| Topic | Key | Value | Partitions | Kept | Largest record |",
        "|---|---|---|---|---|---|",
    ]
    for topic in TOPICS:
        if configuration(topic)["cleanup.policy"] != "delete":
            raise ValueError("docs/events.md says that no topic is compacted")
        days = topic.retention_ms / DAY_MS
        kept = "unlimited" if topic.retention_ms == UNLIMITED else f"{days:g} d"
        partitions = f"`FANMEMORY_{topic.partitions.upper()}`"
        lines.append(
            f"| `{topic.name}` | {topic.key} | {topic.value} | {partitions} | {kept} |"
            f" {topic.message_bytes_max:,} bytes |"
        )
    return "\n".join(lines) + "\n"


def holders_table() -> str:
    """Every place that holds something of a fan."""
    lines = [
        "| Where | What | Form | How long | What erasing does | What forgetting an event does |",
        "|---|---|---|---|---|---|",
    ]
    for one in HOLDERS:
        where = f"{one.kind} `{one.name}`"
        lines.append(
            f"| {where} | {one.holds} | {one.form} | {one.kept} | {one.erasure} |"
            f" {one.forgetting} |"
        )
    return "\n".join(lines) + "\n"


def errors_table() -> str:
    """Every error: what it says, and what to do."""
    lines = ["| Says | HTTP | What to do |", "|---|---|---|"]
    for error in _errors(FanMemoryError):
        says = (error.__doc__ or "").partition("\n")[0]
        lines.append(f"| {says} | {error.status} | {error.hint} |")
    return "\n".join(lines) + "\n"


def _errors(error: type[FanMemoryError]) -> Iterator[type[FanMemoryError]]:
    for child in error.__subclasses__():
        yield child
        yield from _errors(child)


def fields_table() -> str:
    """The public input, field by field, with its bounds."""
    length = f"1 to {ID_LENGTH_MAX} characters"
    person = f"{length}, none invisible, no space at the ends, no word that means nobody"
    bounds = {
        "fanId": person,
        "creatorId": person,
        "type": ", ".join(f"`{kind}`" for kind in KINDS),
        "timestamp": "RFC 3339 with a zone; `:60` is the next minute's first second",
        "content": f"at most {CONTENT_LENGTH_MAX:,} characters; needed and not blank in a note, and"
        " in a message without attachments",
        "amount": f"0 to {MINOR_MAX:,} minor units, written in major ones with no more digits than"
        f" the currency has; needed in {_listed(sorted(PAID))}",
        "metadata": f"object, at most {BYTES_MAX:,} bytes and {DEPTH_MAX} levels",
        "eventId": f"{length}, none a control character, not blank; the producer's own id",
        "sender": f"{_choices(Sender)}; `creator` in a note",
        "author": f"{_choices(Author)}: who wrote in the creator's name",
        "schemaVersion": "for the producer's own use",
        "origin": f"{_choices(Origin)}: whether a message was for this fan, for many, or nobody's",
        "attachments": f"of a message: at most {ATTACHMENTS_MAX} of"
        f" {{type: {_choices(AttachmentType)}, id?, price?}}",
        "format": f"{_choices(Format)}: of `content`, which is kept as text; HTML may have"
        f" {HTML_LENGTH_MAX:,} characters",
        "price": "of a message: what it costs to see it",
        "refersTo": "`{eventId, type?}` of what it was for or takes back; in"
        f" {_listed(sorted(REFERRING))}; needed in `delete`",
        "currency": "ISO 4217; without it `FANMEMORY_CURRENCY`",
        "sequence": "whole number: order among messages of one time",
        "replaces": "of a message or a note: the `eventId` of the one that it is an edit of",
        "reason": f"of a refund: {_choices(RefundReason)}",
    }
    lines = ["| Field | Needed | Bounds |", "|---|---|---|"]
    for field in msgspec.structs.fields(Wire):
        default = field.default if isinstance(field.default, str) else ""
        needed = "yes" if field.required else f"`{default}`" if default else ""
        lines.append(f"| `{field.encode_name}` | {needed} | {bounds[field.encode_name]} |")
    return "\n".join(lines) + "\n"


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in kinds)


def _choices(kind: Any) -> str:
    return ", ".join(f"`{choice}`" for choice in get_args(kind))


def struct_table(struct: type[msgspec.Struct]) -> str:
    """The fields of a record of ours, with what stands in its source: type, and meaning below."""
    source = _annotated(struct)
    lines = ["| Field | Type | Meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(struct):
        kind, meaning = source[field.name]
        lines.append(f"| `{field.encode_name}` | {kind.replace('|', 'or')} | {meaning} |")
    return "\n".join(lines) + "\n"


def _annotated(struct: type) -> dict[str, tuple[str, str]]:
    """Type and docstring of each field, from the class's source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(struct))).body[0]
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found: dict[str, tuple[str, str]] = {}
    for field, below in zip_longest(body, body[1:]):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            meaning = ""
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                meaning = " ".join(str(below.value.value).split())
            found[field.target.id] = ast.unparse(field.annotation), meaning
    return found


TABLES: Final[dict[str, Callable[[], str]]] = {
    "settings": settings_table,
    "commands": commands_list,
    "topics": topics_table,
    "errors": errors_table,
    "holders": holders_table,
    "fields": fields_table,
    "record": partial(struct_table, JournalRecord),
    "entry": partial(struct_table, JournalEntry),
    "details": partial(struct_table, Details),
    "deadletter": partial(struct_table, DeadLetter),
    "update": partial(struct_table, MemoryUpdate),
}


def rewritten(page: str) -> str:
    """A page with its tables as they have to be. Raises `KeyError` for an unknown table."""
    return _MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], page)


def tables_in(page: str) -> list[str]:
    """The names of a page's tables."""
    return [found[2] for found in _MARKED.finditer(page)]


def main() -> None:
    """Rewrite every page whose tables differ."""
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text("utf-8")
        fresh = rewritten(page)
        if fresh != page:
            path.write_text(fresh, "utf-8")
            click.echo(f"wrote {path.name}")


if __name__ == "__main__":
    main()
