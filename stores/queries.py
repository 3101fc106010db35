"""The named SQL of the views' tables; `{generation}` in it stands for a generation's schema."""

from functools import cache
from pathlib import Path
from typing import Final

from infra.sql import Queries, load_queries
from stores.generations import schema_name

_FOLDER: Final = Path(__file__).parent / "sql"


@cache
def memory_queries(generation: int) -> Queries:
    """The queries of `memory.sql` for one generation's tables."""
    return load_queries(_FOLDER / "memory.sql", generation=schema_name(generation))
