"""From received to a draft or a result: what a worker writes of a workflow that it has claimed.

Each of these is one transaction that names the claim's epoch; a worker that lost its claim gets
`Fenced` and drops what it has. (What its calls cost is written all the same: `usage`.)
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from infra.failpoints import fail_point
from infra.postgres import Connection, Pool, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from privacy.subjects import Subject
from schemas.errors import BudgetExceeded, Fenced, SealBroken
from schemas.intents import Intent
from schemas.sending import AUTOMATIC
from schemas.workflows import TraceEvent
from stores import suppression
from stores.workflows import campaigns, holds, telling
from stores.workflows.ending import end
from stores.workflows.intake import newer_reply, supersede
from stores.workflows.rows import Workflow, own, save
from stores.workflows.sealed import Body, Vault, open_intent, seal_body, seal_intent
from stores.workflows.spending import Paid, paid
from stores.workflows.usage import settle_lost_of

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_drafts.sql")

FAILURES_MAX: Final = 5
"""Attempts that end without an outcome, until the workflow fails: it never goes round for ever."""
FAILURE_SECONDS: Final = 5.0
"""Before another attempt, times the attempts."""


class Begun(NamedTuple):
    """A workflow that is to be composed now."""

    intent: Intent
    subject: bytes | None
    sent: tuple[str, ...]
    """What was sent to its fan lately, the oldest first."""
    paid: Paid | None = None
    """What its fan has paid lately."""


class Draft(NamedTuple):
    """What was composed."""

    body: Body
    flags: tuple[str, ...]
    memory: int | None
    """Journal offset of the newest interaction that it was made from."""


class Composing:
    """Writes for workers."""

    def __init__(self, settings: Settings, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault
        self._quiet = timedelta(seconds=settings.reply_quiet_seconds)
        self._quiet_max = timedelta(seconds=settings.reply_quiet_seconds_max)

    async def begin(self, claimed: Workflow) -> Begun | None:
        """Open a claimed workflow. None when it is not to be composed now: it then waits, or has
        ended. Raises `Fenced`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            if row.state != "composing":
                raise Fenced("The workflow is not to be composed.")
            await settle_lost_of(connection, row)
            now = await connection.fetchval(_QUERIES.now)
            if row.deadline is not None and row.deadline <= now:
                await end(connection, self._vault, row, "expired", "deadline")
                return None
            if row.failures > FAILURES_MAX:
                await end(connection, self._vault, row, "failed", "attempts")
                return None
            return await self._open(connection, row, now)

    async def _open(self, connection: Connection, row: Workflow, now: datetime) -> Begun | None:
        try:
            sealer = await self._vault.sealer(connection, row.creator_id, row.subject)
            if sealer is None or row.intent is None:
                await end(connection, self._vault, row, "failed", "fan_unknown", scrub=True)
                return None
            intent = open_intent(sealer, row.workflow, row.intent)
            if intent.recipient_id is not None:
                return await self._open_for_fan(connection, row, intent, intent.recipient_id, now)
        except SealBroken:
            await end(connection, self._vault, row, "failed", "seal_broken", scrub=True)
            return None
        await self._started(connection, row)
        return Begun(intent, None, ())

    async def _open_for_fan(
        self, connection: Connection, row: Workflow, intent: Intent, fan_id: str, now: datetime
    ) -> Begun | None:
        subject = await self._vault.find(connection, row.creator_id, fan_id)
        if subject is None:
            await end(connection, self._vault, row, "failed", "fan_unknown", scrub=True)
            return None
        if await suppression.among(connection, self._vault.keyring, [(row.creator_id, fan_id)]):
            await end(connection, self._vault, row, "cancelled", "suppressed")
            return None
        if row.subject is None:
            # The fan's first message came behind the intent.
            sealer = await self._vault.sealer(connection, row.creator_id, subject.id)
            if sealer is None:
                await end(connection, self._vault, row, "failed", "fan_unknown", scrub=True)
                return None
            sealed = seal_intent(sealer, row.workflow, intent)
            row = replace(row, subject=subject.id, intent=sealed)
            await connection.execute(_QUERIES.belongs, row.workflow, row.subject, row.intent)
        sent = await holds.sent_texts(connection, subject)
        if row.type == "message_generation":
            if row.campaign is not None and not await self._lets(connection, row, subject, now):
                return None
            if await newer_reply(connection, row):
                await end(connection, self._vault, row, "superseded", "newer_intent")
                return None
            if row.campaign is None:
                row = await supersede(connection, self._vault, row)
            silence = await holds.silence(connection, subject, sent, now)
            if silence is not None:
                await end(connection, self._vault, row, "cancelled", f"silent_{silence.cause}")
                return None
            written = await holds.messages(connection, subject, sent)
            newest = next((one.time for one in written if one.by_fan), None)
            due = quiet_until(now, row.waiting_since, newest, self._quiet, self._quiet_max)
            if due is not None:
                waiting = row.moved("received", waits_for="quiet")
                await save(connection, waiting, due=due)
                return None
        await self._started(connection, row)
        return Begun(intent, subject.id, sent, await paid(connection, subject, now))

    async def _lets(
        self, connection: Connection, row: Workflow, subject: Subject, now: datetime
    ) -> bool:
        """Whether a campaign's message is to be composed now; else it waits, or has ended."""
        let = await campaigns.gate(connection, row)
        if let == "wait":
            await save(connection, row.moved("received", waits_for="campaign"))
            return False
        why = "stopped" if let == "stop" else None
        if why is None and row.send:
            if await campaigns.is_busy(connection, row):
                why = "busy"
            elif await holds.was_written_to(connection, subject, now):
                why = "written_to"
        if why is not None:
            await end(connection, self._vault, row, "cancelled", why)
        return why is None

    async def _started(self, connection: Connection, row: Workflow) -> None:
        if await connection.fetchval(_QUERIES.is_first_call, row.workflow):
            await telling.trace(connection, row, "workflow_started", priority=row.priority)

    async def expire(self, claimed: Workflow) -> None:
        """A draft that nobody has approved in time. Raises `Fenced`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            now = await connection.fetchval(_QUERIES.now)
            if row.deadline is not None and row.deadline <= now:
                await end(connection, self._vault, row, "expired", "deadline")
            else:
                await save(connection, row.moved(row.state, row.reason))

    async def wait(
        self, claimed: Workflow, waits_for: str, seconds: float, event: TraceEvent | None = None
    ) -> None:
        """Let go of it until then: nothing was wrong with it. Raises `Fenced`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            if event is not None:
                await telling.trace(connection, row, event, seconds=round(seconds, 3))
            await save(connection, row.moved(row.state, waits_for=waits_for), due_in=seconds)

    async def failed_once(self, claimed: Workflow) -> None:
        """An attempt ended without an outcome: another one, or the end. Raises `Fenced`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            failures = row.failures + 1
            if failures > FAILURES_MAX:
                await end(connection, self._vault, row, "failed", "attempts")
                return
            changed = row.moved(row.state, waits_for="retry", failures=failures)
            await save(connection, changed, due_in=FAILURE_SECONDS * failures)

    async def fail(self, claimed: Workflow, reason: str, event: TraceEvent | None = None) -> None:
        """Raises `Fenced`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            if event is not None:
                await telling.trace(connection, row, event, reason=reason)
            await end(connection, self._vault, row, "failed", reason)

    async def out_of_budget(self, claimed: Workflow, spent: BudgetExceeded) -> None:
        """A budget does not allow the next call. Raises `Fenced`.

        The campaign of a member's message is paused, and the message waits with it.
        """
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            of = {"scope": spent.scope} | ({"period": spent.period} if spent.period else {})
            await telling.trace(connection, row, "budget_exceeded", **of)
            if row.member is None:
                await end(connection, self._vault, row, "failed", "budget")
                return
            await campaigns.pause_for_budget(connection, row)
            await save(connection, row.moved("received", waits_for="campaign"))

    async def hand_over(self, claimed: Workflow, reason: str, body: Body | None = None) -> None:
        """A person has to answer: the AI is silent for this fan, and the workflow has ended."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            preview = row.campaign is not None and row.member is None
            if row.subject is not None and not preview:
                await holds.hand_off(connection, row.subject)
            if body is not None:
                row = await self._add(connection, row, Draft(body, (reason,), None), None)
            await end(connection, self._vault, row, "completed", reason, body=body)

    async def complete(self, claimed: Workflow, draft: Draft) -> None:
        """A result that nobody has to approve, because nothing is sent. Raises `Fenced`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            row = await self._add(connection, row, draft, None)
            fail_point("llm.before_complete")
            await end(connection, self._vault, row, "completed", body=draft.body)

    async def propose(self, claimed: Workflow, draft: Draft) -> bool:
        """A draft that is to be sent: to be approved by a person, or by a rule where one may.

        Whether a rule approved it. Raises `Fenced`.
        """
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            row = await self._add(connection, row, draft, None)
            await telling.trace(
                connection, row, "draft_ready", version=row.draft, flags=list(draft.flags)
            )
            rule = await connection.fetchrow(_QUERIES.auto_approval, row.creator_id, row.type)
            automatic = rule is not None and not draft.flags and row.platform in AUTOMATIC
            if automatic and rule is not None:
                place = await decide(connection, row, "auto_approve", rule["user_id"], None, None)
                row = row.moved("approved", approved=row.draft, place=place)
                await telling.trace(connection, row, "draft_approved", version=row.draft, rule=True)
                await save(connection, row, due_in=0.0)
            else:
                await save(connection, row.moved("awaiting_approval"))
            fail_point("llm.before_propose")
        return automatic

    async def _add(
        self, connection: Connection, row: Workflow, draft: Draft, user_id: str | None
    ) -> Workflow:
        return await add_draft(connection, self._vault, row, draft, user_id)


