"""Ids that are 16 random bytes, and their text: those of subjects, erasures and forgettings."""

from uuid import UUID


def id_text(id: bytes) -> str:
    """A random id as people and other systems write it: as a UUID."""
    digits = id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def id_bytes(text: str) -> bytes:
    """The id that such a text stands for; raises `ValueError` for what is none."""
    return UUID(text).bytes
