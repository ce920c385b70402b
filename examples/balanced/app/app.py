"""A page that says which replica made it, and of which version that is."""

import os
import signal
import socket
import threading

import waitress
from flask import Flask, Response, jsonify

app = Flask(__name__)
REPLICA = socket.gethostname()
GRACE = 1.0  # seconds


@app.get("/")
def page() -> Response:
    return jsonify(message="The sum of all parts", replica=REPLICA, version=os.environ["VERSION"])


@app.get("/health")
def health() -> str:
    return "fine\n"


def leave(number: int, frame: object) -> None:
    """Go on for a moment: who asked for the address just before this replica left the name may still come."""
    threading.Timer(GRACE, os.kill, [os.getpid(), signal.SIGINT]).start()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, leave)
    waitress.serve(app, listen="0.0.0.0:8000")  # ends by SIGINT, and lets running requests finish
