"""The commands that a page of the docs shows."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def shell_of(page: Path) -> list[tuple[str, ...]]:
    """The lines of each fenced block; continued ones are joined, comments left out."""
    found = []
    for text in BLOCK.findall(page.read_text()):
        lines = text.replace("\\\n", " ").replace(".venv/bin/", "").splitlines()
        found.append(tuple(line for line in lines if line.strip() and not line.startswith("#")))
    return found
