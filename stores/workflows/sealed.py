"""Who a workflow's texts are sealed for: its fan's relationship, or its creator.

Nothing is kept between two questions: a fan who was erased a moment ago has no key any more.
"""

from typing import Any, Final

import msgspec

from infra.postgres import Connection
from privacy.creators import Sealer, creator_sealer
from privacy.keys import Keyring
from privacy.subjects import Subject, Subjects
from schemas.intents import Intent, decode_intent, encode_intent

_INTENT: Final = b"workflow intent"
_DRAFT: Final = b"workflow draft"
_DECISION: Final = b"workflow decision"


class Body(msgspec.Struct, frozen=True):
    """What is sealed of a draft."""

    messages: tuple[str, ...]
    """That are sent, in order; none where there is nothing to be sent."""
    result: dict[str, Any]
    """The whole result of its type, as it is told."""
    content: str
    """What was written, as one text."""
    provider: str


class Vault:
    """Finds keys, seals and opens."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self._subjects = Subjects(keyring, 0)

    async def subject(self, connection: Connection, id: bytes) -> Subject | None:
        """None for one that was erased."""
        return (await self._subjects.lookup(connection, [id])).get(id)

    async def find(self, connection: Connection, creator_id: str, fan_id: str) -> Subject | None:
        """None for a fan of whom this creator's memory knows nothing."""
        who = (creator_id, fan_id)
        return (await self._subjects.find(connection, [who])).get(who)

    async def sealer(
        self, connection: Connection, creator_id: str, subject: bytes | None
    ) -> Sealer | None:
        """None when the fan was erased: then nothing of it can be opened, or written any more."""
        if subject is None:
            return await creator_sealer(connection, self.keyring, creator_id)
        found = await self.subject(connection, subject)
        return None if found is None else Sealer.of(found)


def seal_intent(sealer: Sealer, workflow: bytes, intent: Intent) -> bytes:
    return sealer.seal(encode_intent(intent), _INTENT, workflow)


def open_intent(sealer: Sealer, workflow: bytes, sealed: bytes) -> Intent:
    """Raises `SealBroken`."""
    return decode_intent(sealer.open(sealed, _INTENT, workflow))


def seal_body(sealer: Sealer, workflow: bytes, version: int, body: Body) -> bytes:
    return sealer.seal(_encode(body), _DRAFT, _version(workflow, version))


def open_body(sealer: Sealer, workflow: bytes, version: int, sealed: bytes) -> Body:
    """Raises `SealBroken`, also for another version's."""
    return _decode(sealer.open(sealed, _DRAFT, _version(workflow, version)))


def seal_text(sealer: Sealer, workflow: bytes, text: str | None) -> bytes | None:
    return None if text is None else sealer.seal(text.encode(), _DECISION, workflow)


def open_text(sealer: Sealer, workflow: bytes, sealed: bytes | None) -> str | None:
    """Raises `SealBroken`."""
    return None if sealed is None else sealer.open(sealed, _DECISION, workflow).decode()


def _version(workflow: bytes, version: int) -> bytes:
    return workflow + version.to_bytes(4, "big")


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Body).decode
