"""The contract as one HTML page: no scripts, nothing loaded from anywhere."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
code { font: 0.9em ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem; }
tr { border-bottom: 1px solid var(--line); }
nav li { list-style: none; }
"""


def rendered(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document: its operations, then the types that they name."""
    info, operations = document["info"], list(_operations(document))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f'<p>{escape(info["summary"])} For programs: <a href="/openapi.json">openapi.json</a>.</p>',
        "<nav><ul>",
    ]
    parts += (
        f'<li><a href="#{escape(one["operationId"])}">{method} <code>{escape(path)}</code></a></li>'
        for path, method, one in operations
    )
    parts.append("</ul></nav>")
    for path, method, operation in operations:
        parts += _operation(path, method, operation)
    parts.append("<h1>Types</h1>")
    for name, schema in document["components"]["schemas"].items():
        parts += _type(name, schema)
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterator[str]:
    name = escape(operation["operationId"])
    yield f'<h2 id="{name}">{method} <code>{escape(path)}</code></h2>'
    yield f"<p>{escape(operation['summary'])}</p>"
    who = "A creator's bearer token." if operation["security"] else "No token."
    yield f"<p>{who}</p>"
    if "parameters" in operation:
        rows = (
            (f"<code>{escape(one['name'])}</code>", _where(one), escape(one["description"]))
            for one in operation["parameters"]
        )
        yield from _table(("Parameter", "In", "Meaning"), rows)
    for media, one in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body, <code>{escape(media)}</code>: {_kind(one['schema'])}</p>"
    rows = (
        (escape(status), escape(one["description"]), _content(one))
        for status, one in operation["responses"].items()
    )
    yield from _table(("Status", "When", "Body"), rows)


def _where(parameter: Mapping[str, Any]) -> str:
    return f"{parameter['in']}{', required' if parameter['required'] else ''}"


def _content(response: Mapping[str, Any]) -> str:
    return ", ".join(_kind(one["schema"]) for one in response.get("content", {}).values())


def _type(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h2 id="type-{escape(name)}">{escape(name)}</h2>'
    if "description" in schema:
        yield f"<p>{escape(schema['description'])}</p>"
    if "properties" in schema:
        needed = schema.get("required", ())
        rows = (
            (f"<code>{escape(field)}</code>", _kind(one), "always" if field in needed else "")
            for field, one in schema["properties"].items()
        )
        yield from _table(("Field", "Type", "There"), rows)
    else:
        yield f"<p>{_kind(schema)}</p>"


def _kind(schema: Mapping[str, Any]) -> str:
    """A schema in a few words; a named type as a link to it."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#type-{name}">{name}</a>'
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    kind = schema.get("type", "anything")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    if words == "array" and "items" in schema:
        return f"list of {_kind(schema['items'])}" if schema["items"] else "list"
    if words == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_kind(schema['additionalProperties'])}"
    if "format" in schema:
        words = f"{words} ({schema['format']})"
    return escape(words)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{one}</th>" for one in head) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{one}</td>" for one in row) + "</tr>"
    yield "</table>"
