"""What a node answers over HTTPS: logs, exec, attach and port-forward of its pods, their figures, its own health.

    door.py        which path is answered by whom
    entry.py       who may come in: the API server's certificate, or whom the API lets
    logs.py        a container's log; following.py: its end
    joining.py     from a request for a stream to a client that is joined to it; idle.py: ends silent ones
    sessions.py    exec and attach: a process's streams and the client's
    channels.py    a client's end over a WebSocket; spdy.py: over SPDY/3.1
    ports.py       port-forward
    figures.py     what pods and the machine use; summary.py: as JSON; prometheus.py: in Prometheus' text

Contract: the kubelet's own API, which has no document; paths, parameters and texts are those that API servers and
clients have known for years. Nothing is kept here: the runtime and the pods that the agent knows are asked each time.
"""

from collections.abc import Sequence
from typing import Protocol

from boxship.cluster.objects import Object


class PodsHere(Protocol):
    """The pods that the agent knows, each with the status that it knows now."""

    async def ready(self) -> None:
        """Wait, for a few seconds at most, until all are known: a request may come as soon as we listen."""

    def find(self, namespace: str, name: str) -> Object | None: ...

    def all(self) -> Sequence[Object]: ...
