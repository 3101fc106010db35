"""From approved to sent or unknown: one at a time per recipient, 45 s apart, in order.

The steps of one message, and what a crash after each costs:

1. In one transaction: the checks, the recipient's slot taken, the state `sending`. [the lease runs
   out, and it is `unknown`: nobody knows whether the call was made]
2. The adapter is called. [the same]
3. In one transaction: what became of it, the slot free from 45 s later on, and what was sent as an
   interaction in the outbox. [done]

`unknown` is never sent again by a machine. A person settles it, or the message itself, when it
comes back as an interaction of the creator's. Only what is proven unsent goes back to `approved`.

All times are Postgres'. The order of a recipient's line is that of the decisions.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import msgspec

from infra.failpoints import fail_point
from infra.postgres import Connection, Pool, database_errors
from infra.sql import load_queries
from privacy.creators import Sealer
from privacy.subjects import Subject
from schemas.errors import Fenced, WorkflowConflict
from schemas.sending import SPACING_SECONDS, night_ends
from schemas.times import from_datetime, render_time
from schemas.topics import INTERACTIONS
from stores import outbox, suppression
from stores.outbox import Outgoing
from stores.workflows import campaigns, holds, telling
from stores.workflows.composing import decide
from stores.workflows.ending import end
from stores.workflows.offering import offers_of
from stores.workflows.queue import SEND_LEASE_SECONDS
from stores.workflows.rows import Workflow, lock, own, save
from stores.workflows.sealed import Body, Vault, open_body, open_intent, seal_text

_QUERIES: Final = load_queries(Path(__file__).parents[1] / "sql" / "workflow_sending.sql")

Outcome = Literal["sent", "unsent", "unknown"]

UNSENT_MAX: Final = 5
"""Times that a message may prove to be unsent, until the workflow fails."""
UNSENT_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 15.0
"""Between the first looks for a message that may have been sent; twice as long after each."""
LOOK_SECONDS_MAX: Final = 3_600.0
LOOKED_HOURS: Final = 24
"""After that only a person settles it."""


class Part(NamedTuple):
    """One message that is to be sent, now."""

    workflow: bytes
    epoch: int
    number: int
    """Of the draft's messages, from 0 on."""
    began: datetime
    creator_id: str
    fan_id: str
    platform: str
    text: str

    @property
    def key(self) -> str:
        """The same for every attempt at this message, and for no other: `Idempotency-Key`."""
        return f"{self.workflow.hex()}-{self.number}"

    def __repr__(self) -> str:
        return "Part(…)"


