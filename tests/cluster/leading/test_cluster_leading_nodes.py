"""Two control planes over one etcd, two nodes, an address that moves to whoever lives, as keepalived moves it. The one
that leads is killed in the middle of a rolling update under load: another goes on, and nobody loses a request."""

import concurrent.futures
import contextlib
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from etcd_kit import etcd_program
from namespaces_kit import Namespace
from nodes_kit import Cluster, NodesControl, condition

from daemons import START_DEADLINE, until

pytestmark = pytest.mark.slow
STORE, SHARED, PLACES = "192.168.50.90", "192.168.50.20", ("192.168.50.21", "192.168.50.22")
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/web"
TAKEOVER = 40.0  # seconds: a lease of 15, and then some
WORLD = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 6
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - name: web
          image: busybox
          imagePullPolicy: IfNotPresent
          env: [{name: VERSION, value: "0"}]
          command: [sh, -c, "mkdir /www; echo $VERSION > /www/index.html; trap exit TERM; httpd -f -h /www & wait"]
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
"""


class Plane(NodesControl):
    """One of several, on a machine of its own. Who asks stands elsewhere, and asks the shared address."""

    def __init__(self, home: Path, machine: Namespace, clients: Namespace) -> None:
        options = ("--store", f"etcd:http://{STORE}:2379", "--advertise", f"{SHARED}:6443", "--name", SHARED)
        super().__init__(home, SHARED, clients, *options)
        self.machine = machine

    def launch(self) -> None:
        program = Path(sys.executable).parent / "boxship-control"
        roots = ("--data-root", str(self.data), "--run-root", str(self.run))
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.machine.enter, str(program), *roots, "--listen", f"0.0.0.0:{self.port}", *self.options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start(self) -> None:
        self.launch()
        until(self.is_ready, START_DEADLINE, lambda: f"boxship-control answers; its log:\n{self.said()}")

    def take(self, other: "Plane | None" = None) -> None:
        """The shared address."""
        if other is not None:
            other.machine.shell(f"ip addr del {SHARED}/24 dev eth0", check=False)
        self.machine.shell(f"ip addr add {SHARED}/24 dev eth0 && busybox arping -q -U -c 2 -I eth0 {SHARED}")


class TwoPlanes(Cluster):
    """`control` is the one that has the shared address."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, 2, (), ())
        self.store = Namespace()
        self.switch.join(self.store, STORE)
        self.planes = []
        for number, place in enumerate(PLACES):
            machine = Namespace()
            self.switch.join(machine, place)
            self.planes.append(Plane(home / f"plane{number}", machine, self.clients))
        self.control = self.planes[0]
        self.etcd: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        urls = f"http://{STORE}:2379"
        command = [etcd_program(), "--data-dir", str(self.home / "etcd"), "--listen-client-urls", urls]
        with (self.home / "etcd.log").open("ab") as log:
            self.etcd = subprocess.Popen(
                [*self.store.enter, *command, "--advertise-client-urls", urls, "--unsafe-no-fsync"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        one, two = self.planes
        one.take()
        self.start(join=True, image=True)
        (two.home / "control").mkdir(parents=True)
        shared = [str(one.data / name) for name in ("pki", "encryption.key")]
        subprocess.run(["cp", "-a", *shared, str(two.data)], check=True)
        two.launch()

    def fail_over(self) -> Plane:
        """Kill the plane that leads and has the address; the other, which has them then."""
        dead, alive = self.control, next(one for one in self.planes if one is not self.control)
        assert isinstance(dead, Plane)
        dead.kill()
        alive.take(dead)
        self.control = alive
        return dead

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self.etcd is not None:
                self.etcd.kill()
                self.etcd.wait()
            for machine in (self.store, *(plane.machine for plane in self.planes)):
                machine.close()

    def asked(self, path: str) -> Any:
        """None while nobody answers."""
        with contextlib.suppress(OSError, ValueError):
            answer = self.control.request("GET", path)
            return answer.object if answer.status == 200 else None


class Load:
    """Requests to the service from both nodes, and objects that are made, all the time."""

    def __init__(self, cluster: TwoPlanes, address: str) -> None:
        self.answers: Counter[str] = Counter()
        self.kept: set[str] = set()
        self._cluster, self._url = cluster, f"http://{address}/"
        self._over = threading.Event()
        self._pool = concurrent.futures.ThreadPoolExecutor(3)

    def __enter__(self) -> "Load":
        self._begun = [self._pool.submit(self._visit, node.namespace) for node in self._cluster.nodes]
        self._begun.append(self._pool.submit(self._write))
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for one in self._begun:
            one.result()

    def _visit(self, place: Namespace) -> None:
        while not self._over.wait(0.005):
            try:
                self.answers["well" if place.page(self._url, timeout=10) else "empty"] += 1
            except OSError as error:
                self.answers[f"lost: {error}"] += 1

    def _write(self) -> None:
        count = 0
        while not self._over.wait(0.05):
            count += 1
            body = {"metadata": {"name": f"kept-{count}"}}
            with contextlib.suppress(OSError, ValueError):
                made = self._cluster.control.request("POST", "/api/v1/namespaces/default/configmaps", body)
                if made.status == 201:
                    self.kept.add(f"kept-{count}")


@pytest.fixture
def cluster() -> Iterator[TwoPlanes]:
    with tempfile.TemporaryDirectory(prefix="bx") as home:
        Path(home).chmod(0o711)
        made = TwoPlanes(Path(home))
        try:
            made.begin()
            yield made
        finally:
            made.close()


def test_the_one_that_leads_is_killed_under_load(cluster: TwoPlanes) -> None:
    cluster.apply(WORLD)
    cluster.until_pods(6, "app=web")
    address = cluster.get("service", "web")[0]["spec"]["clusterIP"]
    for node in cluster.nodes:
        cluster.until(lambda node=node: node.namespace.answers(f"http://{address}/"), 20, "the service answers")  # type: ignore[misc]
    unready: list[str] = []
    twins: list[int] = []

    def rolled(version: str) -> bool:
        nodes, pods = cluster.asked("/api/v1/nodes"), cluster.asked("/api/v1/namespaces/default/pods")
        found = cluster.asked(DEPLOYMENT)
        if nodes is None or pods is None or found is None:
            return False
        unready.extend(one["metadata"]["name"] for one in nodes["items"] if condition(one, "Ready") != "True")
        twins.append(sum(not one["metadata"].get("deletionTimestamp") for one in pods["items"]))
        status = found.get("status", {})
        counts = [status.get(key) for key in ("updatedReplicas", "availableReplicas", "replicas")]
        (container,) = found["spec"]["template"]["spec"]["containers"]
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return current and counts == [6, 6, 6] and container["env"][0]["value"] == version

    with Load(cluster, address) as load:
        for version in ("1", "2"):
            leader = cluster.asked(LEASE)["spec"]["holderIdentity"]
            cluster.kubectl("set", "env", "deployment/web", f"VERSION={version}")

            def halfway() -> bool:
                found = cluster.asked(DEPLOYMENT)
                return bool(found and 2 <= found["status"].get("updatedReplicas", 0) <= 5)

            cluster.until(halfway, 30, "the update is under way")
            dead = cluster.fail_over()
            until(
                lambda leader=leader: (
                    (cluster.asked(LEASE) or {"spec": {}})["spec"].get("holderIdentity") not in ("", None, leader)
                ),  # type: ignore[misc]
                TAKEOVER,
                lambda: f"the other leads:\n{cluster.control.said()}",
            )
            cluster.until(lambda version=version: rolled(version), 60, f"version {version} is everywhere")  # type: ignore[misc]
            dead.launch()
    told = f"{load.answers}; {len(load.kept)} objects"
    assert set(load.answers) == {"well"} and load.answers["well"] > 100, told
    assert not unready, f"no node was lost: {unready}"
    assert max(twins) <= 7, f"two made pods: {twins}"
    there = {one["metadata"]["name"] for one in cluster.asked("/api/v1/namespaces/default/configmaps")["items"]}
    assert len(load.kept) > 50 and load.kept <= there, told
