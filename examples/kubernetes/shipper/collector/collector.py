"""Takes lines of logs and tells them again: GET /lines?pod=NAME."""

import collections
import json
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

kept: collections.deque[dict] = collections.deque(maxlen=10_000)


class Collector(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        pod = query.get("pod", [""])[0]
        self.answer("".join(f"{line['node']} {line['pod']} {line['text']}\n" for line in kept if pod in line["pod"]))

    def do_POST(self) -> None:
        kept.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.answer("kept\n")

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Collector).serve_forever()
