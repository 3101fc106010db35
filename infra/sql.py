"""Named SQL: every query stands in a `.sql` file under `-- name: the_name`."""

import re
from pathlib import Path

_NAME = re.compile(r"^-- name: ([a-z_]+)$", re.MULTILINE)
_NEXT = re.compile(r"(\s|^--.*$)+\Z", re.MULTILINE)
"""The description of the query that follows."""


class Queries:
    """Queries, each an attribute; a house test holds every use to a file."""

    def __init__(self, file: str, texts: dict[str, str]) -> None:
        self._file = file
        vars(self).update(texts)

    def __getattr__(self, name: str) -> str:
        raise AttributeError(f"{self._file} has no query {name}")


def load_queries(*paths: Path, **names: str) -> Queries:
    """Read the queries of a file, or of several that are used as one.

    `names` fill `{placeholders}` in the text: only for identifiers that Postgres can't take as
    parameters (the schema of a generation), never for values.
    """
    queries = {}
    for path in paths:
        parts = _NAME.split(path.read_text(encoding="utf-8"))[1:]
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            for placeholder, value in names.items():
                text = text.replace("{" + placeholder + "}", value)
            queries[name] = _NEXT.sub("", text).strip().removesuffix(";")
    return Queries(" and ".join(path.name for path in paths), queries)
