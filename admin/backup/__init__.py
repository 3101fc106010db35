"""Backups: what a system has to be put back from, as files that only its keyring opens.

    manifest.json   what there is, with sizes and checksums; written last: without it there is none
    database        `pg_dump` of one snapshot
    journal ...     a file for each topic that is kept (`TOPICS`)

The order of making it is what makes it consistent:

1. A snapshot of the database is taken, and with it the positions that the workers had reached.
2. `pg_dump` copies that snapshot, while everything goes on.
3. The logs are copied up to where they end then. [they have all that the positions stand on]

So nothing that was accepted is missing: what the workers had not read at the snapshot stands behind
the positions, in the journal and at the end of `interactions`, and is read again. Who was erased
since the snapshot is in the ledger, which is copied after it, and is erased again.

Logs are put back at the offsets that they had, because positions, histories and the ids of events
without one name them. What lay before is filled up and deleted at once (`logs`).

manifest   what a backup says of itself, and whether its files are as they were
database   the snapshot, `pg_dump` and `pg_restore`
logs       records of topics, out of Kafka and back
make       making one
put_back   putting it back
"""

from admin.backup.make import Made, back_up
from admin.backup.manifest import Manifest, read_manifest
from admin.backup.put_back import PutBack, checked, put_back

__all__ = [
    "Made",
    "Manifest",
    "PutBack",
    "back_up",
    "checked",
    "put_back",
    "read_manifest",
]
