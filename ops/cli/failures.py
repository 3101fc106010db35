"""What a person is told when a command fails: one sentence, and what to do."""

import json
import sys
from typing import Final

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from ops.refusals import refusal
from schemas.errors import FanMemoryError

REFUSING: Final = {"asyncpg": "PostgreSQL", "aiokafka": "Kafka", "hiredis": "Redis"}
"""Whose library an error comes from that no room of ours has given a name."""


def tell(error: Exception) -> bool:
    """Say it, as JSON when that was asked for; False for an error that nobody here knows."""
    told = refusal(error)
    if told is None and isinstance(error, FanMemoryError):
        told = error
    service = REFUSING.get(type(error).__module__.partition(".")[0])
    if told is not None:
        _report(str(told), told.advice)
    elif isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        name = "FANMEMORY_" + "_".join(str(part) for part in first["loc"]).upper()
        _report(f"{name}: {first['msg']}", "See the table of settings in docs/operations.md.")
    elif service is not None:
        # The text of a driver's error may carry an address with its password: the class will do.
        _report(f"{service} refused: {type(error).__name__}.", "Run `fanmemory doctor`.")
    else:
        return False
    return True


def _report(message: str, advice: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": message, "hint": advice}))
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), message))
    console.print(Text(advice, "dim"))
