"""A StatefulSet with claims while daemons and the control plane are killed: no data is lost, no folder is left over."""

import random
from pathlib import Path

import pytest
from nodes_kit import Cluster, running_cluster

pytestmark = pytest.mark.slow

TURNS = 2
SECONDS = 60.0
DATABASE = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  podManagementPolicy: POLICY
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Retain}
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: busybox
        imagePullPolicy: IfNotPresent
        command: ["sh", "-c", "trap exit TERM; echo $HOSTNAME >> /data/log; touch /tmp/begun; sleep 3600 & wait"]
        readinessProbe: {exec: {command: [test, -e, /tmp/begun]}, periodSeconds: 1}
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


class Killing:
    def __init__(self, cluster: Cluster, seed: int) -> None:
        self.cluster = cluster
        self.chance = random.Random(seed)

    def kill(self) -> None:
        """kill -9 of one of them."""
        victim = self.chance.choice([self.cluster.control, *self.cluster.nodes])
        victim.kill()
        victim.start()

    def logs(self) -> list[list[str]]:
        """What each claim's folder holds, wherever it lies."""
        volumes = [self.cluster.get("pvc", f"data-db-{number}")[0]["spec"]["volumeName"] for number in range(3)]
        return [path.read_text().split() for name in volumes for path in self.folders(f"local-volumes/{name}/log")]

    def folders(self, pattern: str) -> list[Path]:
        return [path for node in self.cluster.nodes for path in Path(node.data).glob(pattern)]


def settled(cluster: Cluster) -> bool:
    pods = cluster.pods("app=db")
    return len(pods) == 3 and not any(pod["metadata"].get("deletionTimestamp") for pod in pods)


def empty(cluster: Cluster) -> bool:
    return not cluster.get("pv") and not cluster.get("pvc") and not cluster.pods()


@pytest.mark.parametrize("seed", [1, 2])
def test_data_outlives_kills(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    with running_cluster(tmp_path_factory.mktemp("k"), nodes=2) as cluster:
        killing = Killing(cluster, seed)
        for _ in range(TURNS):
            cluster.apply(DATABASE.replace("POLICY", killing.chance.choice(["Parallel", "OrderedReady"])))
            killing.kill()
            cluster.until_pods(3, "app=db", seconds=SECONDS)
            before = killing.logs()
            cluster.kubectl("delete", "pod", "-l", "app=db", "--wait=false")
            for _ in range(2):
                killing.kill()
            cluster.until(lambda: settled(cluster), SECONDS, "all pods are new")
            cluster.until_pods(3, "app=db", seconds=SECONDS)
            for old, new in zip(before, killing.logs(), strict=True):
                assert new[: len(old)] == old and len(new) > len(old)
            cluster.kubectl("delete", "statefulset", "db", "--wait=false")
            for _ in range(2):
                killing.kill()
            cluster.until(lambda: empty(cluster), SECONDS, "claims and volumes are gone")
            assert not killing.folders("local-volumes/*")
            cluster.until(lambda: not killing.folders("pods/*/volumes"), SECONDS, "the pods' folders are gone")
            assert not killing.folders("pods/memory/*")
