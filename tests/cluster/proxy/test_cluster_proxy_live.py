"""Pods and services on two real nodes: who reaches whom, also with Docker's containers, while the node's daemon is
dead, and that nothing stays when a node leaves."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, running_cluster

pytestmark = pytest.mark.slow

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {matchLabels: {app: web}}
      containers:
      - name: web
        image: busybox
        command: [sh, -c, "mkdir /w; hostname > /w/index.html; exec httpd -f -p 8080 -h /w"]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: asker, labels: {role: asker}}
spec: {nodeName: node1, containers: [{name: asker, image: busybox, command: [sleep, "1000"]}]}
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {role: friend}}}]
    ports: [{port: 8080}]
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pool = ("--load-balancer-pool", "192.168.50.200-192.168.50.201")
    with (
        tempfile.TemporaryDirectory(prefix="bx") as home,
        running_cluster(Path(home), nodes=2, control_options=pool) as cluster,
    ):
        cluster.apply(WEB)
        cluster.until_pods(4, "app=web")
        cluster.until_pods(1, "role=asker")
        yield cluster


def address(cluster: Cluster) -> str:
    return str(cluster.get("service", "web")[0]["spec"]["clusterIP"])


def names(cluster: Cluster) -> dict[str, str]:
    """Addresses by name of the pods that answer."""
    return {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in cluster.pods("app=web")}


def heard(cluster: Cluster, target: str, port: int = 8080, times: int = 1) -> set[str]:
    """Who answers the asking pod."""
    ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 {target} {port} | tail -n 1"
    script = f"for i in $(seq {times}); do {ask}; done"
    return set(cluster.kubectl("exec", "asker", "--", "sh", "-c", script, check=False).stdout.split())


def pages(place: Any, url: str, times: int = 24) -> set[str]:
    return {place.page(url, timeout=2).strip() for _ in range(times)}


def all_answer(cluster: Cluster, place: Any, url: str) -> None:
    """Each pod of the service answers there; one is chosen by chance, and nodes hear of new ones a little later."""
    wanted = set(names(cluster))

    def answered() -> bool:
        try:
            return pages(place, url) == wanted
        except OSError:
            return False

    cluster.until(answered, 10, f"all answer at {url}")


def test_everybody_reaches_the_service(cluster: Cluster) -> None:
    every = names(cluster)
    assert {pod["spec"]["nodeName"] for pod in cluster.pods("app=web")} == {"node1", "node2"}
    cluster.until(lambda: heard(cluster, address(cluster), 80, times=24) == set(every), 10, "all answer the pod")
    cluster.until(lambda: all(heard(cluster, found) == {name} for name, found in every.items()), 10, "each answers")
    for node in cluster.nodes:
        all_answer(cluster, node.namespace, f"http://{address(cluster)}/")
        all_answer(cluster, cluster.clients, f"http://{node.address}:30080/")
        all_answer(cluster, node.namespace, "http://127.0.0.1:30080/")


def test_a_balancers_address_is_answered_for(cluster: Cluster) -> None:
    cluster.kubectl(
        "expose", "deployment", "web", "--name=front", "--type=LoadBalancer", "--port=80", "--target-port=8080"
    )

    def ingress() -> list[dict[str, str]]:
        return list(cluster.get("service", "front")[0]["status"]["loadBalancer"].get("ingress", []))

    def there() -> bool:
        try:
            return bool(cluster.clients.page(f"http://{ingress()[0]['ip']}/", timeout=1))
        except OSError:
            return False

    try:
        cluster.until(ingress, 5, "the balancer has an address")
        cluster.until(there, 5, "somebody answers for it")
        all_answer(cluster, cluster.clients, f"http://{ingress()[0]['ip']}/")
        answering = [node for node in cluster.nodes if "192.168.50.200" in node.shell("ip neigh show proxy").stdout]
        assert len(answering) == 1
        local = '{"spec":{"externalTrafficPolicy":"Local"}}'
        cluster.kubectl("patch", "service", "front", "-p", local)
        own = {
            pod["metadata"]["name"] for pod in cluster.pods("app=web") if pod["spec"]["nodeName"] == answering[0].name
        }
        url = f"http://{ingress()[0]['ip']}/"
        cluster.until(lambda: pages(cluster.clients, url) == own, 5, "the traffic stays on the node")
    finally:
        cluster.kubectl("delete", "service", "front")


def test_containers_and_pods_reach_each_other(cluster: Cluster) -> None:
    script = "mkdir /w; echo compose > /w/index.html; exec httpd -f -p 8080 -h /w"
    cluster.docker(0, "network", "create", "shop")
    cluster.docker(0, "run", "-d", "--name", "one", "--network", "shop", "busybox", "sh", "-c", script)
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    own = cluster.docker(0, "inspect", "-f", form, "one").stdout.strip()
    try:
        cluster.until(lambda: heard(cluster, own) == {"compose"}, 10, "the container answers")
        for target, port in ((address(cluster), 80), *((found, 8080) for found in names(cluster).values())):
            ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 1 {target} {port} | tail -n 1"
            assert cluster.docker(0, "exec", "one", "sh", "-c", ask).stdout.strip() in names(cluster)
    finally:
        cluster.docker(0, "rm", "-f", "one")
        cluster.docker(0, "network", "rm", "shop")


def test_policies_count_for_every_pod(cluster: Cluster) -> None:
    pods = {pod["spec"]["nodeName"]: pod for pod in cluster.pods("app=web")}  # one of each node
    every = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in pods.values()}
    cluster.apply(POLICY)
    try:
        for found in every.values():
            cluster.until(lambda found=found: not heard(cluster, found), 5, "the policy is in force")
        assert not heard(cluster, address(cluster), 80)
        cluster.kubectl("label", "pod", "asker", "role=friend", "--overwrite")
        for name, found in every.items():
            cluster.until(lambda name=name, found=found: heard(cluster, found) == {name}, 5, "friends pass")
        for node in cluster.nodes:  # each reaches its own pods
            pod = pods[node.name]
            assert pages(node.namespace, f"http://{pod['status']['podIP']}:8080/", 1) == {pod["metadata"]["name"]}
    finally:
        cluster.kubectl("delete", "networkpolicy", "web")
        cluster.kubectl("label", "pod", "asker", "role=asker", "--overwrite")
    cluster.until(
        lambda: "policies" not in cluster.shell(0, "nft list tables").stdout, 5, "no rule of policies is left"
    )


def test_an_endpoint_that_leaves_is_asked_no_more(cluster: Cluster) -> None:
    name = min(names(cluster))
    path = f"/api/v1/namespaces/default/pods/{name}"
    merge = {"Content-Type": "application/merge-patch+json"}
    begun = time.monotonic()
    answer = cluster.control.request("PATCH", path, {"metadata": {"labels": {"app": "other"}}}, merge)
    assert answer.status == 200, answer
    while name in pages(cluster.nodes[1].namespace, f"http://{address(cluster)}/", 12):
        assert time.monotonic() - begun < 15, "the pod is still asked"
    cluster.kubectl("delete", "pod", name, "--now")
    cluster.until_pods(4, "app=web")


def test_traffic_goes_on_while_the_daemon_is_dead(cluster: Cluster) -> None:
    node = cluster.nodes[1]
    node.kill()
    try:
        for place in (node.namespace, cluster.clients):
            assert pages(place, "http://192.168.50.12:30080/") <= set(names(cluster))
            all_answer(cluster, place, "http://192.168.50.12:30080/")
    finally:
        node.start()
    cluster.until_ready()
    cluster.kubectl("rollout", "restart", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.until_pods(4, "app=web")
    for place in (node.namespace, cluster.clients):
        all_answer(cluster, place, "http://192.168.50.12:30080/")


SHUT = """
apiVersion: v1
kind: Namespace
metadata: {name: shut}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: shut}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
"""
CALLER = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: shut}
spec:
  nodeName: node2
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "while :; do nc -w 1 TARGET 8080 </dev/null && echo through; echo tried; sleep 0.1; done"]
"""


