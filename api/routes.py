"""Which endpoint answers: path and method, looked up in the table of endpoints."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.routing import compile_path

from api.endpoints import Endpoint

Methods = Mapping[str, Endpoint]
"""Of one path: what answers each method."""
NO_METHODS: Final[Methods] = {}
_NO_PARTS: Final[dict[str, Any]] = {}


def _compiled(path: str) -> re.Pattern[str]:
    # Starlette's own pattern takes no line break, which an id may have.
    pattern, _, _ = compile_path(path.replace("{eventId}", "{eventId:path}"))
    return re.compile(pattern.pattern, re.DOTALL)


class Routes:
    """The endpoints by path and method. What answers GET answers HEAD too.

    A path may have parts in braces (`/things/{id}`); each matches one part of an asked path, never
    an empty one; `{eventId}`, the last one, whatever is left, as a platform's id may have a slash.
    Whole paths are looked up first, then those with braces in the table's order.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            methods = by_path.setdefault(endpoint.path, {})
            methods[endpoint.method] = endpoint
            if endpoint.method == "GET":
                methods["HEAD"] = endpoint
        self._whole = {path: methods for path, methods in by_path.items() if "{" not in path}
        self._patterns: list[tuple[re.Pattern[str], Methods]] = [
            (_compiled(path), methods) for path, methods in by_path.items() if "{" in path
        ]

    def find(self, path: str) -> tuple[Methods, dict[str, Any]]:
        """What answers there, and the parts in braces; `NO_METHODS` for a path that is not ours."""
        methods = self._whole.get(path)
        if methods is not None:
            return methods, _NO_PARTS
        for pattern, some in self._patterns:
            matched = pattern.match(path)
            if matched is not None:
                return some, matched.groupdict()
        return NO_METHODS, _NO_PARTS
