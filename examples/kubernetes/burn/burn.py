"""Every request costs 50 ms of processor time, so that load is seen."""

import socket
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COST = 0.05  # seconds


class Burn(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        begun = time.thread_time()
        while self.path != "/health" and time.thread_time() - begun < COST:
            pass
        body = f"{socket.gethostname()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Burn).serve_forever()