class Sending:
    """Writes for workers, and settles what is unknown."""

    def __init__(self, pool: Pool, vault: Vault, adapter: str) -> None:
        """`adapter` is the name of what sends, for the record."""
        self._pool = pool
        self._vault = vault
        self._adapter = adapter

    async def begin(self, claimed: Workflow) -> Part | None:
        """Take the recipient's slot for the next message of an approved draft.

        None when it can't be sent now: it then waits and says why, is back to be approved, or has
        ended. Raises `Fenced`.
        """
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            part = await self._begin(connection, row)
            fail_point("send.before_begin")
        return part

    async def _begin(self, connection: Connection, row: Workflow) -> Part | None:
        now = await connection.fetchval(_QUERIES.sending_now)
        if row.deadline is not None and row.deadline <= now:
            await self._end(connection, row, "expired", "deadline")
            return None
        if row.approved is None or row.approved != row.draft or row.place is None:
            raise Fenced("Nobody has approved this version.")
        subject = (
            None if row.subject is None else await self._vault.subject(connection, row.subject)
        )
        found = await connection.fetchrow(_QUERIES.approved_draft, row.workflow, row.approved)
        if subject is None or found is None or found["body"] is None or row.intent is None:
            await end(connection, self._vault, row, "failed", "fan_unknown", scrub=True)
            return None
        who = (subject.creator_id, subject.fan_id)
        if await suppression.among(connection, self._vault.keyring, [who]):
            await self._end(connection, row, "cancelled", "suppressed")
            return None
        if row.campaign is not None:
            let = await campaigns.gate(connection, row)
            if let == "wait":
                await save(connection, row.moved("approved", waits_for="campaign"))
                return None
            if let == "stop":
                await self._end(connection, row, "cancelled", "stopped")
                return None
        if await self._has_to_wait(connection, row, now):
            return None
        sealer = Sealer.of(subject)
        body = open_body(sealer, row.workflow, row.approved, found["body"])
        sent = await holds.sent_texts(connection, subject)
        silence = await holds.silence(connection, subject, sent, now)
        if row.campaign is not None and row.parts_sent == 0:
            skip = None if silence is None else f"silent_{silence.cause}"
            if skip is None and await holds.was_written_to(connection, subject, now):
                skip = "written_to"
            if skip is not None:
                await self._end(connection, row, "cancelled", skip)
                return None
        why = "silent" if silence is not None else None
        if await holds.messages(connection, subject, sent, found["memory"]):
            why = "stale"
        if why is not None:
            await telling.trace(connection, row, "draft_returned", reason=why)
            back = row.moved("awaiting_approval", why, approved=None, place=None)
            await save(connection, back)
            await connection.execute(_QUERIES.wake_line, subject.id)
            return None
        if not await self._take_slot(connection, row, subject.id, now):
            return None
        began = await connection.fetchval(_QUERIES.sends, row.workflow, SEND_LEASE_SECONDS)
        await telling.trace(connection, row, "onlyfans_message_scheduled", part=row.parts_sent + 1)
        intent = open_intent(sealer, row.workflow, row.intent)
        return Part(
            row.workflow,
            row.epoch,
            row.parts_sent,
            began,
            row.creator_id,
            intent.recipient_id or "",
            row.platform,
            body.messages[row.parts_sent],
        )

    async def _has_to_wait(self, connection: Connection, row: Workflow, now: datetime) -> bool:
        if await holds.is_halted(connection, row.creator_id):
            await save(connection, row.moved("approved", waits_for="halt"))
            return True
        rule = await connection.fetchrow(_QUERIES.quiet_hours, row.creator_id)
        night = None if rule is None else night_ends(now, *rule)
        if night is not None:
            await save(connection, row.moved("approved", waits_for="quiet_hours"), due=night)
            return True
        if row.not_before is not None and row.not_before > now:
            waiting = row.moved("approved", waits_for="not_before")
            await save(connection, waiting, due=row.not_before)
            return True
        return False

    async def _take_slot(
        self, connection: Connection, row: Workflow, subject: bytes, now: datetime
    ) -> bool:
        await connection.execute(_QUERIES.make_slot, subject)
        slot = await connection.fetchrow(_QUERIES.lock_slot, subject)
        if slot is None:
            raise Fenced("The slot is gone: the fan was erased.")
        busy = slot["workflow"] is not None and slot["workflow"] != row.workflow
        if busy or await connection.fetchval(_QUERIES.has_before, subject, row.place):
            await save(connection, row.moved("approved", waits_for="line"))
            return False
        if slot["free_at"] > now:
            waiting = row.moved("approved", waits_for="spacing")
            await save(connection, waiting, due=slot["free_at"])
            return False
        await connection.execute(_QUERIES.take_slot, subject, row.workflow)
        return True

    async def finish(self, part: Part, outcome: Outcome, reason: str | None = None) -> Workflow:
        """What became of a message. Raises `Fenced` when that is settled already, or the fan was
        erased meanwhile."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, part.workflow, None)
            ours = row.state == "sending" and row.epoch == part.epoch
            # Its lease ran out, and it was said to be unknown: now it is known after all.
            late = row.state == "unknown" and row.send_began == part.began
            if not ours and not (late and outcome != "unknown"):
                raise Fenced("What became of this message is settled already.")
            row = await self._finish(connection, row, outcome, reason)
            fail_point("send.before_finish")
        return row

    async def lost(self, claimed: Workflow) -> None:
        """A lease of a send ran out: nobody knows what became of it. Raises `Fenced`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            await self._finish(connection, row, "unknown", "lost")

    async def _finish(
        self, connection: Connection, row: Workflow, outcome: Outcome, reason: str | None
    ) -> Workflow:
        if row.subject is None:
            raise Fenced("The fan was erased.")
        spacing = 0.0 if outcome == "unsent" else float(SPACING_SECONDS)
        await connection.execute(_QUERIES.free_slot, row.subject, row.workflow, spacing)
        if outcome == "sent":
            row = await self._sent(connection, row, tell=True)
        elif outcome == "unknown":
            row = row.moved("unknown", reason)
            await telling.trace(connection, row, "message_unknown", reason=reason)
            await save(connection, row, due_in=LOOK_SECONDS)
        elif row.failures + 1 >= UNSENT_MAX or row.state == "unknown":
            row = await end(connection, self._vault, row, "failed", reason or "unsent")
        else:
            failures = row.failures + 1
            row = row.moved("approved", reason, waits_for="retry", failures=failures)
            await save(connection, row, due_in=UNSENT_SECONDS * failures)
        await connection.execute(_QUERIES.wake_line, row.subject)
        return row

    async def _sent(self, connection: Connection, row: Workflow, *, tell: bool) -> Workflow:
        """One message went out: the next one of the draft, or the end. `tell` unless the memory
        knows of it already."""
        subject, body = await self._opened(connection, row)
        if tell:
            await outbox.write(
                connection, [await self._interaction(connection, row, subject, body)]
            )
        await telling.trace(connection, row, "message_sent", part=row.parts_sent + 1)
        row = replace(row, parts_sent=row.parts_sent + 1)
        if row.parts_sent < len(body.messages):
            more = row.moved("approved", waits_for="spacing")
            free_at = await connection.fetchval(_QUERIES.free_at, subject.id)
            await save(connection, more, due=free_at)
            return more
        return await end(connection, self._vault, row, "sent", body=body)

    async def _opened(self, connection: Connection, row: Workflow) -> tuple[Subject, Body]:
        subject = (
            None if row.subject is None else await self._vault.subject(connection, row.subject)
        )
        found = await connection.fetchrow(_QUERIES.approved_draft, row.workflow, row.approved)
        if subject is None or found is None or found["body"] is None:
            raise Fenced("The fan was erased.")
        body = open_body(Sealer.of(subject), row.workflow, found["version"], found["body"])
        return subject, body

    async def _interaction(
        self, connection: Connection, row: Workflow, subject: Subject, body: Body
    ) -> Outgoing:
        """What was sent, as an event; the relay puts the names in. The first message says what
        the whole draft offers and promises."""
        approver = await connection.fetchval(_QUERIES.approver, row.place)
        began = row.send_began or row.changed_at
        value: dict[str, Any] = {
            "eventId": f"fanmemory-{row.name}-{row.parts_sent}",
            "type": "message",
            "sender": "creator",
            "author": "ai",
            "content": body.messages[row.parts_sent],
            "timestamp": render_time(from_datetime(began)),
            "metadata": {
                "workflowId": row.name,
                "draftVersion": row.approved,
                "approvedBy": approver,
                "sentBy": self._adapter,
            },
        }
        if row.parts_sent == 0 and row.intent is not None:
            intent = open_intent(Sealer.of(subject), row.workflow, row.intent)
            said = offers_of(body, intent.data)
            value |= said.fields
            value["metadata"] |= said.metadata
        return Outgoing(INTERACTIONS.name, subject.id, None, _encode(value))

    async def look(self, claimed: Workflow) -> bool:
        """Whether a message that may have been sent has come back; then it is settled."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await own(connection, claimed.workflow, claimed.epoch)
            now = await connection.fetchval(_QUERIES.sending_now)
            began = row.send_began or row.changed_at
            try:
                subject, body = await self._opened(connection, row)
            except Fenced:
                await save(connection, row.moved("unknown", row.reason))
                return False
            text = body.messages[row.parts_sent]
            if await holds.returned(connection, subject, text, began) is not None:
                await self._sent(connection, row, tell=False)
                return True
            looks = row.failures + 1
            again = row.moved("unknown", row.reason, failures=looks)
            if now - began > timedelta(hours=LOOKED_HOURS):
                await save(connection, again)
            else:
                pause = min(LOOK_SECONDS * 2 ** min(looks, 10), LOOK_SECONDS_MAX)
                await save(connection, again, due_in=pause)
            return False

    async def resolve(
        self, creator_id: str | None, workflow: bytes, user_id: str, *, sent: bool, text: str | None
    ) -> Workflow:
        """A person has found out what became of an unknown message. Raises `WorkflowConflict`."""
        async with database_errors(), self._pool.acquire() as connection, connection.transaction():
            row = await lock(connection, workflow, creator_id)
            if row.state != "unknown":
                raise WorkflowConflict(f"The workflow is {row.state}: there is nothing to resolve.")
            sealer = await self._vault.sealer(connection, row.creator_id, row.subject)
            if sealer is None:
                raise WorkflowConflict("The fan was erased.")
            kind = "sent" if sent else "not_sent"
            await decide(
                connection, row, kind, user_id, None, seal_text(sealer, row.workflow, text)
            )
            if sent:
                return await self._sent(connection, row, tell=True)
            return await self._end(connection, row, "failed", "not_sent")

    async def _end(
        self,
        connection: Connection,
        row: Workflow,
        state: Literal["failed", "expired", "cancelled"],
        why: str,
    ) -> Workflow:
        ended = await end(connection, self._vault, row, state, why)
        if row.subject is not None:
            await connection.execute(_QUERIES.wake_line, row.subject)
        return ended


_encode = msgspec.json.Encoder().encode
