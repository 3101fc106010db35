"""Every fault of the services, by its name. A new one is a class and a line here."""

from typing import Final

from lab.chaos.cache import Evicting, Flushed, Full, Older
from lab.chaos.disks import KafkaFull, PostgresFull
from lab.chaos.fault import Fault
from lab.chaos.kills import KafkaKilled, PostgresKilled, ValkeyKilled
from lab.chaos.logs import (
    InteractionsCut,
    InteractionsRecreated,
    InteractionsRegrown,
    JournalCut,
    JournalRecreated,
    JournalRegrown,
)
from lab.chaos.records import Bloated
from lab.chaos.restored import PostgresRestored
from lab.chaos.side import KeyMissing, UpdatesDeleted

_ALL: Final[tuple[type[Fault], ...]] = (
    KafkaKilled,
    PostgresKilled,
    ValkeyKilled,
    Flushed,
    Evicting,
    Full,
    Older,
    Bloated,
    UpdatesDeleted,
    KeyMissing,
    JournalCut,
    JournalRecreated,
    JournalRegrown,
    InteractionsCut,
    InteractionsRecreated,
    InteractionsRegrown,
    PostgresRestored,
    PostgresFull,
    KafkaFull,
)
FAULTS: Final[dict[str, type[Fault]]] = {fault.name: fault for fault in _ALL}
