"""HTTP whose every answer is held against the published contract."""

import json
import re
from functools import cache
from typing import Any

import httpx2
import jsonschema_rs

from ops.contracts.published import PUBLISHED

CONTRACT = json.loads((PUBLISHED / "openapi.json").read_bytes())


@cache
def _templates() -> list[tuple[re.Pattern[str], str]]:
    """Paths without a parameter first: they win over one with."""
    paths = sorted(CONTRACT["paths"], key=lambda path: "{" in path)
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in paths]


@cache
def _validator(path: str, method: str, status: str, media: str) -> Any:
    operation = CONTRACT["paths"][path][method.lower()]
    content = operation["responses"][status].get("content", {})
    schema = content[media]["schema"] | {"components": CONTRACT["components"]}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def check(method: str, path: str, answer: httpx2.Response) -> None:
    """Raises unless the contract says that this can be answered, with such a body."""
    (template,) = [one for pattern, one in _templates() if pattern.fullmatch(path)][:1]
    responses = CONTRACT["paths"][template][method.lower()]["responses"]
    said = f"{method} {template}: {answer.status_code} {answer.text[:2000]}"
    assert answer.status_code < 500, said
    assert str(answer.status_code) in responses, said
    for name in responses[str(answer.status_code)].get("headers", {}):
        assert name in answer.headers, said
    if answer.status_code == 304:
        assert not answer.content
        return
    media = answer.headers["content-type"].partition(";")[0]
    validator = _validator(template, method, str(answer.status_code), media)
    errors = [error.message for error in validator.iter_errors(answer.json())]
    assert errors == [], said


class Asking:
    """One creator's user, who waits for each answer."""

    def __init__(self, url: str, token: str) -> None:
        self._http = httpx2.Client(
            base_url=url, headers={"authorization": f"Bearer {token}"}, timeout=60.0
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        answer = self._http.request(method, path, **more)
        check(method, path, answer)
        return answer

    def close(self) -> None:
        self._http.close()
