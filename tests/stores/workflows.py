"""A desk for tests: one creator, their fans, and workflows on a real Postgres."""

import os
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from infra.clock import now_ms
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.seal import event_key, seal_entry
from privacy.subjects import Subject, Subjects
from schemas.intents import Intent, parse_intent
from schemas.journal import JournalEntry
from schemas.usage import Usage
from stores.workflows.approving import Approvals, Named
from stores.workflows.composing import Composing, Draft
from stores.workflows.intake import Intake, workflow_id
from stores.workflows.queue import Queue
from stores.workflows.reading import Reading
from stores.workflows.rows import Workflow, row_of
from stores.workflows.sealed import Body, Vault
from stores.workflows.sending import Part, Sending
from stores.workflows.usage import Accounts, Call, Spent

OPERATOR = "operator"


def body(*messages: str) -> Body:
    texts = messages or ("Hi, how was your day?",)
    return Body(texts, {"messages": list(texts)}, "\n".join(texts), "template")


def spent(cost: str = "0.002", *, outcome: str = "ok", tokens: int = 100) -> Spent:
    return Spent(Usage(input=tokens), Decimal(cost), "m", outcome, 5, "prices 1")


CALL = Call("template", "m", Decimal("0.01"), 1_000, "prices 1")


class Desk:
    """Everything that writes workflows, for one creator."""

    def __init__(self, settings: Settings, pool: Any) -> None:
        # Nobody waits for a silence unless the test is about it.
        self.settings = settings.model_copy(update={"reply_quiet_seconds": 0.0})
        self.pool = pool
        self.keyring = Keyring.of(settings)
        self.vault = Vault(self.keyring)
        self.queue = Queue(self.settings, pool)
        self.composing = Composing(self.settings, pool, self.vault)
        self.accounts = Accounts(self.settings, pool)
        self.approvals = Approvals(pool, self.vault)
        self.sending = Sending(pool, self.vault, "recording")
        self.reading = Reading(pool, self.vault)
        self._offset = 0

    def using(self, **changes: Any) -> "Desk":
        """The same with other settings."""
        made = Desk(self.settings, self.pool)
        made.settings = made.settings.model_copy(update=changes)
        made.queue = Queue(made.settings, self.pool)
        made.composing = Composing(made.settings, self.pool, self.vault)
        made.accounts = Accounts(made.settings, self.pool)
        made._offset = self._offset
        return made

    async def fan(self, name: str = "fan", creator: str = "creator") -> Subject:
        who = (creator, name)
        async with self.pool.acquire() as connection:
            return (await Subjects(self.keyring, 10).resolve(connection, [who]))[who]

    async def says(
        self, fan: Subject, text: str, *, sender: Any = "fan", author: Any = None, ago: int = 0
    ) -> int:
        """A message in the history, as projection puts it there; returns its offset."""
        id = os.urandom(8).hex()
        return await self.happens(
            fan, JournalEntry(id, "message", now_ms() - ago, sender, author, text)
        )

    async def happens(self, fan: Subject, entry: JournalEntry) -> int:
        """The same for any event."""
        self._offset += 1
        key = event_key(fan.key, entry.event_id, entry.kind)
        await self.pool.execute(
            'INSERT INTO interaction (subject, event_key, partition, "offset", time, message, body)'
            " VALUES ($1, $2, 0, $3, $4, $5, $6)",
            fan.id,
            key,
            self._offset,
            entry.time,
            entry.kind == "message",
            seal_entry(fan.cipher, fan.id, key, entry),
        )
        return self._offset

    async def intend(self, id: str = "i1", **fields: Any) -> bytes:
        """Write an intent; returns the id of its workflow."""
        value = {
            "type": "message_generation",
            "userId": OPERATOR,
            "creatorId": "creator",
            "data": {},
            "intentId": id,
        } | fields
        if value["type"] == "message_generation":
            value = {"recipientId": "fan", "sendToOnlyFans": True} | value
        intent: Intent = parse_intent(msgspec.json.encode(value), now_ms())
        async with self.pool.acquire() as connection, connection.transaction():
            await Intake(self.settings, self.vault).write(connection, [intent])
        return workflow_id(intent.creator_id, id)

    async def row(self, id: bytes) -> Workflow:
        return row_of(await self.pool.fetchrow("SELECT * FROM workflow WHERE workflow = $1", id))

    async def claim(self, id: bytes | None = None) -> Workflow:
        """The one that is due, or this one of those that are."""
        claimed = await self.queue.claim(1 if id is None else 100)
        (chosen,) = [one for one in claimed if id in (None, one.workflow)]
        await self.pool.execute(
            "UPDATE workflow SET leased = false, due = clock_timestamp(), epoch = epoch + 1"
            " WHERE workflow = ANY ($1::uuid[])",
            [one.workflow for one in claimed if one is not chosen],
        )
        return chosen

    async def proposed(
        self, id: str = "i1", *messages: str, flags: Sequence[str] = (), **fields: Any
    ) -> bytes:
        """A draft that waits to be approved, made from all that is known now."""
        made = await self.intend(id, **fields)
        claimed = await self.claim(made)
        assert await self.composing.begin(claimed) is not None
        draft = Draft(body(*messages), tuple(flags), self._offset)
        await self.composing.propose(claimed, draft)
        return made

    async def approved(self, id: str = "i1", *messages: str, **fields: Any) -> bytes:
        made = await self.proposed(id, *messages, **fields)
        await self.approvals.approve("creator", Named(made, 1), OPERATOR)
        return made

    async def begins(self, id: bytes | None = None) -> Part | None:
        return await self.sending.begin(await self.claim(id))

    async def sent(self, id: bytes | None = None) -> Part:
        """Send what is due, as an adapter does that has an answer."""
        part = await self.begins(id)
        assert part is not None
        await self.sending.finish(part, "sent")
        return part

    async def time_passes(self, seconds: float) -> None:
        """For everything that waits: as if so much later."""
        for table, column in (
            *(("workflow", name) for name in ("due", "deadline", "not_before", "waiting_since")),
            *(("workflow", name) for name in ("send_began", "created_at", "started_at")),
            *(("send_slot", "free_at"), ("hold", "until"), ("usage", "began_at")),
        ):
            await self.pool.execute(
                f"UPDATE {table} SET {column} = {column} - $1::float8 * interval '1 second'",
                seconds,
            )

    async def told(self, topic: str) -> list[dict[str, Any]]:
        """What the outbox has for a topic, in order."""
        rows = await self.pool.fetch(
            "SELECT value FROM outbox_pack WHERE topic = $1 ORDER BY id", topic
        )
        records = [one for row in rows for one in msgspec.msgpack.decode(row["value"])]
        return [msgspec.json.decode(record[2]) for record in records]

    async def events(self) -> list[str]:
        return [one["event"] for one in await self.told("workflow-traces")]
