"""A page that says which replica made it, and of which version that is."""

import os
import socket

from flask import Flask, Response, jsonify

app = Flask(__name__)
REPLICA = socket.gethostname()


@app.get("/")
def page() -> Response:
    return jsonify(message="The sum of all parts", replica=REPLICA, version=os.environ["VERSION"])


@app.get("/health")
def health() -> str:
    return "fine\n"
