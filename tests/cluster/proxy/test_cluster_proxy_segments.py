"""A cluster on two network segments with a router between them: three nodes, of which two are neighbours. Pods,
services, names, policies and node ports hold across, through the tunnel."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, running_cluster

pytestmark = pytest.mark.slow
WORLD = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: busybox
          imagePullPolicy: IfNotPresent
          command: [sh, -c, "mkdir -p /www/cgi-bin && hostname > /www/index.html && printf '#!/bin/sh\\necho; echo $REMOTE_ADDR' > /www/cgi-bin/who && chmod +x /www/cgi-bin/who && exec httpd -f -p 80 -h /www"]
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: NodePort
  selector: {app: web}
  ports: [{port: 80, nodePort: 30080}]
"""  # noqa: E501
WALL = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: wall}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from: [{podSelector: {matchLabels: {may: ask}}}]
"""
LARGE = 3_000_000  # bytes, in full packets


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with (
        tempfile.TemporaryDirectory(prefix="bx") as home,
        running_cluster(Path(home), nodes=3, segments=2) as running,
    ):
        running.apply(WORLD)
        running.until_pods(3, "app=web")
        yield running


def by_node(cluster: Cluster) -> dict[str, Any]:
    return {pod["spec"]["nodeName"]: pod for pod in cluster.pods("app=web")}


def ask(cluster: Cluster, pod: Any, url: str, *, check: bool = True) -> str:
    words = ("exec", pod["metadata"]["name"], "--", "timeout", "5", "wget", "-qO-", url)
    return cluster.kubectl(*words, check=check).stdout.strip()


def test_neighbours_are_reached_straight_and_others_by_the_tunnel(cluster: Cluster) -> None:
    addresses = [node.address.rpartition(".")[0] for node in cluster.nodes]
    assert addresses == ["192.168.50", "192.168.51", "192.168.50"]
    blocks = {node["metadata"]["name"]: node["spec"]["podCIDR"] for node in cluster.get("nodes")}
    routes = cluster.shell(0, "ip route").stdout
    assert f"{blocks['node3']} via 192.168.50.13 dev eth0" in routes
    far = next(line for line in routes.splitlines() if line.startswith(blocks["node2"]))
    assert "-vx" in far and "192.168.51.12" not in far


def test_pods_meet_under_their_own_addresses(cluster: Cluster) -> None:
    pods = by_node(cluster)
    for one in pods.values():
        for other in pods.values():
            url = f"http://{other['status']['podIP']}/cgi-bin/who"
            if one is not other:
                assert ask(cluster, one, url).strip("[]").removeprefix("::ffff:") == one["status"]["podIP"], url


def test_large_packets_pass(cluster: Cluster) -> None:
    pods = by_node(cluster)
    name = pods["node2"]["metadata"]["name"]
    cluster.kubectl("exec", name, "--", "sh", "-c", f"head -c {LARGE} /dev/zero > /www/large")
    for asking in ("node1", "node3"):
        fetch = f"timeout 20 wget -qO- http://{pods['node2']['status']['podIP']}/large | wc -c"
        found = cluster.kubectl("exec", pods[asking]["metadata"]["name"], "--", "sh", "-c", fetch).stdout
        assert int(found) == LARGE


def test_services_and_names_lead_across(cluster: Cluster) -> None:
    pods = by_node(cluster)
    names = {pod["metadata"]["name"] for pod in pods.values()}
    for pod in pods.values():
        said = {ask(cluster, pod, "http://web.default.svc.cluster.local/") for _ in range(24)}
        assert said == names, f"from {pod['spec']['nodeName']}"
    for node in cluster.nodes:
        said = {cluster.clients.page(f"http://{node.address}:30080/").strip() for _ in range(24)}
        assert said == names, f"by the port of {node.name}"
        address = cluster.get("service", "web")[0]["spec"]["clusterIP"]
        assert {node.namespace.page(f"http://{address}/").strip() for _ in range(24)} == names


def test_logs_and_exec_reach_agents_across(cluster: Cluster) -> None:
    pod = by_node(cluster)["node2"]["metadata"]["name"]
    assert cluster.kubectl("exec", pod, "--", "hostname").stdout.strip() == pod
    assert cluster.kubectl("logs", pod).returncode == 0


def test_policies_know_pods_across(cluster: Cluster) -> None:
    pods = by_node(cluster)
    cluster.apply(WALL)
    try:
        for asking, asked in (("node1", "node2"), ("node2", "node1"), ("node2", "node3")):
            url = f"http://{pods[asked]['status']['podIP']}/"
            name = pods[asking]["metadata"]["name"]
            cluster.until(
                lambda asking=asking, url=url: ask(cluster, pods[asking], url, check=False) == "",  # type: ignore[misc]
                20,
                f"{asking} does not reach {asked}",
            )
            cluster.kubectl("label", "pod", name, "may=ask")
            cluster.until(
                lambda asking=asking, url=url: ask(cluster, pods[asking], url, check=False) != "",  # type: ignore[misc]
                20,
                f"{asking} reaches {asked}",
            )
            cluster.kubectl("label", "pod", name, "may-")
    finally:
        cluster.kubectl("delete", "networkpolicy", "wall")


def test_a_node_that_moves_to_the_other_segment_is_found_there(cluster: Cluster) -> None:
    """Its own address changes, its pods' do not."""
    node = cluster.nodes[2]
    node.stop()
    cluster.switch.shell("ip link set port4 nomaster && ip link set port4 master switch1")
    node.shell(
        "ip addr flush dev eth0 && ip addr add 192.168.51.13/24 dev eth0 && ip route add default via 192.168.51.1"
    )
    node.start()
    cluster.until(
        lambda: any(
            one["address"] == "192.168.51.13"
            for found in cluster.get("nodes")
            if found["metadata"]["name"] == node.name
            for one in found["status"]["addresses"]
        ),
        60,
        "the node says its new address",
    )
    pods = by_node(cluster)
    for asking, asked in (("node1", "node3"), ("node3", "node1"), ("node2", "node3"), ("node3", "node2")):
        url = f"http://{pods[asked]['status']['podIP']}/"
        cluster.until(
            lambda asking=asking, url=url: ask(cluster, pods[asking], url, check=False) != "",  # type: ignore[misc]
            30,
            f"{asking} reaches {asked}",
        )
    blocks = {one["metadata"]["name"]: one["spec"]["podCIDR"] for one in cluster.get("nodes")}
    assert f"{blocks['node3']} via 192.168.51.13 dev eth0" in cluster.shell(1, "ip route").stdout
