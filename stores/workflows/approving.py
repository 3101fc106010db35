"""What people decide about drafts, each decision with who, when and why.

Approving names a workflow and a version of its draft. What could not be sent is refused before it
is approved: the checks are those that stand in front of the send (`sending`), in one transaction
with the decision. Nothing that was approved is lost between the two: the row is due at once.
"""

import difflib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from infra.postgres import Connection, Pool, database_errors
from infra.sql import load_queries
from privacy.creators import Sealer
from privacy.subjects import Subject
from schemas.errors import DraftStale, FanMemoryError, InvalidInput, WorkflowConflict
from schemas.intents import IntentType
from schemas.sending import (
    DAY_MINUTES,
    PART_LENGTH_MAX,
    PARTS_MAX,
    WRITTEN_HOURS,
    night_ends,
)
from schemas.workflows import REJECT_REASONS
from stores.workflows import answers, campaigns, holds, telling
from stores.workflows.composing import Draft, add_draft, decide
from stores.workflows.ending import end
from stores.workflows.rows import Workflow, lock, save
from stores.workflows.sealed import Body, Vault, open_body, seal_text

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_drafts.sql")

TOGETHER_MAX: Final = 50
"""Drafts that may be approved in one request."""
TEXT_LENGTH_MAX: Final = 1_000
GONE: Final = "The fan was erased."


class Named(NamedTuple):
    """A draft, by workflow and version."""

    workflow: bytes
    version: int


