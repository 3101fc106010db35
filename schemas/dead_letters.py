"""A dead letter: why a record of `interactions` was refused, and a sealed copy of it."""

import msgspec


class DeadLetter(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Value of a record on `interactions.dlq`; its key is the source position."""

    source: str
    """`topic-partition:offset` of the refused record."""
    field: str
    """Public path of the offending field; `$` for the record as a whole."""
    reason: str
    """What is wrong, without repeating the value."""
    refused_at: str
    """Kafka's time of the refused record: the same whenever ingest tries again."""
    kek: str
    """Id of the keyring's key that the copy is sealed under."""
    sealed: bytes | None
    """AES-256-GCM of the refused value (base64 in JSON); null for a record without a value."""


encode_dead_letter = msgspec.json.Encoder().encode
decode_dead_letter = msgspec.json.Decoder(DeadLetter).decode
