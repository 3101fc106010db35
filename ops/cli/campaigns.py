"""`fanmemory campaigns`: preview a campaign, start it, watch it, stop it."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.clock import now_ms
from infra.postgres import Pool
from infra.settings import Settings
from ops.cli import options, pooled, print_json
from ops.cli.workflows import CREATOR, USER, WorkflowId
from ops.show import printable
from privacy.keys import Keyring
from schemas.campaigns import CampaignBudget, CampaignSummary
from schemas.errors import InvalidInput
from schemas.intents import parse_intent
from schemas.segments import FIELDS, parse_segment
from stores.workflows.intake import Intake, workflow_id
from stores.workflows.sealed import Vault
from stores.workflows.steering import Campaigns, Steering, WholeCampaign

T = TypeVar("T")

POLL_SECONDS = 0.5

CAMPAIGN = click.argument("campaign", type=WorkflowId())
MONEY = click.option("--money", type=Decimal, help="US dollars that all calls may cost together.")
TOKENS = click.option("--tokens", type=click.IntRange(0), help="Tokens that they may use together.")


@click.group()
def campaigns() -> None:
    """Write to all fans of a segment, each by a message of their own."""


@campaigns.command()
@CREATOR
@click.option(
    "--segment",
    "conditions",
    multiple=True,
    metavar="NAME=VALUE",
    help="A condition, such as level=high or minRevenue=100; may be repeated. None: all fans.",
)
@click.option("--instruction", required=True, help="What the messages are for.")
@click.option("--name", help="What people call it.")
@click.option("--send", is_flag=True, help="Approved drafts are sent; else they are the result.")
@click.option("--platform", default="onlyfans", show_default=True, help="Whose rules count.")
@click.option("--per-minute", type=click.IntRange(1, 600), help="Messages begun in a minute.")
@MONEY
@TOKENS
@click.option(
    "--more",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with a JSON object: offers, limits, language.",
)
@click.option("--wait", type=click.IntRange(0, 600), default=60, show_default=True, help="Seconds.")
@USER
@options.data
def preview(
    creator: str,
    conditions: tuple[str, ...],
    instruction: str,
    name: str | None,
    send: bool,
    platform: str,
    per_minute: int | None,
    money: Decimal | None,
    tokens: int | None,
    more: Path | None,
    wait: int,
    user: str,
    data: Path,
) -> None:
    """Show five drafts and what all would cost. The campaign begins with `start`.

    `fanmemory llm` has to run: it makes the drafts.
    """
    about: dict[str, Any] = {
        "segment": _segment(conditions),
        "instruction": instruction,
        "preview": True,
        "name": name,
        "perMinute": per_minute,
        "budget": _budget(money, tokens),
    }
    value = {
        "type": "campaign_execution",
        "userId": user,
        "creatorId": creator,
        "data": (_read(more) if more is not None else {})
        | {key: one for key, one in about.items() if one is not None},
        "sendToOnlyFans": send,
        "platforms": [platform],
        "intentId": uuid.uuid4().hex,
    }
    intent = parse_intent(msgspec.json.encode(value), now_ms())
    id = workflow_id(intent.creator_id, intent.intent_id or "")

    async def do(desk: "_Desk") -> WholeCampaign:
        async with desk.pool.acquire() as connection, connection.transaction():
            await Intake(desk.settings, desk.vault).write(connection, [intent])
        until = time.monotonic() + wait
        while True:
            whole = await desk.campaigns.whole(None, id)
            if whole.summary.state != "previewing" or time.monotonic() > until:
                return whole
            await asyncio.sleep(POLL_SECONDS)

    _print(_run(data, do))


@campaigns.command()
@CAMPAIGN
@options.data
def start(campaign: bytes, data: Path) -> None:
    """Let a campaign begin, with whoever is a member now."""
    _steer(data, campaign, lambda d: d.steering.start(None, campaign))


@campaigns.command()
@CAMPAIGN
@options.data
def pause(campaign: bytes, data: Path) -> None:
    """Begin, compose and send nothing more of it, until `resume`."""
    _steer(data, campaign, lambda d: d.steering.pause(None, campaign))


@campaigns.command()
@CAMPAIGN
@MONEY
@TOKENS
@options.data
def resume(campaign: bytes, money: Decimal | None, tokens: int | None, data: Path) -> None:
    """Let it go on, with another budget if one is given."""
    given = _budget(money, tokens)
    budget = None if given is None else msgspec.convert(given, CampaignBudget)
    _steer(data, campaign, lambda d: d.steering.resume(None, campaign, budget))


@campaigns.command()
@CAMPAIGN
@options.data
def stop(campaign: bytes, data: Path) -> None:
    """End it: what is not being sent already is not sent."""
    _steer(data, campaign, lambda d: d.steering.stop(None, campaign))


@campaigns.command()
@CAMPAIGN
@options.data
@options.as_json
def show(campaign: bytes, data: Path, as_json: bool) -> None:
    """Show where its members are, what it cost, and its preview."""
    whole = _run(data, lambda d: d.campaigns.whole(None, campaign))
    if as_json:
        print_json(msgspec.to_builtins(whole.summary))
    else:
        _print(whole)


@campaigns.command("list")
@click.option("--creator", metavar="ID", help="Only theirs.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True)
@options.data
@options.as_json
def list_(creator: str | None, limit: int, data: Path, as_json: bool) -> None:
    """Show campaigns, the newest first."""
    found, _ = _run(data, lambda d: d.campaigns.page(creator, None, limit))
    if as_json:
        print_json({"campaigns": msgspec.to_builtins(found)})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("campaign", "name", "state", "members", "sent", "since"):
        table.add_column(column, overflow="fold")
    for one in found:
        state = one.state + (f" ({one.reason})" if one.reason else "")
        name, counts = printable(one.name or ""), one.counts
        shown = (one.workflow_id, name, state, str(counts.members), str(counts.sent))
        table.add_row(*(Text(part) for part in (*shown, one.created_at[:19])))
    Console(highlight=False).print(table)


class _Desk:
    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.settings = settings
        self.pool = pool
        self.vault = Vault(Keyring.of(settings))
        self.steering = Steering(pool)
        self.campaigns = Campaigns(pool, self.vault)


def _run(data: Path, do: Callable[[_Desk], Awaitable[T]]) -> T:
    return pooled.run(data, lambda settings, pool: do(_Desk(settings, pool)))


def _steer(data: Path, campaign: bytes, word: Callable[[_Desk], Awaitable[None]]) -> None:
    async def do(desk: _Desk) -> CampaignSummary:
        await word(desk)
        return await desk.campaigns.summary(None, campaign)

    _print_summary(_run(data, do))


def _segment(conditions: tuple[str, ...]) -> dict[str, Any]:
    """Raises `InvalidInput`: a condition that is misspelt would mean everybody."""
    given = dict(one.partition("=")[::2] for one in conditions)
    unknown = given.keys() - {*FIELDS}
    if unknown or len(given) < len(conditions):
        raise InvalidInput("--segment", "must be NAME=VALUE, once each, of " + ", ".join(FIELDS))
    found: dict[str, Any] = msgspec.to_builtins(parse_segment(given))
    return found


def _budget(money: Decimal | None, tokens: int | None) -> dict[str, Any] | None:
    if money is None and tokens is None:
        return None
    return {"money": None if money is None else str(money), "tokens": tokens}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("--more", "must be a file with a JSON object")
    return found


def _print(whole: WholeCampaign) -> None:
    _print_summary(whole.summary)
    for one in whole.previews:
        draft = one.whole.drafts[-1] if one.whole.drafts else None
        why = f" ({one.whole.row.reason})" if one.whole.row.reason else ""
        flags = f"  flags: {' '.join(draft.flags)}" if draft is not None and draft.flags else ""
        fan = printable(one.fan_id or "erased")
        click.echo(f"to {fan}: {one.whole.row.state}{why}{flags}")
        for message in draft.body.messages if draft is not None and draft.body is not None else ():
            click.echo(f"  {printable(message)}")
    if whole.estimate is not None:
        cost = "" if whole.cost is None else f", ${whole.cost.least} to ${whole.cost.most}"
        click.echo(f"{whole.estimate} members now{cost}")


def _print_summary(one: CampaignSummary) -> None:
    why = f" ({one.reason})" if one.reason else ""
    name = f"  {printable(one.name)}" if one.name else ""
    click.echo(f"{one.workflow_id}  {one.state}{why}{name}")
    found = msgspec.to_builtins(one.counts)
    skipped = found.pop("skipped")
    parts = [f"{name} {count}" for name, count in found.items() if count or name == "members"]
    parts += [f"skipped {count} ({why})" for why, count in skipped.items()]
    click.echo("  " + ", ".join(parts))
    limits = [] if one.budget.money is None else [f"of ${one.budget.money}"]
    limits += [] if one.budget.tokens is None else [f"of {one.budget.tokens} tokens"]
    click.echo(f"  spent ${one.spent.money}, {one.spent.tokens} tokens {' '.join(limits)}".rstrip())