class Approvals:
    """Decisions of people. `creator_id` is whose workflow it must be; None: an operator's word."""

    def __init__(self, pool: Pool, vault: Vault) -> None:
        self._pool = pool
        self._vault = vault

    async def approve(self, creator_id: str | None, draft: Named, user_id: str) -> Workflow:
        """Let a draft be sent. Approving what the same version was approved for changes nothing.

        Raises `WorkflowNotFound`, `WorkflowConflict`, and `DraftStale` for a draft that is not the
        newest version, or made before what was written since.
        """
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, draft.workflow, creator_id)
            if row.approved == draft.version and row.state in ("approved", "sending", "sent"):
                return row
            await self._ready(connection, row, draft.version)
            place = await decide(connection, row, "approve", user_id, None, None)
            approved = row.moved("approved", approved=draft.version, place=place)
            await telling.trace(connection, approved, "draft_approved", version=draft.version)
            await save(connection, approved, due_in=0.0)
            return approved

    async def approve_several(
        self, creator_id: str | None, drafts: Sequence[Named], user_id: str
    ) -> list[Workflow | FanMemoryError]:
        """Each by itself, in order: one that is refused stops no other."""
        found: list[Workflow | FanMemoryError] = []
        for draft in drafts:
            try:
                found.append(await self.approve(creator_id, draft, user_id))
            except (WorkflowConflict, InvalidInput) as error:
                found.append(error)
            except FanMemoryError as error:
                if error.retryable:
                    raise
                found.append(error)
        return found

    async def _ready(self, connection: Connection, row: Workflow, version: int) -> None:
        if row.state != "awaiting_approval":
            raise WorkflowConflict(f"The workflow is {row.state}: there is nothing to approve.")
        if version != row.draft:
            raise DraftStale
        now = await connection.fetchval(_QUERIES.now)
        if await holds.is_halted(connection, row.creator_id):
            raise WorkflowConflict("All sends stand still: `fanmemory workflows resume` ends it.")
        rule = await connection.fetchrow(_QUERIES.rule_of, row.creator_id)
        night = None if rule is None else night_ends(now, *tuple(rule)[:3])
        first = max(filter(None, (now, row.not_before, night)))
        if row.deadline is not None and first >= row.deadline:
            raise WorkflowConflict("It could not be sent before its deadline.")
        subject = (
            None if row.subject is None else await self._vault.subject(connection, row.subject)
        )
        if subject is None:
            raise WorkflowConflict(GONE)
        found = await connection.fetchrow(_QUERIES.draft_of, row.workflow, row.draft)
        if found is None or found["body"] is None:
            raise WorkflowConflict(GONE)
        body = open_body(Sealer.of(subject), row.workflow, row.draft, found["body"])
        if not body.messages[row.parts_sent :]:
            raise WorkflowConflict("The draft has nothing to send.")
        if row.campaign is not None:
            await self._let_by_campaign(connection, row, subject, now)
        sent = await holds.sent_texts(connection, subject)
        silence = await holds.silence(connection, subject, sent, now)
        if silence is not None:
            raise WorkflowConflict(
                f"The AI is silent for this fan ({silence.cause}) until {silence.until:%H:%M} UTC."
            )
        fresh = await holds.messages(connection, subject, sent, found["memory"])
        if fresh:
            raise DraftStale([one.event_id for one in fresh])

    async def _let_by_campaign(
        self, connection: Connection, row: Workflow, subject: Subject, now: datetime
    ) -> None:
        let = await campaigns.gate(connection, row)
        if let != "go":
            is_now = "is paused" if let == "wait" else "has ended"
            raise WorkflowConflict(f"The campaign {is_now}: nothing of it is sent.")
        if row.parts_sent == 0 and await holds.was_written_to(connection, subject, now):
            raise WorkflowConflict(f"The fan was written to in the last {WRITTEN_HOURS} hours.")

    async def reject(
        self, creator_id: str | None, draft: Named, user_id: str, reason: str, text: str | None
    ) -> Workflow:
        """End it unsent. Raises `InvalidInput` without a reason of the list, `WorkflowConflict`."""
        if reason not in REJECT_REASONS:
            raise InvalidInput("reason", "must be one of " + ", ".join(REJECT_REASONS))
        text = _text(text)
        if reason == "other" and text is None:
            raise InvalidInput("text", "is required when the reason is other")
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, draft.workflow, creator_id)
            if row.state not in ("awaiting_approval", "approved"):
                raise WorkflowConflict(f"The workflow is {row.state}: there is nothing to reject.")
            if draft.version != row.draft:
                raise DraftStale
            await answers.forget(connection, row.creator_id, row.subject)
            await self._decide(connection, row, "reject", user_id, reason, text)
            await telling.trace(connection, row, "draft_rejected", reason=reason)
            return await end(connection, self._vault, row, "cancelled", "rejected")

    async def edit(
        self,
        creator_id: str | None,
        draft: Named,
        user_id: str,
        messages: Sequence[str],
        memory: int | None = None,
    ) -> Workflow:
        """Put a person's words in the place of a draft's; that is a version of its own.

        `memory` is the journal offset of what the person has seen; without it the draft stays as
        old as it was. Raises `InvalidInput`, `WorkflowConflict` and `DraftStale`.
        """
        _check_messages(messages)
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, draft.workflow, creator_id)
            if row.state != "awaiting_approval":
                raise WorkflowConflict(f"The workflow is {row.state}: its draft can't be edited.")
            if draft.version != row.draft:
                raise DraftStale
            found = await connection.fetchrow(_QUERIES.draft_of, row.workflow, row.draft)
            sealer = await self._vault.sealer(connection, row.creator_id, row.subject)
            if sealer is None or found is None or found["body"] is None:
                raise WorkflowConflict(GONE)
            before = open_body(sealer, row.workflow, row.draft, found["body"])
            # What was sent already is not edited any more.
            after = (*before.messages[: row.parts_sent], *messages)
            if len(after) > PARTS_MAX:
                raise InvalidInput("messages", f"must be at most {PARTS_MAX}, with those sent")
            body = Body(
                after, before.result | {"messages": list(after)}, "\n".join(after), "person"
            )
            if memory is not None:
                known = await holds.newest(connection, row.subject) if row.subject else -1
                memory = min(memory, known)
            seen = max((at for at in (memory, found["memory"]) if at is not None), default=None)
            steps = distance("\n".join(before.messages), "\n".join(after))
            edited = Draft(body, ("edited",), seen)
            changed = await add_draft(connection, self._vault, row, edited, user_id, steps)
            await decide(connection, changed, "edit", user_id, None, None)
            await telling.trace(
                connection, changed, "draft_edited", version=changed.draft, distance=steps
            )
            await save(connection, changed.moved("awaiting_approval"))
            return changed

    async def cancel(self, creator_id: str | None, workflow: bytes, user_id: str) -> Workflow:
        """End it, unless it is being sent. Cancelling what was cancelled changes nothing."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, workflow, creator_id)
            if row.state == "cancelled":
                return row
            if row.ended or row.state in ("sending", "unknown"):
                raise WorkflowConflict(f"The workflow is {row.state}: it can't be cancelled.")
            if row.waits_for == "campaign" and row.campaign is None:
                raise WorkflowConflict("It is a campaign: stop it, and its messages end with it.")
            await decide(connection, row, "cancel", user_id, None, None)
            return await end(connection, self._vault, row, "cancelled", "cancelled")

    async def retry(self, creator_id: str | None, workflow: bytes, user_id: str) -> Workflow:
        """Compose it again, from the memory of then: after a failure, or instead of a draft."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, workflow, creator_id)
            if row.state not in ("failed", "expired", "awaiting_approval"):
                raise WorkflowConflict(f"The workflow is {row.state}: it can't be done again.")
            if row.parts_sent:
                raise WorkflowConflict("A part of it was sent: send a new intent for the rest.")
            if row.intent is None:
                raise WorkflowConflict("Its intent is not kept: send it again.")
            await answers.forget(connection, row.creator_id, row.subject)
            await decide(connection, row, "retry", user_id, None, None)
            deadline = None if row.state == "expired" else row.deadline
            again = row.moved(
                "received", deadline=deadline, approved=None, place=None, told=False, failures=0
            )
            await save(connection, again, due_in=0.0)
            return again

    async def _decide(
        self,
        connection: Connection,
        row: Workflow,
        kind: str,
        user_id: str,
        reason: str,
        text: str | None,
    ) -> None:
        sealer = await self._vault.sealer(connection, row.creator_id, row.subject)
        sealed = None if sealer is None else seal_text(sealer, row.workflow, text)
        await decide(connection, row, kind, user_id, reason, sealed)