def test_new_pods_are_behind_walls_though_the_daemon_is_killed(cluster: Cluster) -> None:
    """At any moment of their beginning, and of the next daemon's."""
    node = cluster.nodes[1]
    target = next(iter(names(cluster).values()))
    cluster.apply(SHUT)
    try:
        for turn in range(4):
            made = [f"c{turn}{letter}" for letter in "abc"]
            texts = [CALLER.replace("NAME", name).replace("TARGET", target) for name in made]
            cluster.apply("---\n".join(texts))
            for _ in range(turn):  # at another step each time
                cluster.kubectl("get", "pods", "-n", "shut")
            node.kill()
            node.start()
            cluster.until_ready()
            for name in made:
                cluster.until(lambda name=name: "tried" in said(cluster, name), 30, f"{name} has called")
        every = [said(cluster, pod["metadata"]["name"]) for pod in cluster.pods(namespace="shut")]
        assert len(every) == 12 and not any("through" in words for words in every)
    finally:
        cluster.kubectl("delete", "namespace", "shut")


def said(cluster: Cluster, name: str) -> list[str]:
    return cluster.kubectl("logs", "-n", "shut", name, check=False).stdout.split()


def test_nothing_stays_of_a_node_that_left(cluster: Cluster) -> None:
    block = cluster.get("node", "node2")[0]["spec"]["podCIDR"]
    assert block in cluster.shell(0, "ip route").stdout
    cluster.boxship(1, "node", "leave")
    left = cluster.shell(1, "nft list tables; ip route; ip link").stdout
    assert "services" not in left and "policies" not in left and "10.96." not in left and "proto 98" not in left
    assert "_fence" not in left and "table bridge" not in left
    cluster.kubectl("delete", "node", "node2", "--ignore-not-found")
    cluster.until(lambda: block not in cluster.shell(0, "ip route").stdout, 5, "the way to its pods is gone")