async def add_draft(
    connection: Connection,
    vault: Vault,
    row: Workflow,
    draft: Draft,
    user_id: str | None,
    distance: int | None = None,
) -> Workflow:
    """Write the next version; the caller saves the workflow. Raises `SealBroken` for a fan who was
    erased meanwhile: then the row is not the caller's any more either."""
    sealer = await vault.sealer(connection, row.creator_id, row.subject)
    if sealer is None:
        raise SealBroken("The fan was erased.")
    version = row.draft + 1
    await connection.execute(
        _QUERIES.add_draft,
        row.workflow,
        version,
        user_id,
        seal_body(sealer, row.workflow, version, draft.body),
        list(draft.flags),
        draft.memory,
        distance,
    )
    return replace(row, draft=version, flagged=bool(draft.flags))


async def decide(
    connection: Connection,
    row: Workflow,
    kind: str,
    user_id: str,
    reason: str | None,
    text: bytes | None,
) -> int:
    """Write a decision, with its text sealed; returns its number, which rises."""
    number: int = await connection.fetchval(
        _QUERIES.decide, row.workflow, row.draft, kind, user_id, reason, text
    )
    return number


def quiet_until(
    now: datetime,
    waiting_since: datetime,
    newest: datetime | None,
    quiet: timedelta,
    quiet_max: timedelta,
) -> datetime | None:
    """Until when a reply waits for more of the fan's messages; None: it is composed now.

    `newest` is the time of the fan's newest message. One that says to come from the future makes
    the reply wait no longer than any other.
    """
    last = waiting_since if newest is None else max(newest, waiting_since)
    due = min(last + quiet, waiting_since + quiet_max)
    return due if due > now else None
