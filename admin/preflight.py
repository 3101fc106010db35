"""Preflight checks: refuse to start on stores that this code does not match, and say what to do.

Only what is there is judged. A store that is down is no reason not to start: the process waits for
it, and cached reads are answered meanwhile. One that answers and does not let us in is a reason: a
wrong password or certificate needs a person, who should hear of it at once.
"""

import asyncio
import contextlib
import logging
from typing import Final

from admin.ledger import catch_up
from infra.kafka import admin, named
from infra.postgres import REFUSALS, connect, database_errors, refusal
from infra.settings import Settings
from privacy.keys import Keyring
from privacy.subjects import require_keys
from schemas.errors import BrokerUnavailable, DatabaseUnavailable
from schemas.topics import JOURNAL
from stores import migrate, rotation
from stores.generations import remember_partitions, require_partitions

log = logging.getLogger(__name__)

LOOK_SECONDS_MAX: Final = 5.0


async def preflight(settings: Settings) -> None:
    """Raise `Misconfigured` when schema, view version, partition count or keyring don't fit."""
    try:
        async with database_errors():
            connection = await connect(settings.postgres_url, command_timeout=LOOK_SECONDS_MAX)
            try:
                await migrate.check(connection)
                partitions = await _journal_partitions(settings)
                if partitions:
                    await remember_partitions(connection, partitions)
                keyring = await asyncio.to_thread(Keyring.of, settings)
                await rotation.require_in_use(connection, keyring)
                if not settings.accept_missing_keys:
                    await require_keys(connection, keyring)
            finally:
                connection.terminate()
        if partitions:
            await _apply_ledger(settings)
        else:
            log.warning("the ledger of erasures can't be compared: no broker answers")
    except (DatabaseUnavailable, *REFUSALS) as error:
        refused = refusal(error)
        if refused is not None:
            raise refused from error


async def _apply_ledger(settings: Settings) -> None:
    """Before anything is served; a worker asks again before it folds."""
    try:
        erased = await catch_up(settings)
    except BrokerUnavailable:
        log.warning("the ledger of erasures can't be compared: no broker answers")
    else:
        if erased:
            log.error(
                "the database was restored, and knew fans who were erased: they are again",
                extra={"count": erased},
            )


async def _journal_partitions(settings: Settings) -> int:
    """How many the journal has; 0 when Kafka does not say. Raises `Misconfigured`."""
    partitions = 0
    with contextlib.suppress(BrokerUnavailable, TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS_MAX), admin(settings) as client:
            (described,) = await client.describe_topics([named(settings, JOURNAL.name)])
            partitions = len(described["partitions"])
    if partitions:
        require_partitions(partitions, settings.journal_partitions)
    return partitions
