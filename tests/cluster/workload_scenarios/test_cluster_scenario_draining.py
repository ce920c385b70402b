"""Two nodes through stock kubectl: a drain that keeps its budget, evictions beyond it, taints and labels."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from nodes_kit import Cluster, running_cluster

pytestmark = pytest.mark.slow  # test_cluster_scenario_nodes has the same in short

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
      containers:
        - name: web
          image: busybox
          imagePullPolicy: IfNotPresent
          command: [httpd, -f, -p, "80", -h, /www]
          readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 1}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  minAvailable: 3
  selector: {matchLabels: {app: web}}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("draining"), nodes=2) as running:
        running.apply(WEB)
        running.until_pods(4, "app=web")
        yield running


def places(cluster: Cluster) -> Counter[str]:
    return Counter(pod["spec"].get("nodeName", "") for pod in cluster.pods("app=web"))


def test_a_drain_keeps_the_budget_and_leaves_the_node_empty(cluster: Cluster) -> None:
    assert places(cluster) == {"node1": 2, "node2": 2}
    cluster.kubectl("cordon", "node2")
    assert "SchedulingDisabled" in cluster.kubectl("get", "node", "node2").stdout
    drained = cluster.kubectl("drain", "node2", "--ignore-daemonsets", "--timeout=60s")
    assert "evicting pod" in drained.stdout + drained.stderr
    cluster.until_pods(4, "app=web")
    assert places(cluster) == {"node1": 4}
    cluster.kubectl("uncordon", "node2")
    cluster.kubectl("rollout", "restart", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.until_pods(4, "app=web")
    assert places(cluster)["node2"]


def test_an_eviction_beyond_the_budget_is_refused(cluster: Cluster) -> None:
    cluster.kubectl("patch", "pdb", "web", "-p", '{"spec":{"minAvailable":4}}')
    cluster.until(lambda: cluster.get("pdb", "web")[0]["status"]["disruptionsAllowed"] == 0, 10, "nothing is allowed")
    name = cluster.pods("app=web")[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
    answer = cluster.control.request("POST", f"/api/v1/namespaces/default/pods/{name}/eviction", eviction)
    assert answer.status == 429
    assert answer.object["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    cluster.kubectl("patch", "pdb", "web", "-p", '{"spec":{"minAvailable":3}}')


def test_taints_and_labels_decide_where_pods_go(cluster: Cluster) -> None:
    cluster.kubectl("label", "node", "node2", "disk=fast")
    pinned = {"apiVersion": "v1", "spec": {"nodeSelector": {"disk": "fast"}, "terminationGracePeriodSeconds": 1}}
    run = ("run", "--image=busybox", "--image-pull-policy=IfNotPresent", "--restart=Never")
    cluster.kubectl(*run, "pinned", f"--overrides={json.dumps(pinned)}", "--", "sleep", "600")
    cluster.kubectl("wait", "pod/pinned", "--for=condition=Ready", "--timeout=90s")
    assert cluster.get("pod", "pinned")[0]["spec"]["nodeName"] == "node2"
    cluster.kubectl("taint", "node", "node2", "kept=free:NoExecute")
    cluster.kubectl("wait", "pod/pinned", "--for=delete", "--timeout=60s")
    cluster.until_pods(4, "app=web")
    assert places(cluster) == {"node1": 4}
    cluster.kubectl(*run, "homeless", f"--overrides={json.dumps(pinned)}", "--", "sleep", "600")

    def told() -> bool:
        said = cluster.kubectl("describe", "pod", "homeless").stdout
        return "FailedScheduling" in said and "untolerated taint" in said

    cluster.until(told, 20, "the scheduler says why")
    cluster.kubectl("taint", "node", "node2", "kept-")
    cluster.kubectl("wait", "pod/homeless", "--for=condition=Ready", "--timeout=90s")
    cluster.kubectl("delete", "pod", "homeless")
    cluster.kubectl("label", "node", "node2", "disk-")
