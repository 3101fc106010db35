"""A mark in a data directory that is being restored: who was killed meanwhile left half a system.

The mark names what was there before. It is taken away when everything is there; with it nothing
starts, and a restore begins anew.
"""

import json
import shutil
from pathlib import Path

from ops.services.endpoints import write_private
from ops.services.lock import is_held
from schemas.errors import Misconfigured

MARK = "restoring"


def begin(data: Path) -> None:
    """Mark a directory, or clear what a restore that was killed has left in it.

    Raises `Misconfigured` while that one is still at work.
    """
    mark = data / MARK
    if mark.exists():
        if is_held(data):
            raise Misconfigured(f"A restore into {data} is at work.", hint="Let it end first.")
        clear(data)
        return
    before = sorted(path.name for path in data.iterdir()) if data.exists() else None
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(mark, json.dumps(before))


def clear(data: Path) -> None:
    """Take away what came since `begin`, but for the mark."""
    before = json.loads((data / MARK).read_text()) or ()
    for path in data.iterdir():
        if path.name == MARK or path.name in before:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def end(data: Path, *, whole: bool) -> None:
    """Take the mark away, and what was not restored to its end with it."""
    if not whole:
        made = json.loads((data / MARK).read_text()) is None
        clear(data)
        if made:
            shutil.rmtree(data, ignore_errors=True)
            return
    (data / MARK).unlink(missing_ok=True)


def require_whole(data: Path) -> None:
    """Raise `Misconfigured` where a restore was killed half-way."""
    if (data / MARK).exists():
        raise Misconfigured(
            f"A restore into {data} did not reach its end: what is there is not whole.",
            hint="Run the same `fanmemory restore` again, which begins anew.",
        )
