"""Keeps entries in a journal. A leader takes new ones; a follower asks its leader for what it has not got yet."""

import json
import os
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LEADER = os.environ.get("LEADER", "")  # whom a follower follows; empty: we lead
JOURNAL = os.environ.get("JOURNAL", "/data/journal")
WAIT = 5.0  # seconds for which a follower's question is kept open

entries: list[str] = []
changed = threading.Condition()


def add(text: str) -> None:
    with changed:
        with open(JOURNAL, "a") as journal:
            journal.write(json.dumps(text) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        entries.append(text)
        changed.notify_all()


def follow() -> None:
    while True:
        try:
            with urllib.request.urlopen(f"{LEADER}/entries?after={len(entries)}", timeout=WAIT * 2) as answer:
                for text in json.load(answer):
                    add(text)
        except OSError as error:
            print(f"cannot follow {LEADER}: {error}", flush=True)
            time.sleep(0.5)


class Store(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        if address.path == "/health":
            self.answer(200, "well")
            return
        query = urllib.parse.parse_qs(address.query)
        after = int(query.get("after", ["-1"])[0])
        with changed:
            if after >= 0:
                changed.wait_for(lambda: len(entries) > after, WAIT)
            self.answer(200, entries[max(after, 0) :])

    def do_POST(self) -> None:
        if LEADER:
            self.answer(403, "this is a follower")
            return
        add(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.answer(201, "kept")

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    if os.path.exists(JOURNAL):
        with open(JOURNAL) as journal:
            entries.extend(json.loads(line) for line in journal if line.endswith("\n"))
    if LEADER:
        threading.Thread(target=follow, daemon=True).start()
    ThreadingHTTPServer(("", 8000), Store).serve_forever()
