"""Hears of pods by a watch in a thread, so that asking costs the measured cluster nothing."""

import json
import threading
import time
from collections.abc import Callable

from bench.workloads.place import DEADLINE, Cluster, is_ready
from boxship.transport.blocking import Connection, Response

Pod = dict[str, object]


class Pods:
    """The pods of the namespace default as they are now, and when each was first Running, Ready and gone."""

    def __init__(self, cluster: Cluster) -> None:
        self._connection = Connection(cluster.address)
        listing = cluster.ask("GET", "/api/v1/namespaces/default/pods")
        metadata = listing["metadata"]
        assert isinstance(metadata, dict)
        self.running: dict[str, float] = {}
        self.ready: dict[str, float] = {}
        self.known: dict[str, bool] = {}
        self._changed = threading.Condition()
        self._closed = False
        answer = self._connection.request(
            "GET", f"/api/v1/namespaces/default/pods?watch=1&resourceVersion={metadata['resourceVersion']}", {}, b""
        )
        self._thread = threading.Thread(target=self._read, args=(answer,), daemon=True)
        self._thread.start()

    def _read(self, answer: Response) -> None:
        try:
            for line in answer.lines():
                now = time.perf_counter()
                with self._changed:
                    self._heard(json.loads(line), now)
                    self._changed.notify_all()
        except Exception:
            if not self._closed:  # else our own end took the connection away
                raise

    def _heard(self, event: dict[str, object], now: float) -> None:
        pod = event["object"]
        assert isinstance(pod, dict)
        name = pod["metadata"]["name"]
        if event["type"] == "DELETED":
            self.known.pop(name, None)
            return
        self.known[name] = is_ready(pod)
        if pod.get("status", {}).get("phase") == "Running":
            self.running.setdefault(name, now)
        if self.known[name]:
            self.ready.setdefault(name, now)

    def wait(self, condition: Callable[["Pods"], bool], what: str) -> float:
        """The moment at which it held. Raises RuntimeError."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), DEADLINE):
                raise RuntimeError(f"not within {DEADLINE:g} s: {what}; {len(self.known)} pods")
        return time.perf_counter()

    def close(self) -> None:
        self._closed = True
        self._connection.close()
