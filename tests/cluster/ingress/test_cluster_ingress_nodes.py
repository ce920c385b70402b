"""Names and Ingress on two real nodes: what pods, containers and machines outside see."""

import collections
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, running_cluster

APPLICATION = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {matchLabels: {app: web}}
      containers:
      - name: web
        image: busybox
        command: [sh, -c, 'mkdir /www; hostname > /www/index.html; echo $HOSTNAME > /www/sub; httpd -f -p 8080 -h /www']
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {port: http, path: /index.html}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {selector: {app: web}, clusterIP: None, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: balanced}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 8088, targetPort: http}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, annotations: {nginx.ingress.kubernetes.io/ssl-redirect: "true"}}
spec:
  tls: [{hosts: [safe.test]}]
  rules:
  - host: safe.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: http}}}}]}
  - host: plain.test
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home = tmp_path_factory.mktemp("c")
    with running_cluster(home, nodes=2) as cluster:
        cluster.apply(APPLICATION)
        cluster.until_pods(2, "app=web")
        yield cluster


def in_pod(cluster: Cluster, *command: str) -> str:
    pod = cluster.pods("app=web")[0]["metadata"]["name"]
    return cluster.kubectl("exec", pod, "--", *command, check=False).stdout


def asked(cluster: Cluster, node: int, host: str, *, port: int = 80, tls: bool = False) -> tuple[int, Any, bytes]:
    """As a machine outside of the cluster asks."""
    address = cluster.nodes[node].address

    def ask() -> tuple[int, Any, bytes]:
        connection = http.client.HTTPConnection(address, port, timeout=5)
        if tls:
            context = ssl.create_default_context(cafile=cluster.control.data / "pki" / "ca.crt")
            connection.connect()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
        try:
            connection.request("GET", "/sub", headers={"Host": host})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    found: tuple[int, Any, bytes] = cluster.clients.run(ask)
    return found


def is_served(cluster: Cluster, node: int, host: str, **how: Any) -> bool:
    try:
        return asked(cluster, node, host, **how)[0] == 200
    except OSError:
        return False


def test_pods_find_services_and_each_other(cluster: Cluster) -> None:
    service = cluster.get("service", "web")[0]["spec"]["clusterIP"]
    addresses = sorted(pod["status"]["podIP"] for pod in cluster.pods("app=web"))
    for name in ("web", "web.default.svc.cluster.local", "outside"):
        assert service in in_pod(cluster, "nslookup", name), name
    found = in_pod(cluster, "nslookup", "peers.default.svc.cluster.local")
    assert all(address in found for address in addresses)
    assert "NXDOMAIN" in in_pod(cluster, "nslookup", "nobody.default.svc.cluster.local")
    assert "kubernetes.default.svc.cluster.local" in in_pod(cluster, "nslookup", "10.96.0.1")


def test_containers_and_pods_find_each_other_by_name(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    node.docker("network", "create", "shop_default")
    node.docker("run", "-d", "--name", "db", "--network", "shop_default", "busybox", "sleep", "600")
    service = cluster.get("service", "web")[0]["spec"]["clusterIP"]
    for name in ("web.default.svc", "web.default.svc.cluster.local"):
        assert service in node.docker("exec", "db", "nslookup", name, check=False).stdout
    pid = node.docker("inspect", "db", "-f", "{{.State.Pid}}").stdout.strip()
    reached = node.shell(f"nsenter --target {pid} --net -- wget -q -T 5 -O - http://{service}/sub", check=False)
    assert reached.stdout.startswith("web-"), reached
    address = node.docker(
        "inspect", "db", "-f", '{{(index .NetworkSettings.Networks "shop_default").IPAddress}}'
    ).stdout.strip()
    here = next(pod for pod in cluster.pods("app=web") if pod["spec"]["nodeName"] == node.name)["metadata"]["name"]
    for name in ("db.", "db.shop.docker.internal", "db.shop_default.docker.internal"):
        assert address in cluster.kubectl("exec", here, "--", "nslookup", name, check=False).stdout, name
    node.docker("rm", "-f", "db")
    node.docker("network", "rm", "shop_default")


@pytest.mark.skipif(not Path("/usr/sbin/haproxy").exists(), reason="haproxy is not installed")
def test_ingress_serves_on_each_node(cluster: Cluster) -> None:
    for node in (0, 1):
        cluster.until(lambda node=node: is_served(cluster, node, "plain.test"), 15, "the Ingress is served")
    found = {asked(cluster, 0, "plain.test")[2] for _ in range(10)}
    assert len(found) == 2
    status, headers, _ = asked(cluster, 1, "safe.test")
    assert (status, headers["Location"]) == (308, "https://safe.test/sub")
    cluster.until(lambda: is_served(cluster, 1, "safe.test", port=443, tls=True), 15, "it is served with TLS")

    def pointed() -> bool:
        points = cluster.get("ingress", "web")[0]["status"]["loadBalancer"].get("ingress") or ()
        return {point["ip"] for point in points} == {node.address for node in cluster.nodes}

    cluster.until(pointed, 10, "the Ingress says where it is served")


@pytest.mark.skipif(not Path("/usr/sbin/haproxy").exists(), reason="haproxy is not installed")
def test_no_request_is_lost_while_a_new_version_comes(cluster: Cluster) -> None:
    cluster.until(lambda: is_served(cluster, 0, "plain.test"), 15, "the Ingress is served")
    over, answers = threading.Event(), collections.Counter[object]()

    def load() -> None:
        while not over.is_set():
            try:
                answers[asked(cluster, len(answers) % 2, "plain.test")[0]] += 1
            except OSError as error:
                answers[repr(error)] += 1

    loads = [threading.Thread(target=load) for _ in range(3)]
    for one in loads:
        one.start()
    try:
        cluster.kubectl("rollout", "restart", "deployment/web")
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        cluster.until_pods(2, "app=web")
    finally:
        over.set()
        for one in loads:
            one.join()
    assert set(answers) == {200}, answers
    assert answers[200] > 50


def test_a_load_balancer_has_the_nodes_addresses(cluster: Cluster) -> None:
    for node in (0, 1):
        cluster.until(lambda node=node: is_served(cluster, node, "any", port=8088), 10, "the balancer is served")


def is_refused() -> bool:
    """Whether who asks the nameserver now is told to go away; else he waits, and asks again."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1.0)
        asking.connect(("10.96.0.10", 53))
        asking.send(b"\x01\x02\x01\x00\x00\x01" + bytes(6) + b"\x03web\x00\x00\x01\x00\x01")
        try:
            asking.recv(512)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
    raise AssertionError("nobody should answer")


@pytest.mark.skipif(not Path("/usr/sbin/haproxy").exists(), reason="haproxy is not installed")
def test_ingress_goes_on_while_the_daemon_is_killed(cluster: Cluster) -> None:
    cluster.until(lambda: is_served(cluster, 1, "plain.test"), 15, "the Ingress is served")
    assert cluster.nodes[1].process is not None
    cluster.nodes[1].process.kill()
    cluster.nodes[1].process.wait()
    assert is_served(cluster, 1, "plain.test")
    assert not cluster.nodes[1].namespace.run(is_refused)
    cluster.nodes[1].start()
    cluster.until_ready()
    assert is_served(cluster, 1, "plain.test")
    cluster.kubectl("delete", "ingress", "web")
    cluster.until(lambda: not is_served(cluster, 1, "plain.test"), 15, "it is served no more")
