"""States of tests, opened and sealed again as only who has the keyring can."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from privacy.keys import Keyring
from privacy.subjects import Subject, subject_of
from schemas.random_ids import id_text
from schemas.relationship import Relationship
from stores.generations import schema_name
from stores.sealing import open_state, seal_state
from stores.states import StateRow


class Kept(NamedTuple):
    """What a generation has of one fan."""

    fan: Subject
    version: int
    document: bytes


async def opened_states(
    executor: Any, keyring: Keyring, generation: int = 1
) -> dict[Relationship, Kept]:
    """Everybody of a generation; `executor` has a `fetch`."""
    rows = await executor.fetch(
        "SELECT s.subject, s.creator_id, s.fan_id, s.kek, s.wrapped_key,"
        " (SELECT state <> 'bound' FROM key_binding), f.version, f.state"
        f" FROM {schema_name(generation)}.fan_state AS f JOIN subject AS s USING (subject)"
    )
    found = {}
    for id, *whose, version, state in rows:
        fan = subject_of(keyring, (getattr(id, "bytes", id), *whose))
        document = open_state(fan.cipher, fan.id, generation, state)
        found[fan.creator_id, fan.fan_id] = Kept(fan, version, document)
    return found


async def put_state(
    executor: Any, of: Kept, document: bytes, *, version: int = 0, generation: int = 1
) -> None:
    """Another document in a fan's place, sealed as a writer of ours would."""
    await executor.fetch(
        f"UPDATE {schema_name(generation)}.fan_state SET state = $2, version = $3"
        " WHERE subject = $1::text::uuid",
        id_text(of.fan.id),
        seal_state(of.fan.cipher, of.fan.id, generation, document),
        version or of.version,
    )


async def change_state(
    executor: Any, keyring: Keyring, who: Relationship, how: Callable[[bytes], bytes]
) -> None:
    """Change the document of a fan of the first generation."""
    of = (await opened_states(executor, keyring))[who]
    await put_state(executor, of, how(of.document))


def with_revenue(document: bytes, revenue: int) -> bytes:
    """The same state with other revenue, in cents of its currency."""
    state = msgspec.json.decode(document)
    state["engagement"]["revenue"] = revenue
    return msgspec.json.encode(state)


_COLUMNS: Final = ", ".join((*StateRow._fields, "indexed_version"))
COPY_STATES: Final = f"INSERT INTO g2.fan_state ({_COLUMNS}) SELECT {_COLUMNS} FROM g1.fan_state"
"""All states of the first generation into the second."""
