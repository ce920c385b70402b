"""Three nodes: pods and services across them, names on each, drain; a node that dies, and one that is cut off."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes_kit import Cluster, condition, running_cluster

from daemons import until

DOCKERFILE = """FROM busybox
STOPSIGNAL SIGKILL
CMD ["sh", "-c", "hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
"""
LABELS = "app=web"
SOON = """
- op: add
  path: /spec/template/spec/tolerations
  value:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}
- op: add
  path: /spec/template/spec/containers/0/readinessProbe
  value: {tcpSocket: {port: 8080}, periodSeconds: 1}
"""
MOVE_SECONDS = 120.0  # a node counts as gone after 40


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_cluster(Path(folder), nodes=3) as made:
        made.nodes[0].build("web", DOCKERFILE)  # the others have it from this one
        made.kubectl("create", "deployment", "web", "--image=web", "--replicas=6")
        made.kubectl("patch", "deployment", "web", "--type=json", f"-p={SOON}")
        made.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        made.until_pods(6, LABELS)
        made.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
        yield made


def homes(cluster: Cluster) -> set[str]:
    """The nodes that have pods which are to stay."""
    pods = cluster.pods(LABELS)
    return {pod["spec"].get("nodeName", "") for pod in pods if not pod["metadata"].get("deletionTimestamp")}


def names(cluster: Cluster) -> set[str]:
    return {pod["metadata"]["name"] for pod in cluster.pods(LABELS)}


def address(cluster: Cluster) -> str:
    return str(cluster.get("service", "web")[0]["spec"]["clusterIP"])


def ready(cluster: Cluster) -> int:
    return sum(
        condition(pod, "Ready") == "True" and not pod["metadata"].get("deletionTimestamp")
        for pod in cluster.pods(LABELS)
    )


def test_every_pod_reaches_every_other_under_its_own_address(cluster: Cluster) -> None:
    assert homes(cluster) == {"node1", "node2", "node3"}
    pods = cluster.pods(LABELS)
    addresses = [pod["status"]["podIP"] for pod in pods]
    script = " && ".join(f"wget -qO- http://{address}:8080/" for address in addresses)
    for pod in pods:
        found = cluster.kubectl("exec", pod["metadata"]["name"], "--", "sh", "-c", script).stdout.split()
        assert found == [other["metadata"]["name"] for other in pods]


SHUT = """
apiVersion: v1
kind: Namespace
metadata: {name: shut}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody, namespace: shut}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: free, namespace: shut}
spec: {podSelector: {matchLabels: {app: free}}, policyTypes: [Egress], egress: [{}]}
"""


def test_new_pods_begin_behind_their_policies(cluster: Cluster) -> None:
    """Their first words go to a pod of their own node and to one of another."""
    cluster.apply(SHUT)
    tables = "nft list tables"
    cluster.kubectl("run", "first", "-n", "shut", "--image=busybox", "--image-pull-policy=Never", "--", "sleep", "100")
    cluster.until(lambda: "policies" in "".join(cluster.shell(n, tables).stdout for n in range(3)), 10, "they count")
    targets = {pod["spec"]["nodeName"]: pod["status"]["podIP"] for pod in cluster.pods(LABELS)}

    def caller(number: int, app: str) -> str:
        called = (targets[f"node{(number + more) % 3 + 1}"] for more in range(2))
        call = "; ".join(f"nc -w 1 {found} 8080 </dev/null && echo through" for found in called)
        limit = "terminationGracePeriodSeconds: 0, restartPolicy: Never"
        container = f'{{name: c, image: busybox, imagePullPolicy: Never, command: [sh, -c, "{call}; echo end"]}}'
        place = f"nodeName: node{number % 3 + 1}"
        name = f"{{name: {app}{number}, namespace: shut, labels: {{app: {app}}}}}"
        return f"apiVersion: v1\nkind: Pod\nmetadata: {name}\nspec: {{{limit}, {place}, containers: [{container}]}}\n"

    cluster.apply("---\n".join(caller(number, app) for app in ("caught", "free") for number in range(3)))
    for app, said in (("caught", 0), ("free", 2)):
        for number in range(3):
            name = f"{app}{number}"

            def words(name: str = name) -> list[str]:
                return cluster.kubectl("logs", "-n", "shut", name, check=False).stdout.split()

            cluster.until(lambda words=words: "end" in words(), 20, f"{name} has spoken")
            assert words().count("through") == said, name
    cluster.kubectl("delete", "pod", "first", "-n", "shut", "--now")
    cluster.kubectl("delete", "namespace", "shut")  # its pods have no controller: no drain would go on with them


def test_a_service_leads_to_all_of_them_from_everywhere(cluster: Cluster) -> None:
    page = f"http://{address(cluster)}/"
    for node in cluster.nodes:
        until(lambda node=node: node.namespace.answers(page), 10, f"it answers on {node.name}")  # type: ignore[misc]
        seen: set[str] = set()
        until(lambda node=node, seen=seen: seen.add(node.namespace.page(page).strip()) or len(seen) > 4, 20, "all")  # type: ignore[misc]
        assert seen <= names(cluster)
    for pod in cluster.pods(LABELS):
        assert cluster.kubectl("exec", pod["metadata"]["name"], "--", "wget", "-qO-", "http://web/").stdout


def test_logs_and_exec_reach_every_node(cluster: Cluster) -> None:
    for pod in cluster.pods(LABELS):
        name = pod["metadata"]["name"]
        assert cluster.kubectl("exec", name, "--", "cat", "/etc/hostname").stdout.strip() == name
        assert cluster.kubectl("logs", name).returncode == 0


def test_a_drained_node_is_empty(cluster: Cluster) -> None:
    cluster.kubectl("drain", "node2", "--ignore-daemonsets", "--timeout=60s")
    cluster.until_pods(6, LABELS)
    assert homes(cluster) == {"node1", "node3"}
    until(lambda: not cluster.docker(1, "ps", "-q").stdout, 10, "its pods' containers are gone")
    cluster.kubectl("uncordon", "node2")
    cluster.kubectl("rollout", "restart", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.until(lambda: "node2" in homes(cluster), 20, "node2 has pods again")
    cluster.until_pods(6, LABELS)


@pytest.mark.slow
def test_pods_of_a_dead_node_move(cluster: Cluster) -> None:
    node = cluster.nodes[2]
    node.kill()
    cluster.until(lambda: "node3" not in homes(cluster) and ready(cluster) == 6, MOVE_SECONDS, "pods have moved")
    node.start()
    cluster.until_ready()
    cluster.until_pods(6, LABELS, seconds=60)  # those that were deleted meanwhile end now
    until(lambda: not cluster.docker(2, "ps", "-q").stdout, 20, "the moved pods are gone from the machine")


@pytest.mark.slow
def test_a_node_that_is_cut_off_comes_back(cluster: Cluster) -> None:
    node = cluster.nodes[1]
    cluster.kubectl("rollout", "restart", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.until_pods(6, LABELS)
    cluster.until(lambda: "node2" in homes(cluster), 20, "node2 has pods")
    page = f"http://{address(cluster)}/"
    running = cluster.docker(1, "ps", "-q").stdout
    node.cut_off()
    cluster.until(lambda: "node2" not in homes(cluster) and ready(cluster) == 6, MOVE_SECONDS, "pods have moved")
    assert cluster.docker(1, "ps", "-q").stdout == running  # nobody could tell it to end them
    for _ in range(20):
        assert cluster.nodes[0].namespace.page(page).strip() in names(cluster)
    node.let_in()
    cluster.until_ready(seconds=60)
    cluster.until_pods(6, LABELS, seconds=60)
    until(
        lambda: not set(running.split()) & set(cluster.docker(1, "ps", "-q").stdout.split()), 20, "the old ones ended"
    )
