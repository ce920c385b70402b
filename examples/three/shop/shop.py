"""One program, three parts: `catalogue` knows the things, `prices` what they cost, `shop` joins both.

Usage: shop.py catalogue | prices | shop, with the port in $PORT; shop.py check PORT asks whether one is well.
"""

import json
import os
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

THINGS = {"1": "a lamp", "2": "a chair", "3": "a table"}
CENTS = {"1": 1900, "2": 4500, "3": 12900}
SECONDS = 3


def ask(address: str) -> dict[str, str]:
    with urllib.request.urlopen(address, timeout=SECONDS) as answer:
        return json.load(answer)


def catalogue() -> dict[str, str]:
    return THINGS


def prices() -> dict[str, str]:
    return {key: f"{cents / 100:.2f} {os.environ['CURRENCY']}" for key, cents in CENTS.items()}


def shop() -> dict[str, str]:
    names, costs = ask(os.environ["CATALOGUE"]), ask(os.environ["PRICES"])
    return {name: costs[key] for key, name in names.items()}


PARTS = {"catalogue": catalogue, "prices": prices, "shop": shop}


class Page(BaseHTTPRequestHandler):
    """Every path gives what the part has to say; /health only that it is there."""

    part = staticmethod(catalogue)

    def do_GET(self) -> None:
        try:
            status, body = 200, {"well": "yes"} if self.path == "/health" else self.part()
        except OSError as error:
            status, body = 502, {"error": str(error)}
        text = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main(name: str, *arguments: str) -> None:
    if name == "check":
        ask(f"http://127.0.0.1:{arguments[0]}/health")
        return
    Page.part = staticmethod(PARTS[name])
    try:
        ThreadingHTTPServer(("", int(os.environ["PORT"])), Page).serve_forever()
    except KeyboardInterrupt:
        print(f"{name}: done", flush=True)


main(*sys.argv[1:])
