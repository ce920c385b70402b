"""Fetches a page over and over and prints a number for each time: milliseconds, or MB/s for a large page.

Run by its own interpreter in the place where clients sit. Usage: python -m bench.fetch http://HOST:PORT/PATH ROUNDS
"""

import socket
import sys
from time import perf_counter
from urllib.parse import urlsplit

LARGE = 1 << 20  # bytes; above, the rate counts


def fetch(host: str, port: int, path: str, buffer: bytearray) -> tuple[int, float]:
    """Bytes of the answer and seconds until its end."""
    before = perf_counter()
    with socket.create_connection((host, port), timeout=60) as stream:
        stream.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        size = stream.recv_into(buffer)
        if not bytes(buffer[:15]).split(b" ")[1:2] == [b"200"]:
            raise RuntimeError(f"unexpected answer {bytes(buffer[:size])!r}")
        while count := stream.recv_into(buffer):
            size += count
    return size, perf_counter() - before


def main() -> None:
    parts = urlsplit(sys.argv[1])
    buffer = bytearray(1 << 20)
    for _ in range(int(sys.argv[2])):
        size, seconds = fetch(str(parts.hostname), parts.port or 80, parts.path or "/", buffer)
        print(size / seconds / 1e6 if size > LARGE else seconds * 1000)


if __name__ == "__main__":
    main()
