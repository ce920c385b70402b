"""A daemon that answers from a table, for tests of the verbs: a real unix socket, served by a thread."""

import json
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, object] | Callable[["Handler"], None]


class FakeDaemon(socketserver.ThreadingUnixStreamServer):
    """`answers` maps "METHOD /path" (without version) to a status and a JSON value or bytes, or to a function. `asked`
    holds what came: method, path, query, JSON body or bytes. `newest` is the API version it knows."""

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, path: Path, newest: str = "1.51") -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str, dict[str, list[str]], object]] = []
        self.newest = newest
        self.url = f"unix://{path}"
        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.asked]

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeDaemon

    def _body(self) -> object:
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return json.loads(data) if data and "json" in (self.headers.get("Content-Type") or "") else data

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self._body()
        path = parts.path
        if path.startswith("/v1."):
            version, _, rest = path[2:].partition("/")
            path = f"/{rest}"
            if [int(part) for part in version.split(".")] > [int(part) for part in self.server.newest.split(".")]:
                message = f"client version {version} is too new. Maximum supported API version is {self.server.newest}"
                return self.reply(400, {"message": message})
        self.server.asked.append((self.command, path, parse_qs(parts.query), body))
        answer = self.server.answers.get(f"{self.command} {path}")
        if path == "/_ping":
            answer = (200, b"OK")
        if answer is None:
            return self.reply(404, {"message": f"No such thing: {path}"})
        return answer(self) if callable(answer) else self.reply(*answer)

    def reply(self, status: int, value: object) -> None:
        data = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode() + b"\n"
        self.send_response(status)
        self.send_header("Api-Version", self.server.newest)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_POST = do_DELETE = do_PUT = do_HEAD = _serve

    def log_message(self, format: str, *values: object) -> None:
        pass
