"""Exit codes that say why one of our processes ended itself. A supervisor starts each again."""

from typing import Final

FAILED: Final = 1
"""An error that no retry helps: the log says which."""
STALLED: Final = 70
"""The watchdog: lag, and no movement (EX_SOFTWARE of sysexits.h)."""
