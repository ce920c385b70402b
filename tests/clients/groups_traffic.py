"""A server that says its name, and clients that ask it without a pause. A program of its own: it runs in containers (by
chroot into the machine's files, since their image has no Python) and on the machine.

    groups_traffic.py serve NAME PORT
    groups_traffic.py ask STOP_FILE PLACE…

A place is ADDRESS:PORT, or name:NAME:PORT, which is looked up for each connection. What was asked and what failed comes
as one line of JSON, as soon as the file is there.
"""

import http.client
import json
import os
import random
import signal
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REQUESTS_PER_CONNECTION = 20
PAUSE_SECONDS = 0.004
PATIENCE_SECONDS = 10


def serve(name: str, port: int) -> None:
    """HTTP/1.1 with connections that stay open; SIGTERM ends it at once, whatever it is doing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = name.encode()
            time.sleep(0.002)  # so that some request is always under way
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Server(("0.0.0.0", port), Handler).serve_forever()


def look_up(name: str) -> str:
    """The first address that the container's resolver answers with."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    number = random.randrange(1 << 16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PATIENCE_SECONDS)
        asking.connect(("127.0.0.11", 53))
        asking.send(struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1")
        answer = asking.recv(2048)
    count = struct.unpack_from("!H", answer, 6)[0]
    if not count:
        raise OSError(f"{name} has no address")
    at = 12 + len(labels) + 1 + 4
    while answer[at] and not answer[at] & 0xC0:
        at += answer[at] + 1
    return socket.inet_ntoa(answer[at + 12 : at + 16] if answer[at] else answer[at + 11 : at + 15])


class Asked:
    """What the clients of one place have seen."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []

    def connect(self) -> http.client.HTTPConnection:
        *name, address, port = self.place.split(":")
        if name:
            address = look_up(address)
        return http.client.HTTPConnection(address, int(port), timeout=PATIENCE_SECONDS)

    def ask(self, stop: str, requests: int) -> None:
        """Connections one after the other, with some requests on each."""
        while not os.path.exists(stop):
            try:
                connection = self.connect()
                for _ in range(requests):
                    connection.request("GET", "/")
                    name = connection.getresponse().read().decode()
                    self.answers[name] = self.answers.get(name, 0) + 1
                    time.sleep(PAUSE_SECONDS)
                connection.close()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{time.time():.3f} {self.place}: {error!r}")
                time.sleep(0.1)


def ask(stop: str, *places: str) -> None:
    """Four clients for each place: two with a connection for each request, two with connections that stay open."""
    asked = [Asked(place) for place in places]
    wanted = [(one, count) for one in asked for count in (1, REQUESTS_PER_CONNECTION, 1, REQUESTS_PER_CONNECTION)]
    threads = [threading.Thread(target=one.ask, args=(stop, count)) for one, count in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = {one.place: {"answers": one.answers, "failures": one.failures} for one in asked}
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        ask(*sys.argv[2:])
