"""An autoscaler whose metrics come from another server: adapter.py in a pod, as an aggregated API."""

import base64
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes_kit import Cluster, running_cluster

from examples_kit import COMMAND_DEADLINE, fresh_base

pytestmark = pytest.mark.slow
ADAPTER = Path(__file__).with_name("adapter.py")
LOOK_SECONDS = 60.0  # an autoscaler looks every 15
WORLD = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: adapter}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: adapter, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: adapter, namespace: default}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: adapter, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{kind: ServiceAccount, name: adapter, namespace: default}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reads-metrics}
rules: [{apiGroups: [custom.metrics.k8s.io, external.metrics.k8s.io], resources: ["*"], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reads-metrics}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reads-metrics}
subjects: [{kind: ServiceAccount, name: horizontal-pod-autoscaler, namespace: kube-system}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: numbers}
data: {requests: "0", hits: "0", queue: "0"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: adapter}
spec:
  selector: {matchLabels: {app: adapter}}
  template:
    metadata: {labels: {app: adapter}}
    spec:
      serviceAccountName: adapter
      terminationGracePeriodSeconds: 1
      containers:
        - name: adapter
          image: python
          imagePullPolicy: IfNotPresent
          command: [python3, -u, /program/adapter.py]
          readinessProbe: {tcpSocket: {port: 6443}, periodSeconds: 1}
          volumeMounts: [{name: program, mountPath: /program}, {name: tls, mountPath: /tls}]
      volumes:
        - {name: program, configMap: {name: program}}
        - {name: tls, secret: {secretName: adapter-tls}}
---
apiVersion: v1
kind: Service
metadata: {name: adapter}
spec:
  selector: {app: adapter}
  ports: [{port: 443, targetPort: 6443}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "1000000"]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 8
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
  metrics:
    - {type: Pods, pods: {metric: {name: requests}, target: {type: AverageValue, averageValue: "10"}}}
    - type: Object
      object:
        metric: {name: hits}
        describedObject: {apiVersion: v1, kind: Service, name: web}
        target: {type: AverageValue, averageValue: "2"}
    - type: External
      external:
        metric: {name: queue, selector: {matchLabels: {topic: mail}}}
        target: {type: AverageValue, averageValue: 5}
"""


def certificate(folder: Path) -> tuple[bytes, bytes]:
    """Of the adapter's service, by itself: certificate and key in PEM."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=adapter -keyout key.pem -out cert.pem"
    name = ("-addext", "subjectAltName=DNS:adapter.default.svc")
    subprocess.run([*command.split(), *name], cwd=folder, check=True, capture_output=True)
    return (folder / "cert.pem").read_bytes(), (folder / "key.pem").read_bytes()


def service(version: str, group: str, authority: bytes) -> str:
    spec = {
        "group": group,
        "version": version,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "service": {"name": "adapter", "namespace": "default"},
        "caBundle": base64.b64encode(authority).decode(),
    }
    made = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": f"{version}.{group}"}}
    return json.dumps({**made, "spec": spec})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bx") as home, running_cluster(Path(home)) as running:
        base = fresh_base("python", "--include", "python3")
        running.boxship(0, "import", str(base), "python:latest", timeout=COMMAND_DEADLINE)
        authority, _ = certificate(running.home)
        running.kubectl("create", "configmap", "program", f"--from-file={ADAPTER}")
        running.kubectl("create", "secret", "tls", "adapter-tls", "--cert=cert.pem", "--key=key.pem")
        running.apply(WORLD)
        for version, group in (("v1beta2", "custom.metrics.k8s.io"), ("v1beta1", "external.metrics.k8s.io")):
            running.apply(service(version, group, authority))
            running.kubectl(
                "wait", "--for=condition=Available", f"apiservice/{version}.{group}", "--timeout=90s", timeout=100
            )
        yield running


def say(cluster: Cluster, **numbers: int) -> None:
    data = {name: str(number) for name, number in ({"requests": 0, "hits": 0, "queue": 0} | numbers).items()}
    cluster.kubectl("patch", "configmap", "numbers", "--patch", json.dumps({"data": data}))


def until_replicas(cluster: Cluster, count: int) -> None:
    def there() -> bool:
        found = cluster.get("deployment", "web")[0]
        return bool(found["spec"]["replicas"] == count == found["status"].get("readyReplicas"))

    told = cluster.kubectl("describe", "hpa", "web").stdout
    cluster.until(there, LOOK_SECONDS, f"{count} replicas\n{told}")


def active(cluster: Cluster) -> tuple[str, str]:
    """Whether the autoscaler knows what it needs, and why not."""
    conditions = cluster.get("hpa", "web")[0]["status"].get("conditions") or ()
    return next(((one["status"], one["reason"]) for one in conditions if one["type"] == "ScalingActive"), ("", ""))


@pytest.mark.parametrize(
    ("metric", "number", "replicas"),
    [("queue", 20, 4), ("requests", 60, 6), ("hits", 6, 3), ("queue", 1000, 8), ("hits", 1, 1)],
)
def test_the_deployment_follows_each_metric(cluster: Cluster, metric: str, number: int, replicas: int) -> None:
    say(cluster, **{metric: number})
    until_replicas(cluster, replicas)


def test_people_read_the_same_metrics(cluster: Cluster) -> None:
    say(cluster, queue=7)
    path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue?labelSelector=topic%3Dmail"
    found = json.loads(cluster.kubectl("get", "--raw", path).stdout)
    assert [(item["value"], item["metricLabels"]) for item in found["items"]] == [("7000m", {"topic": "mail"})]
    said = cluster.kubectl("logs", "deployment/adapter").stdout
    assert "system:serviceaccount:kube-system:horizontal-pod-autoscaler /apis/custom.metrics.k8s.io/v1beta2/" in said


def test_without_the_server_it_stays_as_it_is_and_says_why(cluster: Cluster) -> None:
    say(cluster, queue=15)
    until_replicas(cluster, 3)
    cluster.kubectl("scale", "deployment/adapter", "--replicas=0")
    cluster.until(lambda: active(cluster)[0] == "False", LOOK_SECONDS, "the autoscaler knows that it knows nothing")
    assert active(cluster)[1] in ("FailedGetPodsMetric", "FailedGetObjectMetric", "FailedGetExternalMetric")
    assert cluster.get("deployment", "web")[0]["spec"]["replicas"] == 3
    say(cluster, queue=25)
    cluster.kubectl("scale", "deployment/adapter", "--replicas=1")
    until_replicas(cluster, 5)
    assert active(cluster)[0] == "True"
