"""Watches of the conformance suite: what the API tells of changes, kept in the order in which it came.

with watching(space.cluster, space.path("configmaps"), labelSelector="app=web") as seen:
    space.made("configmaps", {...})
    seen.until(("ADDED", "words"))
"""

import contextlib
import http.client
import json
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

from nodes_kit import Cluster


class Watch:
    """What one watch was told so far; a thread reads on."""

    def __init__(self, cluster: Cluster, connection: http.client.HTTPSConnection, path: str) -> None:
        self.cluster, self.path = cluster, path
        self.events: list[dict[str, Any]] = []
        connection.request("GET", path)
        self._answer = connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, AttributeError):
            for line in self._answer:
                self.events.append(json.loads(line))

    @property
    def told(self) -> list[tuple[str, str]]:
        """Kinds of events and names of objects."""
        return [(each["type"], each["object"]["metadata"].get("name", "")) for each in list(self.events)]

    @property
    def versions(self) -> list[str]:
        return [each["object"]["metadata"]["resourceVersion"] for each in list(self.events)]

    def until(self, *wanted: tuple[str, str], seconds: float = 30) -> None:
        """The watch has told exactly that, from its beginning."""
        self.until_count(len(wanted), seconds)
        assert self.told == list(wanted)

    def until_count(self, count: int, seconds: float = 30) -> None:
        """It has told at least so many events."""
        self.cluster.until(lambda: len(self.events) >= count, seconds, f"{self.path} tells {count} events")


@contextlib.contextmanager
def watching(cluster: Cluster, path: str, **query: str) -> Iterator[Watch]:
    """A watch of a list's path; it is open, and sees what is written, when this is entered."""
    connection = cluster.control.connection()
    cluster.control.namespace.run(connection.connect)
    words = urllib.parse.urlencode({"watch": "true", "timeoutSeconds": "120", **query})
    try:
        yield Watch(cluster, connection, f"{path}?{words}")
    finally:
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(2)
        connection.close()
