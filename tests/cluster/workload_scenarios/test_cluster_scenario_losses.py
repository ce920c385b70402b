"""No request is lost while pods come and go: rolling updates, scaling and drains on two nodes, asked from both, from
outside by a node port, and through an Ingress. The program ends as soon as it is asked to, and nothing sleeps for it.
A loss is told with its time and kind, among what happened to pods and slices then."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from namespaces_kit import Namespace
from nodes_kit import Cluster, running_cluster

pytestmark = pytest.mark.slow
ROUNDS = int(os.environ.get("BOXSHIP_ROUNDS", "6"))
PATIENCE = 15.0  # seconds for one request: only what is refused, reset or never answered is lost
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/shop"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
LABEL = "labelSelector=kubernetes.io/service-name%3Dshop"
WORLD = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  type: NodePort
  selector: {app: shop}
  ports: [{port: 80, nodePort: 30080}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: shop}
spec: {maxUnavailable: 2, selector: {matchLabels: {app: shop}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop}
spec:
  rules:
    - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: shop, port: {number: 80}}}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 6
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 2}}
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      containers:
        - name: web
          image: busybox
          imagePullPolicy: IfNotPresent
          env: [{name: VERSION, value: "0"}]
          command: [sh, -c, "mkdir /www; echo $VERSION > /www/index.html; trap exit TERM; httpd -f -h /www & wait"]
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
"""


class Asking:
    """Requests from several places, a connection for each, without a pause; and what the API told meanwhile."""

    def __init__(self, cluster: Cluster, places: dict[str, tuple[Namespace, str, int]]) -> None:
        self.answers: Counter[str] = Counter()
        self.losses: list[tuple[float, str]] = []
        self.told: list[tuple[float, str]] = []
        self._cluster, self._places = cluster, places
        self._over = threading.Event()
        self._begun = time.time()
        self._pool = concurrent.futures.ThreadPoolExecutor(2 * len(places) + 2)
        self._watches: list[http.client.HTTPSConnection] = []

    def __enter__(self) -> "Asking":
        self._tasks = [self._pool.submit(self._ask, name) for name in self._places for _ in range(2)]
        for path in (f"{SLICES}?watch=1&{LABEL}", "/api/v1/namespaces/default/pods?watch=1"):
            connection = self._cluster.control.namespace.run(self._connected)
            self._watches.append(connection)
            self._tasks.append(self._pool.submit(self._hear, connection, path))
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for connection in self._watches:
            connection.sock.shutdown(2)
        for one in self._tasks:
            one.result()

    def _connected(self) -> http.client.HTTPSConnection:
        connection: http.client.HTTPSConnection = self._cluster.control.connection()
        connection.connect()
        connection.sock.settimeout(None)
        return connection

    def _hear(self, connection: http.client.HTTPSConnection, path: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            connection.request("GET", path)
            for line in connection.getresponse():
                event = json.loads(line)
                self.told.append((time.time(), f"{event['type']} {_words(event['object'])}"))

    def _ask(self, name: str) -> None:
        place, host, port = self._places[name]

        def work() -> None:
            while not self._over.is_set():
                begun = time.time()
                try:
                    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
                    connection.request("GET", "/")
                    answer = connection.getresponse()
                    body = answer.read()
                    connection.close()
                    found = "well" if answer.status == 200 and body else f"lost: {answer.status}"
                except (OSError, http.client.HTTPException) as error:
                    found = f"lost: {error!r}"
                if found != "well":
                    self.losses.append((begun, f"LOST from {name} after {time.time() - begun:.3f} s: {found}"))
                self.answers[found] += 1

        place.run(work)

    def report(self) -> str:
        """What was lost, and what happened in the second before and after the first of it."""
        if not self.losses:
            return ""
        first = min(self.losses)[0]
        lines = sorted(one for one in self.losses + self.told if abs(one[0] - first) < 1)
        return "\n".join([str(self.answers), *(f"{when - self._begun:.3f} {text}" for when, text in lines)])


def _words(object: dict[str, Any]) -> str:
    name, leaves = object["metadata"]["name"], "leaves" if object["metadata"].get("deletionTimestamp") else ""
    if object["kind"] == "Pod":
        status = object["status"]
        ready = [one["status"] for one in status.get("conditions", ()) if one["type"] == "Ready"]
        return f"pod {name} {status.get('podIP')} ready {ready} {leaves}"
    ready = [one["addresses"][0] for one in object.get("endpoints") or () if one["conditions"].get("ready")]
    return f"slice {name} leads to {ready}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bx") as home, running_cluster(Path(home), nodes=2) as running:
        running.apply(WORLD)
        running.until_pods(6, "app=shop")
        for _, host, port in places(running).values():
            for place in (running.clients, running.nodes[0].namespace):
                if host != service(running) or place is not running.clients:
                    running.until(lambda p=place, u=f"http://{host}:{port}/": p.answers(u), 30, f"{host}:{port}")  # type: ignore[misc]
        yield running