def distance(before: str, after: str) -> int:
    """Characters inserted, deleted or replaced from one text to the other, or some more."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return sum(
        max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"
    )


def _check_messages(messages: Sequence[str]) -> None:
    if not 0 < len(messages) <= PARTS_MAX:
        raise InvalidInput("messages", f"must be 1 to {PARTS_MAX} texts")
    for text in messages:
        if not text.strip() or "\0" in text or len(text) > PART_LENGTH_MAX:
            reason = f"must each be 1 to {PART_LENGTH_MAX} characters, not all blank"
            raise InvalidInput("messages", reason)


def _text(text: str | None) -> str | None:
    if text is None or not text.strip():
        return None
    if len(text) > TEXT_LENGTH_MAX:
        raise InvalidInput("text", f"must be at most {TEXT_LENGTH_MAX} characters")
    return text


class Rule(NamedTuple):
    """How a creator wants sends to be done."""

    zone: str
    quiet_from: int | None
    """Minute of the day in `zone`."""
    quiet_until: int | None
    auto_approve: tuple[IntentType, ...]


async def put_rule(connection: Connection, creator_id: str, rule: Rule, user_id: str) -> None:
    """From now on. Raises `InvalidInput`."""
    try:
        ZoneInfo(rule.zone)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise InvalidInput("zone", "must be a time zone such as Europe/Berlin") from None
    for field, minute in (("quietFrom", rule.quiet_from), ("quietUntil", rule.quiet_until)):
        if minute is not None and not 0 <= minute < DAY_MINUTES:
            raise InvalidInput(field, "must be a time of day")
    if (rule.quiet_from is None) != (rule.quiet_until is None):
        raise InvalidInput("quietUntil", "is required with quietFrom, and only with it")
    await connection.execute(
        _QUERIES.put_rule,
        creator_id,
        rule.zone,
        rule.quiet_from,
        rule.quiet_until,
        list(rule.auto_approve),
        user_id,
    )
