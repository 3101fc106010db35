"""Named SQL: every query stands in a `.sql` file under `-- name: the_name`."""

import re
from pathlib import Path
from types import SimpleNamespace

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)


def load_queries(path: Path, **names: str) -> SimpleNamespace:
    """Read the queries of one file as attributes.

    `names` fill `{placeholders}` in the text: only for identifiers that Postgres can't take as
    parameters (the schema of a generation), never for values.
    """
    parts = _NAME.split(path.read_text(encoding="utf-8"))[1:]
    queries = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        for placeholder, value in names.items():
            text = text.replace("{" + placeholder + "}", value)
        queries[name] = text.strip().removesuffix(";")
    return SimpleNamespace(**queries)
