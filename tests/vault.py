"""A small stand-in for Vault's transit engine: it seals, or answers what it is told to."""

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "a token of the test's own"


class Transit:
    """Its state: one key, and a status or a body that it answers with instead."""

    def __init__(self) -> None:
        self.url = ""
        self.cipher = AESGCM(os.urandom(32))
        self.status: int | None = None
        self.body: bytes | None = None
        self.asked = 0

    def answer(self, path: str, token: str | None, given: dict[str, str]) -> tuple[int, Any]:
        self.asked += 1
        if self.status is not None:
            return self.status, {"errors": ["as told"]}
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        known = given["associated_data"].encode()
        if path == "/v1/transit/encrypt/fanmemory":
            nonce = os.urandom(12)
            plain = base64.b64decode(given["plaintext"])
            sealed = base64.b64encode(nonce + self.cipher.encrypt(nonce, plain, known)).decode()
            return 200, {"data": {"ciphertext": f"vault:v1:{sealed}", "key_version": 1}}
        if path == "/v1/transit/decrypt/fanmemory":
            sealed_bytes = base64.b64decode(given["ciphertext"].removeprefix("vault:v1:"))
            try:
                plain = self.cipher.decrypt(sealed_bytes[:12], sealed_bytes[12:], known)
            except InvalidTag:
                return 400, {"errors": ["cipher: message authentication failed"]}
            return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}
        return 404, {"errors": []}


@contextmanager
def vault() -> Iterator[Transit]:
    """One that listens until the test is done with it."""
    transit = Transit()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, told = transit.answer(self.path, self.headers["X-Vault-Token"], given)
            body = json.dumps(told).encode() if transit.body is None else transit.body
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    transit.url = f"http://127.0.0.1:{server.server_port}/v1/transit"
    try:
        yield transit
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