def service(cluster: Cluster) -> str:
    return str(cluster.get("service", "shop")[0]["spec"]["clusterIP"])


def places(cluster: Cluster) -> dict[str, tuple[Namespace, str, int]]:
    address = service(cluster)
    found = {node.name: (node.namespace, address, 80) for node in cluster.nodes}
    first = cluster.nodes[0].address
    return {**found, "outside": (cluster.clients, first, 30080), "ingress": (cluster.clients, first, 80)}


def change(cluster: Cluster, **spec: Any) -> None:
    headers = {"Content-Type": "application/strategic-merge-patch+json"}
    answer = cluster.control.request("PATCH", DEPLOYMENT, {"spec": spec}, headers)
    assert answer.status == 200, answer
    cluster.until(lambda: settled(cluster), 90, "the deployment is as it should be")


def version(number: int) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "web", "env": [{"name": "VERSION", "value": str(number)}]}]}}


def settled(cluster: Cluster) -> bool:
    found = cluster.control.request("GET", DEPLOYMENT).object
    counts = [found["status"].get(key) for key in ("updatedReplicas", "availableReplicas", "replicas")]
    current = found["status"].get("observedGeneration") == found["metadata"]["generation"]
    return current and counts == [found["spec"]["replicas"]] * 3


def test_rolling_updates(cluster: Cluster) -> None:
    with Asking(cluster, places(cluster)) as asking:
        for number in range(1, ROUNDS + 1):
            change(cluster, template=version(number))
    assert not asking.losses, asking.report()
    assert asking.answers["well"] > 100 * ROUNDS


def test_scaling(cluster: Cluster) -> None:
    with Asking(cluster, places(cluster)) as asking:
        for _ in range(ROUNDS):
            change(cluster, replicas=2)
            change(cluster, replicas=6)
    assert not asking.losses, asking.report()


def test_drains(cluster: Cluster) -> None:
    with Asking(cluster, places(cluster)) as asking:
        for number in range(max(ROUNDS // 2, 1)):
            cluster.kubectl("drain", "node2", "--ignore-daemonsets", "--force", timeout=90)
            cluster.kubectl("uncordon", "node2")
            change(cluster, template=version(100 + number))
    assert not asking.losses, asking.report()


def test_traffic_that_stays_on_the_node(cluster: Cluster) -> None:
    cluster.kubectl("patch", "service", "shop", "-p", '{"spec":{"externalTrafficPolicy":"Local"}}')
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
    spread |= {"labelSelector": {"matchLabels": {"app": "shop"}}, "matchLabelKeys": ["pod-template-hash"]}
    try:
        change(cluster, template={"spec": {"topologySpreadConstraints": [spread]}})
        with Asking(cluster, places(cluster)) as asking:
            for number in range(ROUNDS):
                change(cluster, template=version(200 + number))
    finally:
        cluster.kubectl("patch", "service", "shop", "-p", '{"spec":{"externalTrafficPolicy":"Cluster"}}')
    assert not asking.losses, asking.report()


def test_a_killed_container_takes_few_requests_with_it(cluster: Cluster) -> None:
    """Its own, and those that come before its node and the others know."""
    with Asking(cluster, places(cluster)) as asking:
        node = cluster.nodes[1]
        words = ("ps", "--quiet", "--filter", "label=io.kubernetes.container.name=web")
        began = time.time()
        node.docker("kill", node.docker(*words).stdout.split()[0])
        cluster.until(lambda: time.time() > began + 1 and settled(cluster), 30, "it runs again")
        healed = time.time()
        cluster.until(lambda: time.time() > healed + 2, 10, "two further seconds")
    assert not [when for when, _ in asking.losses if when > healed], asking.report()
    spans = [when for when, _ in asking.losses]
    assert not spans or max(spans) - min(spans) < 1, asking.report()
