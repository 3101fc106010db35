"""Fail points: named places where the fault suite ends a worker, to prove that no place is unsafe.

`FANMEMORY_FAIL_AT=NAME` ends the process, as kill -9 would, the first time it passes there.
"""

import os
import signal
from typing import Final

POINTS: Final = (
    "ingest.before_produce",
    "ingest.after_produce",
    "ingest.before_commit",
    "ingest.after_commit",
    "projection.after_advance",
    "projection.after_history",
    "projection.after_fold",
    "projection.before_commit",
    "projection.after_commit",
    "projection.after_push",
    "projection.after_publish",
    "outbox.before_send",
    "outbox.after_send",
)
ERASING: Final = (
    "erase.after_request",
    "erase.after_delete",
    "erase.before_record",
    "erase.after_record",
    "erase.after_drop",
    "ingest.after_erase",
)
"""Only passed where somebody is erased."""
FORGETTING: Final = (
    "ingest.before_forget",
    "projection.after_forget",
    "ingest.after_forget",
)
"""Only passed where events are forgotten."""
AGENT: Final = (
    "intake.before_commit",
    "intake.after_commit",
    "llm.after_claim",
    "llm.before_call",
    "llm.after_call",
    "llm.before_complete",
    "llm.before_propose",
    "send.before_begin",
    "send.before_call",
    "send.after_call",
    "send.before_finish",
)
"""Only passed where there are intents."""
CAMPAIGN: Final = (
    "campaign.after_claim",
    "campaign.before_preview",
    "campaign.before_start",
    "campaign.before_children",
    "campaign.after_children",
    "campaign.before_close",
)
"""Only passed where there are campaigns."""
ALL: Final = (*POINTS, *ERASING, *FORGETTING, *AGENT, *CAMPAIGN)

_armed = ""


def arm(name: str) -> None:
    """Choose the point; the empty name disarms. Raises `ValueError` for an unknown one."""
    global _armed
    if name and name not in ALL:
        raise ValueError("unknown fail point: one of " + ", ".join(ALL))
    _armed = name


def fail_point(name: str) -> None:
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)
