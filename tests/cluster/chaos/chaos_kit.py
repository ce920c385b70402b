"""What goes on while a cluster is mistreated: people who write, ask, and look; and the mistreating.

Everything random comes from one seed, which a failure names.
"""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nodes_kit import Cluster, NodeDaemon, condition

from daemons import until

NAME_FORM = '{{.Label "io.kubernetes.pod.namespace"}}/{{.Label "io.kubernetes.pod.name"}}'
RUNNING = ("ps", "--filter", "label=io.kubernetes.container.name=db", "--format", NAME_FORM)
HEAL_SECONDS = 120.0
SETTLED_REQUESTS = 60  # that must all be answered well once all has healed

WORLD = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 2
      tolerations:
        - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
        - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {matchLabels: {app: web}}
      containers:
        - name: web
          image: busybox
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "mkdir -p /www && hostname > /www/index.html && exec httpd -f -p 80 -h /www"]
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
          lifecycle: {preStop: {sleep: {seconds: 1}}}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  clusterIP: None
  selector: {app: db}
  ports: [{port: 80}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: db
          image: busybox
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "while echo $HOSTNAME >> /data/log && sync; do sleep 1; done"]
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 16Mi}}}
"""


class Writers:
    """Some who make objects without a pause, and remember what they were told is kept."""

    def __init__(self, cluster: Cluster, count: int = 2) -> None:
        self.kept: set[str] = set()
        self._cluster = cluster
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,), daemon=True) for number in range(count)]

    def __enter__(self) -> "Writers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        for count in range(1_000_000):
            if self._over.wait(0.05):
                return
            name = f"kept-{number}-{count}"
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": str(count)}}
            with contextlib.suppress(OSError, ValueError, AssertionError):
                answer = self._cluster.control.request("POST", "/api/v1/namespaces/default/configmaps", body)
                if answer.status == 201:
                    self.kept.add(name)

    def lost(self) -> set[str]:
        answer = self._cluster.control.request("GET", "/api/v1/namespaces/default/configmaps")
        assert answer.status == 200, answer
        return self.kept - {item["metadata"]["name"] for item in answer.object["items"]}


class Visitors:
    """Requests to a service from one node, counted by what came of them."""

    def __init__(self, node: NodeDaemon, url: str) -> None:
        self.answers: Counter[str] = Counter()
        self._node, self._url = node, url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)

    def __enter__(self) -> "Visitors":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._over.wait(0.02):
            try:
                self.answers["well" if self._node.namespace.page(self._url, timeout=3) else "empty"] += 1
            except OSError as error:
                self.answers[f"lost: {error}"] += 1


class Twins:
    """Looks on every node which pods of the StatefulSet run, all the time: one that runs twice is never forgiven."""

    def __init__(self, cluster: Cluster) -> None:
        self.seen: list[str] = []
        self._cluster = cluster
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Twins":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            running: Counter[str] = Counter()
            for node in self._cluster.nodes:
                found = node.docker(*RUNNING, check=False)
                running.update(line for line in found.stdout.split() if found.returncode == 0)
            self.seen += [f"{name} runs {count} times" for name, count in running.items() if count > 1]


class Faults:
    """The mistreating. Each returns what it did in words; what must be put right later is put right by `heal`."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.random = random.Random(seed)
        self._cluster = cluster
        self.all: list[Callable[[], str]] = [
            self.kill_agent,
            self.kill_control,
            self.kill_container,
            self.kill_monitor,
            self.cut_off,
            self.kill_everything,
            self.remove_container,
        ]

    def kill_agent(self) -> str:
        node = self._node()
        node.kill()
        self._start(node)
        return f"killed boxshipd of {node.name}"

    def kill_control(self) -> str:
        self._cluster.control.kill()
        time.sleep(self.random.uniform(0, 1))
        self._cluster.control.start()
        return "killed boxship-control"

    def kill_container(self) -> str:
        node, found = self._containers()
        if not found:
            return "nothing to kill"
        node.docker("kill", self.random.choice(found), check=False)
        return f"killed a container on {node.name}"

    def remove_container(self) -> str:
        node, found = self._containers()
        if not found:
            return "nothing to remove"
        node.docker("rm", "--force", self.random.choice(found), check=False)
        return f"removed a container on {node.name}"

    def kill_monitor(self) -> str:
        node = self._node()
        monitors = [pid for pid in node.conmons() if Path(f"/proc/{pid}/comm").read_text().strip() == "conmon"]
        if not monitors:
            return "no monitor to kill"
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.random.choice(monitors), signal.SIGKILL)
        return f"killed a monitor on {node.name}"

    def cut_off(self) -> str:
        """Not the first node, on which the control plane stands."""
        node = self.random.choice(self._cluster.nodes[1:])
        seconds = self.random.choice((2, 8, 20))
        node.cut_off()
        time.sleep(seconds)
        node.let_in()
        return f"cut {node.name} off for {seconds} s"

    def kill_everything(self) -> str:
        """Control plane and all agents at once, as when the power goes and comes back; containers live on."""
        self._cluster.control.kill()
        for node in self._cluster.nodes:
            node.kill()
        self._cluster.control.start()
        for node in self._cluster.nodes:
            self._start(node)
        return "killed everything"

    def _start(self, node: NodeDaemon) -> None:
        time.sleep(self.random.uniform(0, 1))
        node.start()

    def _node(self) -> NodeDaemon:
        return self.random.choice(self._cluster.nodes)

    def _containers(self) -> tuple[NodeDaemon, list[str]]:
        node = self._node()
        found = node.docker("ps", "--quiet", "--filter", "label=io.kubernetes.pod.namespace=default")
        return node, found.stdout.split()


@contextlib.contextmanager
def life(cluster: Cluster) -> Iterator[tuple[Writers, Visitors, Twins]]:
    """The world with its people, all at work."""
    cluster.apply(WORLD)
    whole(cluster)
    address = cluster.get("service", "web")[0]["spec"]["clusterIP"]
    visiting = Visitors(cluster.nodes[0], f"http://{address}/")
    with Writers(cluster) as writers, visiting as visitors, Twins(cluster) as twins:
        yield writers, visitors, twins


def whole(cluster: Cluster) -> None:
    """All nodes and pods are Ready, and the service leads to exactly the pods that are."""
    cluster.until_ready(seconds=HEAL_SECONDS)
    for labels, count in (("app=web", 6), ("app=db", 3)):
        cluster.until_pods(count, labels, seconds=HEAL_SECONDS)

    def agrees() -> bool:
        ready = {pod["status"]["podIP"] for pod in cluster.pods("app=web") if condition(pod, "Ready") == "True"}
        return endpoints(cluster) == ready

    until(agrees, HEAL_SECONDS, lambda: f"the endpoints are the ready pods: {endpoints(cluster)}\n{cluster.report()}")


def endpoints(cluster: Cluster) -> set[str]:
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name=web"
    slices: list[dict[str, Any]] = cluster.control.request("GET", path).object["items"]
    return {
        address
        for one in slices
        for endpoint in one.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
        for address in endpoint["addresses"]
    }


def answered_well(cluster: Cluster) -> None:
    """After everything has healed, no request is lost, from any node."""
    address = cluster.get("service", "web")[0]["spec"]["clusterIP"]
    for node in cluster.nodes:
        for _ in range(SETTLED_REQUESTS // len(cluster.nodes)):
            try:
                assert node.namespace.page(f"http://{address}/", timeout=3), node.name
            except OSError as error:
                led = node.shell("nft list ruleset; ip route; ip neigh").stdout
                raise AssertionError(f"{error} on {node.name}: {cluster.report()}\n{led}") from None
