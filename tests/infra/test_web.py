"""A document is fetched from who was named, whole, or not at all."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from infra.web import Unfetched, fetch


class _Issuer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, body = {
            "/keys": (200, b'{"keys": []}'),
            "/moved": (302, b""),
            "/created": (201, b"{}"),
        }.get(self.path, (404, b""))
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if status == 302:
            self.send_header("location", "/keys")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Issuer)
    serving = Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


async def test_a_document_is_fetched(issuer: str) -> None:
    assert await fetch(f"{issuer}/keys", 12) == b'{"keys": []}'


@pytest.mark.parametrize("path", ["/moved", "/created", "/nothing"])
async def test_whatever_else_is_answered_is_no_document(issuer: str, path: str) -> None:
    with pytest.raises(Unfetched):
        await fetch(issuer + path, 100)


async def test_what_is_larger_than_allowed_is_not_read(issuer: str) -> None:
    with pytest.raises(Unfetched):
        await fetch(f"{issuer}/keys", 11)


async def test_nobody_there_is_said_without_the_address() -> None:
    with pytest.raises(Unfetched) as said:
        await fetch("http://127.0.0.1:1/keys", 100)
    assert "127" not in str(said.value)
