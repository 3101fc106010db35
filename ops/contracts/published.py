"""Every file that is made from the contracts with its content; those of former releases are not.

These are `schemas/published/` and the models of the client for Python.
"""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec

from api.contract import Contract
from api.openapi import REFERENCE
from api.table import ENDPOINTS
from ops.contracts import asyncapi, python_models
from schemas.context import MemoryContext
from schemas.described import described, public_name
from schemas.records import RECORDS
from schemas.updates import MemoryUpdate
from schemas.workflows import BudgetAlert

ROOT: Final = Path(__file__).parents[2]
PUBLISHED: Final = ROOT / "schemas" / "published"
MODELS: Final = ROOT / "clients" / "python" / "fanmemory_client" / "models.py"
RECORDS_FOLDER: Final = "records"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def files() -> dict[str, bytes]:
    """Path below `PUBLISHED` -> content."""
    made = {
        "openapi.json": Contract(ENDPOINTS).json,
        "asyncapi.json": _json(asyncapi.document(version("fan-memory"))),
    }
    for name, schema in record_schemas():
        made[f"{RECORDS_FOLDER}/{name}.json"] = _json(schema)
    return made


def client_models() -> bytes:
    """The source of `MODELS`; needs ruff, which formats it."""
    _, records = described([MemoryUpdate, BudgetAlert], REFERENCE)
    source = python_models.models(Contract(ENDPOINTS).document, records)
    words = ("-m", "ruff", "format", "--stdin-filename", MODELS.name, "-")
    ran = subprocess.run(
        [sys.executable, *words], cwd=ROOT, input=source.encode(), capture_output=True, check=True
    )
    return ran.stdout


def stale() -> list[str]:
    """What lies among the records' schemas and is not made any more."""
    made = files()
    there = (PUBLISHED / RECORDS_FOLDER).glob("*.json")
    paths = (path.relative_to(PUBLISHED).as_posix() for path in there)
    return sorted(path for path in paths if path not in made)


def record_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, JSON Schema) of each record that others write or read, and of a fan's context."""
    public = {one.type: None for one in RECORDS if one.use != "internal"}
    for type_ in (*public, MemoryContext):
        (schema,), components = described([type_], "#/$defs/{name}")
        name = public_name(schema["$ref"].rpartition("/")[2])
        yield (
            name,
            {"$schema": DIALECT, "$id": f"urn:fanmemory:{name}", **schema} | {"$defs": components},
        )


def _json(document: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
