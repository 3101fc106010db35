#!/usr/local/bin/python
"""In the place of valkey-cli: AUTH from the environment, then one command."""

import os
import socket
import sys

with socket.create_connection(("127.0.0.1", 6379), 5) as connection:
    password = os.environ.get("REDISCLI_AUTH", "")
    connection.sendall(f"AUTH {password}\r\n{' '.join(sys.argv[1:])}\r\n".encode())
    answer = b""
    while answer.count(b"\r\n") < 2:
        answer += connection.recv(4096)
sys.stdout.write(answer.decode().split("\r\n")[1].lstrip("+") + "\n")
