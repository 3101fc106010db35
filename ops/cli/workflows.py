"""`fanmemory workflows`: what the LLM agent does, and what people decide about it."""

import getpass
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.postgres import Pool
from infra.settings import Settings
from ops.cli import options, pooled, print_json
from ops.show import printable
from privacy.keys import Keyring
from schemas.errors import InvalidInput, WorkflowNotFound
from schemas.intents import INTENT_TYPES
from schemas.workflows import REJECT_REASONS, STATES, State
from stores.workflows import holds
from stores.workflows.approving import Approvals, Named, Rule, put_rule
from stores.workflows.queue import Queue
from stores.workflows.reading import Reading, Whole
from stores.workflows.rows import Workflow
from stores.workflows.sealed import Vault
from stores.workflows.sending import Sending
from stores.workflows.telling import money
from stores.workflows.usage import Accounts, put_limit

T = TypeVar("T")

USER = click.option(
    "--as", "user", default=getpass.getuser, help="Who decides [default: your login]."
)
CREATOR = click.option("--creator", required=True, metavar="ID", help="Whose.")


class WorkflowId(click.ParamType):
    """32 hexadecimal digits."""

    name = "workflow"

    def convert(self, value: Any, param: Any, ctx: Any) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            found = bytes.fromhex(value)
        except ValueError:
            found = b""
        if len(found) != 16:
            self.fail("must be 32 hexadecimal digits, as `workflows list` shows them")
        return found


WORKFLOW = click.argument("workflow", type=WorkflowId())


@click.group()
def workflows() -> None:
    """Look after what the LLM agent writes and sends."""


