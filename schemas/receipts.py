"""A receipt: what was erased or forgotten, what a look afterwards found, and what remains where.

It names nobody: subjects are random ids, which stood for a fan and stand for no one now. Whoever
has the creator's own record of the request (`receiptId`) knows whose receipt it is.
"""

from typing import Final, Literal

import msgspec

from schemas.times import Time

VERSION: Final = 1
ALGORITHM: Final = "Ed25519"


class _Part(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class Emptied(_Part, frozen=True):
    """A place whose content was deleted."""

    kind: Literal["table", "cache"]
    name: str
    deleted: int | None
    """Rows; null where none were counted."""
    found: int | None
    """By a look at it when the receipt was made: 0. Null where a look was not possible: for the
    cache, when it did not answer, or of an erasure that a release without such looks carried out.
    (The cache has confirmed to have forgotten before an erasure is complete.)"""


Form = Literal["sealed, its key is gone", "sealed under the keyring", "clear", "random ids"]


class Remains(_Part, frozen=True):
    """A place that is written once, or overwritten later: what of the fan may still stand there.

    The folders are those of a Postgres cluster: `base` has the tables' files, `pg_wal` the log.
    """

    kind: Literal["topic", "folder"]
    name: str
    form: Form
    until: Time | None
    """When it is gone at the latest; null: it stays, or nobody knows yet: a later receipt does."""


class Receipt(_Part, frozen=True):
    """What is signed, as canonical JSON (RFC 8785)."""

    version: Literal[1]
    receipt_id: str
    """The erasure's, or the forgetting's."""
    kind: Literal["erase", "forget"]
    """`forget`: of some events; the fan stands under another random id since, with what is left."""
    subjects: list[str]
    """Random ids that stood for the fan, and whose keys are destroyed: none if nothing was held,
    two if events were on their way."""
    requested: Time
    erased: Time
    """When what was held then was deleted: of an erasure with the request, in one transaction; of a
    forgetting when ingest had come to its order."""
    completed: Time
    """When everything that was on its way had been erased, too."""
    emptied: list[Emptied]
    remains: list[Remains]
    looked: Time
    """When the read back was made, and the receipt."""
    key_id: str
    algorithm: Literal["Ed25519"]
    events: int | msgspec.UnsetType = msgspec.UNSET
    """Of a forgetting: how many events were forgotten, a message with what it was edited to."""


class SignedReceipt(_Part, frozen=True):
    """A receipt, and its signature in base64."""

    receipt: Receipt
    signature: str


class ReceiptKey(_Part, frozen=True):
    """A public key that receipts are checked with."""

    key_id: str
    algorithm: Literal["Ed25519"]
    public_key: str
    """32 bytes in base64."""


class ReceiptKeys(_Part, frozen=True):
    """All that this system has signed with, the one of today first."""

    keys: list[ReceiptKey]
