"""The guestbook's page: writes go to the leader, reads come from the followers."""

import html
import json
import os
import socket
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LEADER = "http://leader:8000/entries"
FOLLOWERS = "http://followers:8000/entries"
PAGE = """<!doctype html><title>Guestbook</title><h1>{title}</h1>
<form method="post"><input name="entry" autofocus><button>Sign</button></form><ol>{entries}</ol><p>served by {name}</p>
"""


class Front(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer(200, "well")
            return
        try:
            with urllib.request.urlopen(FOLLOWERS, timeout=3) as answer:
                found = json.load(answer)
        except OSError as error:
            self.answer(503, f"no follower answers: {error}")
            return
        lines = "".join(f"<li>{html.escape(text)}</li>" for text in found)
        self.answer(200, PAGE.format(title=os.environ["TITLE"], entries=lines, name=socket.gethostname()))

    def do_POST(self) -> None:
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        text = form.get("entry", [""])[0]
        try:
            urllib.request.urlopen(LEADER, data=text.encode(), timeout=3).close()
        except OSError as error:
            self.answer(503, f"the leader does not answer: {error}")
            return
        self.do_GET()

    def answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Front).serve_forever()
