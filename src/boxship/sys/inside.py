"""Connections made from inside a network namespace: to what listens on its loopback alone."""

import socket
from pathlib import Path

from boxship.errors import Unavailable
from boxship.sys import namespace

LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


def connect_inside(path: str, port: int, seconds: float) -> socket.socket:
    """A TCP connection to a port of the loopback of the namespace kept at `path` ("": the caller's own), not blocking.
    Blocks until it is made, in a thread of its own. Raises Unavailable where nobody listens."""
    return namespace.run_inside(Path(path), lambda: _connect(port, seconds)) if path else _connect(port, seconds)


def _connect(port: int, seconds: float) -> socket.socket:
    problem = OSError("nobody listens")
    for family, address in LOOPBACKS:
        try:
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        except OSError as error:
            problem = error
            continue
        connection.settimeout(seconds)
        try:
            connection.connect((address, port))
        except OSError as error:
            connection.close()
            problem = problem if problem.errno else error
            continue
        connection.setblocking(False)
        return connection
    raise Unavailable(f"cannot connect to port {port}: {problem.strerror or problem}")