@workflows.command("list")
@click.option("--creator", metavar="ID", help="Only theirs.")
@click.option("--state", type=click.Choice(STATES), help="Only those in it.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True)
@options.data
@options.as_json
def list_(creator: str | None, state: State | None, limit: int, data: Path, as_json: bool) -> None:
    """Show workflows, the newest first, without any text."""
    states: Sequence[State] = () if state is None else (state,)
    found, _ = _run(data, lambda d: d.reading.page(creator, states, None, limit))
    if as_json:
        print_json({"workflows": [_plain(one) for one in found]})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("workflow", "type", "state", "why", "version", "flags", "since"):
        table.add_column(column, overflow="fold")
    for one in found:
        why = one.reason or one.waits_for or ""
        shown = (one.workflow_id, one.type, one.state, why, str(one.draft_version))
        table.add_row(*shown, " ".join(one.flags), one.created_at[:19])
    Console(highlight=False).print(table)


@workflows.command()
@WORKFLOW
@options.data
def show(workflow: bytes, data: Path) -> None:
    """Show a workflow with its drafts and decisions."""
    whole = _run(data, lambda d: d.reading.whole(None, workflow))
    _print(whole)


@workflows.command()
@WORKFLOW
@click.option(
    "--version", type=click.IntRange(1), required=True, help="Of the draft that you read."
)
@USER
@options.data
def approve(workflow: bytes, version: int, user: str, data: Path) -> None:
    """Let a draft be sent."""
    _told(_run(data, lambda d: d.approvals.approve(None, Named(workflow, version), user)))


@workflows.command()
@WORKFLOW
@click.option(
    "--version", type=click.IntRange(1), required=True, help="Of the draft that you read."
)
@click.option("--reason", type=click.Choice(REJECT_REASONS), required=True)
@click.option("--text", help="More about it; required for other.")
@USER
@options.data
def reject(
    workflow: bytes, version: int, reason: str, text: str | None, user: str, data: Path
) -> None:
    """End a draft unsent."""
    draft = Named(workflow, version)
    _told(_run(data, lambda d: d.approvals.reject(None, draft, user, reason, text)))


@workflows.command()
@WORKFLOW
@USER
@options.data
def cancel(workflow: bytes, user: str, data: Path) -> None:
    """End a workflow, unless it is being sent."""
    _told(_run(data, lambda d: d.approvals.cancel(None, workflow, user)))


@workflows.command()
@WORKFLOW
@USER
@options.data
def retry(workflow: bytes, user: str, data: Path) -> None:
    """Compose it again, from the memory of now."""
    _told(_run(data, lambda d: d.approvals.retry(None, workflow, user)))


@workflows.command()
@WORKFLOW
@click.option("--sent/--not-sent", required=True, help="What you have found out.")
@click.option("--text", help="How.")
@USER
@options.data
def resolve(workflow: bytes, sent: bool, text: str | None, user: str, data: Path) -> None:
    """Say what became of a message of which nobody knew."""
    _told(_run(data, lambda d: d.sending.resolve(None, workflow, user, sent=sent, text=text)))


@workflows.command()
@CREATOR
@click.option("--fan", required=True, metavar="ID")
@click.option("--release", is_flag=True, help="Let the AI speak to this fan again.")
@USER
@options.data
def hold(creator: str, fan: str, release: bool, user: str, data: Path) -> None:
    """Keep the AI silent for a fan, for 12 hours."""

    async def do(desk: _Desk) -> None:
        async with desk.pool.acquire() as connection:
            subject = await desk.vault.find(connection, creator, fan)
            if subject is None:
                raise WorkflowNotFound("Fan not found")
            put = holds.release if release else holds.hold
            if not await put(connection, subject.id, user):
                raise WorkflowNotFound("Fan not found")

    _run(data, do)
    click.echo("released" if release else "held")


@workflows.command()
@click.option("--creator", default="", metavar="ID", help="Only theirs [default: everybody's].")
@USER
@options.data
def halt(creator: str, user: str, data: Path) -> None:
    """Stop all sends, until `resume`."""

    async def do(desk: _Desk) -> None:
        async with desk.pool.acquire() as connection:
            await holds.halt(connection, creator, user)

    _run(data, do)
    click.echo("halted")


@workflows.command()
@click.option("--creator", default="", metavar="ID", help="Only theirs [default: everybody's].")
@options.data
def resume(creator: str, data: Path) -> None:
    """Let sends go on; what grew stale meanwhile comes back to be approved."""

    async def do(desk: _Desk) -> int:
        async with desk.pool.acquire() as connection:
            return await holds.resume(connection, creator)

    click.echo(f"resumed; {_run(data, do)} waited")


@workflows.command()
@CREATOR
@click.option("--zone", default="UTC", show_default=True, help="Of the quiet hours.")
@click.option("--quiet", metavar="HH:MM-HH:MM", help="When nothing is sent.")
@click.option(
    "--auto-approve",
    type=click.Choice(INTENT_TYPES),
    multiple=True,
    help="Approve drafts without flags, on platforms that allow it.",
)
@USER
@options.data
def rule(
    creator: str, zone: str, quiet: str | None, auto_approve: Any, user: str, data: Path
) -> None:
    """Say how a creator wants sends to be done; replaces the rule before."""
    begins, ends = (None, None) if quiet is None else _minutes(quiet)

    async def do(desk: _Desk) -> None:
        async with desk.pool.acquire() as connection:
            made = Rule(zone, begins, ends, tuple(auto_approve))
            await put_rule(connection, creator, made, user)

    _run(data, do)
    click.echo("kept")


@workflows.command()
@click.argument("scope", type=click.Choice(("user", "creator")))
@click.argument("name")
@click.option("--period", type=click.Choice(("day", "month")), required=True)
@click.option("--money", "dollars", type=Decimal, required=True, help="US dollars.")
@click.option("--tokens", type=click.IntRange(0), required=True)
@options.data
def budget(scope: str, name: str, period: str, dollars: Decimal, tokens: int, data: Path) -> None:
    """Give a user or a creator a budget of their own."""

    async def do(desk: _Desk) -> None:
        async with desk.pool.acquire() as connection:
            await put_limit(connection, scope, name, period, dollars, tokens)

    _run(data, do)
    click.echo("kept")


@workflows.command()
@click.option("--creator", metavar="ID", help="Only theirs, with what it cost.")
@options.data
@options.as_json
def stats(creator: str | None, data: Path, as_json: bool) -> None:
    """Count workflows by state, and say how long the oldest wait."""

    async def do(desk: _Desk) -> dict[str, Any]:
        found: dict[str, Any] = {"states": await desk.reading.counts(creator)}
        if creator is not None:
            now = datetime.now(UTC)
            costs = await desk.accounts.costs(creator, now - timedelta(days=30), now)
            found["cost"] = {one.name: money(one.cost) for one in costs["type"]}
        else:
            waiting = await desk.queue.waiting()
            found["oldestSeconds"] = {one.state: round(one.oldest_seconds) for one in waiting}
        return found

    found = _run(data, do)
    if as_json:
        print_json(found)
        return
    for name, part in found.items():
        click.echo(name)
        for key, value in part.items():
            click.echo(f"  {key}  {value}")


class _Desk:
    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.pool = pool
        self.vault = Vault(Keyring.of(settings))
        self.approvals = Approvals(pool, self.vault)
        self.reading = Reading(pool, self.vault)
        self.sending = Sending(pool, self.vault, "person")
        self.accounts = Accounts(settings, pool)
        self.queue = Queue(settings, pool)


def _run(data: Path, do: Callable[[_Desk], Awaitable[T]]) -> T:
    return pooled.run(data, lambda settings, pool: do(_Desk(settings, pool)))


def _minutes(text: str) -> tuple[int, int]:
    try:
        begins, ends = (datetime.strptime(part, "%H:%M") for part in text.split("-"))
    except ValueError:
        raise InvalidInput("--quiet", "must be HH:MM-HH:MM") from None
    return begins.hour * 60 + begins.minute, ends.hour * 60 + ends.minute


def _told(row: Workflow) -> None:
    click.echo(f"{row.name} is {row.state}" + (f" ({row.reason})" if row.reason else ""))


def _plain(one: Any) -> dict[str, Any]:
    return {
        "workflowId": one.workflow_id,
        "type": one.type,
        "state": one.state,
        "reason": one.reason,
        "waitsFor": one.waits_for,
        "draftVersion": one.draft_version,
        "flags": list(one.flags),
        "createdAt": one.created_at,
    }


def _print(whole: Whole) -> None:
    console, row = Console(highlight=False), whole.row
    why = f" ({row.reason or row.waits_for})" if row.reason or row.waits_for else ""
    console.print(Text(f"{row.name}  {row.type}  {row.state}{why}"))
    for draft in whole.drafts:
        by = draft.user_id or (draft.body.provider if draft.body is not None else "erased")
        flags = f"  flags: {' '.join(draft.flags)}" if draft.flags else ""
        console.print(Text(f"version {draft.version} by {by}{flags}", "bold"))
        for message in draft.body.messages if draft.body is not None else ():
            console.print(Text(f"  {printable(message)}"))
    for one in whole.decisions:
        reason = f": {one.reason}" if one.reason else ""
        console.print(Text(f"{one.kind} of {one.version} by {printable(one.user_id)}{reason}"))
