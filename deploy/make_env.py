"""Write `.env` with fresh secrets for `compose.yml`, once: `python3 deploy/make_env.py`.

A file that exists is never touched, because a new keyring can't open what an old one sealed.
"""

import base64
import os
import secrets
import sys

FILE = ".env"
KEY_BYTES = 32  # AES-256, HS256 and Ed25519 alike


def main() -> None:
    try:
        descriptor = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        sys.exit(f"{FILE} is there already; move it away if you really want a new keyring.")
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(f"FANMEMORY_KEYRING=k{secrets.token_hex(4)}:{key}\n")
        file.write(f"FANMEMORY_JWT_SECRET={secrets.token_hex(KEY_BYTES)}\n")
        receipt = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")
        file.write(f"FANMEMORY_RECEIPT_KEY={receipt}\n")
        file.write(f"POSTGRES_PASSWORD={secrets.token_hex(24)}\n")
        file.write(f"VALKEY_PASSWORD={secrets.token_hex(24)}\n")


if __name__ == "__main__":
    main()
