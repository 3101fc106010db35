"""`fanmemory dlq`: what was refused, and why."""

import asyncio
import base64
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admin.dead_letters import held, pages, read_newest
from admin.retry import PAGE_LETTERS, Retried, retry
from infra.postgres import connecting, database_errors
from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.progress import Bar
from ops.importing import rereading
from ops.secrets import with_secrets
from ops.services import discover
from ops.show import printable
from privacy.keys import Keyring
from schemas.dead_letters import HEAD_BYTES_MAX, DeadLetter
from schemas.errors import SealBroken
from schemas.topics import DEAD_LETTERS
from stores.letters import LetterKeys, keys_of

CANT_OPEN = "its key is gone, the keyring lacks it, or the letter was altered"


@click.command()
@click.option(
    "--newest",
    "limit",
    type=click.IntRange(1, 10_000),
    default=20,
    show_default=True,
    help="How many, the newest last.",
)
@click.option("--reason", help="Only those whose field or reason holds these words.")
@click.option(
    "--retry", "retry_them", is_flag=True, help="Publish what is acceptable now; looks at all."
)
@click.option(
    "--as-new",
    is_flag=True,
    help="With --retry: conflicts too, under ids of their own.",
)
@click.option("--dry-run", is_flag=True, help="With --retry: only say what would be published.")
@click.option("--open", "open_them", is_flag=True, help="Show the refused values: personal data.")
@options.data
@options.as_json
def dlq(
    limit: int,
    reason: str | None,
    retry_them: bool,
    as_new: bool,
    dry_run: bool,
    open_them: bool,
    data: Path,
    as_json: bool,
) -> None:
    """Show what was refused, and why.

    The refused values are kept sealed; --open opens them with the keyring, to be corrected and
    emitted again. --retry publishes those that are acceptable now, as after an upgrade; deliveries
    of platforms that nobody could read are read again. What was published once is not offered
    another time, and nothing counts twice. What conflicts with a known event is left out, unless it
    is published --as-new.
    """
    if (as_new or dry_run) and not retry_them:
        raise click.UsageError("--as-new and --dry-run belong to --retry.")
    kafka = discover.with_kafka(data, Settings())

    def wanted(letter: DeadLetter) -> bool:
        return reason is None or reason in f"{letter.field}: {letter.reason}"

    settings = with_secrets(Settings(), data)
    if retry_them:
        keyring = Keyring.of(settings)
        asyncio.run(_retry(kafka, settings, keyring, wanted, as_new, dry_run, as_json))
        return
    opening = Keyring.of(settings) if open_them else None
    letters, total = asyncio.run(read_newest(kafka, limit))
    letters = [letter for letter in letters if wanted(letter)]
    keys = None
    if opening is not None:
        keys = asyncio.run(_keys(settings, opening, letters))
    if as_json:
        print_json({"total": total, "deadLetters": [describe(letter, keys) for letter in letters]})
    else:
        _show(letters, total, keys)


async def _retry(
    kafka: Settings,
    settings: Settings,
    keyring: Keyring,
    wanted: Callable[[DeadLetter], bool],
    as_new: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    total = await held(kafka)
    with Bar("reading" if dry_run else "publishing", hidden=as_json) as bar:
        bar.begin(total)
        async with aclosing(pages(kafka, PAGE_LETTERS)) as letters:
            retried = await retry(
                *(settings, letters, keyring, rereading(keyring)),
                wanted=wanted,
                as_new=as_new,
                dry_run=dry_run,
                progress=bar.advance,
            )
    _report(retried, total, dry_run, as_json)


async def _keys(settings: Settings, keyring: Keyring, letters: list[DeadLetter]) -> LetterKeys:
    async with connecting(settings.postgres_url) as connection, database_errors():
        return await keys_of(connection, keyring, letters)


def describe(letter: DeadLetter, keys: LetterKeys | None) -> dict[str, object]:
    """One dead letter for machines; with its keys its value, as text where it is text."""
    told: dict[str, object] = {
        "source": letter.source,
        "field": letter.field,
        "reason": letter.reason,
        "refusedAt": letter.refused_at,
        "length": letter.length,
        "digest": letter.digest,
    }
    if keys is None:
        return told
    named = keys.about(letter.key, letter.about, letter.source)
    if named is not None:
        told |= msgspec.to_builtins(named)
    try:
        value = keys.open(letter)
    except SealBroken:
        return told | {"error": CANT_OPEN}
    try:
        return told | {"value": None if value is None else value.decode()}
    except UnicodeDecodeError:
        return told | {"valueBase64": base64.b64encode(value or b"").decode()}


def _report(retried: Retried, total: int, dry_run: bool, as_json: bool) -> None:
    refused = retried.refused.most_common()
    reasons = sorted(retried.reasons.items(), key=lambda item: (-item[1].letters, item[0]))
    if as_json:
        print_json(
            {
                "total": total,
                "lookedAt": retried.looked_at,
                "publishedBefore": retried.before,
                "acceptable": retried.acceptable,
                "published": retried.published,
                "reasons": [one._asdict() | asdict(seen) for one, seen in reasons],
                "stillRefused": [one._asdict() | {"count": count} for one, count in refused],
                "conflicts": retried.conflicts,
                "lost": retried.lost,
            }
        )
        return
    table = Table(box=None, pad_edge=False)
    for column in ("letters", "acceptable"):
        table.add_column(column, justify="right")
    table.add_column("were refused because", overflow="fold")
    for one, seen in reasons:
        shown = Text(f"{one.field}: {one.reason}")
        table.add_row(f"{seen.letters:,}", f"{seen.acceptable:,}", shown)
    Console(highlight=False).print(table)
    if dry_run:
        click.echo(f"{retried.acceptable:,} would be published; nothing is")
    else:
        click.echo(f"{retried.published:,} published again")
    if retried.before:
        click.echo(f"{retried.before:,} letters were published before")
    for one, count in refused:
        click.echo(f"{count:,} still refused: {one.field}: {one.reason}")
    if retried.conflicts:
        click.echo(f"{retried.conflicts:,} conflict with a known event; --as-new publishes them")
    if retried.lost:
        click.echo(f"{retried.lost:,} can't be: not whole, or the keyring lacks their key")


def _show(letters: list[DeadLetter], total: int, keys: LetterKeys | None) -> None:
    console = Console()
    if not letters:
        console.print(f"nothing on {DEAD_LETTERS.name}", highlight=False)
        return
    table = Table(box=None, pad_edge=False)
    for column in ("refused", "source"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    for letter in letters:
        why = Text(f"{letter.field}: {letter.reason}", "red")
        if (letter.length or 0) > HEAD_BYTES_MAX:
            why.append(f" (the first {HEAD_BYTES_MAX:,} of {letter.length:,} bytes are kept)")
        if keys is not None:
            why.append("\n" + _value(letter, keys), "not dim default")
        table.add_row(letter.refused_at[:19].replace("T", " "), letter.source, why)
    console.print(table)
    if total > len(letters):
        console.print(Text(f"the newest {len(letters)} of {total:,}; --newest shows more", "dim"))


def _value(letter: DeadLetter, keys: LetterKeys) -> str:
    try:
        value = keys.open(letter)
    except SealBroken:
        return CANT_OPEN
    return "no value" if value is None else printable(value.decode(errors="replace"))
