"""Settings of an operator's own for one embedded service: they go over those that we choose.

`extra.conf` in the service's folder, one `name=value` a line, `#` begins a comment. For what a
machine or a proof needs and most do not: more memory, a write-ahead log that can be backed up.
"""

from pathlib import Path
from typing import Final

from schemas.errors import Misconfigured

FILE_NAME: Final = "extra.conf"


def extra(home: Path) -> dict[str, str]:
    """Nothing where there is no such file. Raises `Misconfigured` for a line that is none."""
    try:
        text = (home / FILE_NAME).read_text("utf-8")
    except FileNotFoundError:
        return {}
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        told = line.partition("#")[0].strip()
        if not told:
            continue
        name, equals, value = map(str.strip, told.partition("="))
        if not equals or not name or not value:
            raise Misconfigured(
                f"Line {number} of {FILE_NAME} of {home.name} is no setting.",
                hint="Write name=value.",
            )
        found[name] = value
    return found
