"""All platforms by name."""

from typing import Final

from integrations import (
    fansly,
    generic,
    instagram,
    kofi,
    onlyfans,
    patreon,
    streamlabs,
    stripe,
    telegram,
    whatsapp,
)
from integrations.converted import Platform

PLATFORMS: Final[dict[str, Platform]] = {
    "fansly": fansly,
    "generic": generic,
    "instagram": instagram,
    "kofi": kofi,
    "onlyfans": onlyfans,
    "patreon": patreon,
    "streamlabs": streamlabs,
    "stripe": stripe,
    "telegram": telegram,
    "whatsapp": whatsapp,
}
DELIVERING: Final = {
    name: module for name, module in PLATFORMS.items() if name not in ("telegram", "whatsapp")
}
"""Those that post to a webhook; the others only have exports."""
