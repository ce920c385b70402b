"""From the answer of a readiness probe to the first connection that goes another way, beside many services.

The probe asks a server of ours, so the moment at which it hears the changed answer is known. The way from there: the
agent writes the pod's status, the slices' controller writes the slice, the node changes its table.
"""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from bench.workloads.place import ADDRESS, Cluster, until

NAME = "readiness"
HOST = ADDRESS.partition("/")[0]
PORT = 9000
SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
PODS = "/api/v1/namespaces/default/pods"
WRITERS = 4  # at once, for the other services
PAUSE_SECONDS = 0.002  # between connections
REST_SECONDS = 0.3  # between changes


class Switch:
    """The server that the probe asks, and when it first said what it says now."""

    def __init__(self) -> None:
        self._says, self._told = False, 0.0
        switch = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                says = switch._says
                self.send_response(200 if says else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                self.wfile.flush()
                if says is switch._says and not switch._told:
                    switch._told = time.perf_counter()

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer((HOST, PORT), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def say(self, ready: bool) -> None:
        self._says, self._told = ready, 0.0

    def told(self) -> float:
        """When the probe first heard it; 0 before."""
        return self._told

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def reached(address: str) -> bool:
    try:
        socket.create_connection((address, 80), 2).close()
    except OSError:
        return False
    return True


def changed(address: str, ready: bool) -> float:
    """Connect without end until it goes as it should now; that moment."""
    while reached(address) is not ready:
        time.sleep(PAUSE_SECONDS)
    return time.perf_counter()


@contextlib.contextmanager
def others(cluster: Cluster, count: int) -> Iterator[None]:
    """That many other services with three endpoints each, which nobody asks."""

    def make(number: int) -> None:
        name = f"other-{number}"
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}
        endpoints = [{"addresses": [f"10.244.9.{last}"], "conditions": {"ready": True}} for last in (1, 2, 3)]
        slices = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
            "endpoints": endpoints,
        }
        cluster.ask("POST", SERVICES, service)
        cluster.ask("POST", SLICES, slices)

    def remove(number: int) -> None:
        cluster.ask("DELETE", f"{SERVICES}/other-{number}")  # its slices go with it

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(make, range(count)))
        yield
        list(writers.map(remove, range(count)))


def measure_readiness(cluster: Cluster, image: str, services: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from the probe's answer to the first connection that goes as it says."""
    container = {
        "name": "web",
        "image": image,
        "readinessProbe": {
            "httpGet": {"host": HOST, "port": PORT, "path": "/"},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
    }
    metadata = {"name": NAME, "labels": {"app": NAME}}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    service = {"metadata": {"name": NAME}, "spec": {"selector": {"app": NAME}, "ports": [{"port": 80}]}}
    found: dict[str, list[float]] = {}
    with others(cluster, services), contextlib.closing(Switch()) as switch:
        address = cluster.ask("POST", SERVICES, service)["spec"]["clusterIP"]  # type: ignore[index]
        cluster.ask("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        switch.say(True)
        until(lambda: reached(str(address)), "the service to lead to its pod")
        for _ in range(rounds):
            for ready in (False, True):
                time.sleep(REST_SECONDS)
                switch.say(ready)
                moment = changed(str(address), ready)
                word = "ready" if ready else "not ready"
                found.setdefault(f"{services} services: {word} to traffic", []).append((moment - switch.told()) * 1000)
        cluster.ask("DELETE", f"{PODS}/{NAME}", {"gracePeriodSeconds": 0})
        cluster.ask("DELETE", f"{SERVICES}/{NAME}")
    return found
