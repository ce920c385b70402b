"""A node whose disk is small and fills: by a volume over its limit, by pods, by logs, by small files. Who fills it
goes, who is useful stays, and all goes on by itself when there is room again."""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, condition
from registry_node_kit import REGISTRY, TRUSTED, registry

from daemons import until

pytestmark = pytest.mark.slow
DISK_MIB = 400
TRANSITION = 15
UNUSED = f"{REGISTRY}/unused:1"
OPTIONS = (
    *TRUSTED,
    *("--eviction", "nodefs.available<25%", "--eviction", "nodefs.inodesFree<20%"),
    *("--eviction-transition", f"{TRANSITION}s", "--image-garbage", "90%,80%,10Gi,1s"),
)
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  priority: 0
  nodeName: {node}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sh, -c, "{script}; exec sleep 3600"]
    volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, emptyDir: {{{limit}}}}}]
"""
KEEPER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: keeper}
spec:
  replicas: 1
  selector: {matchLabels: {app: keeper}}
  template:
    metadata: {labels: {app: keeper}}
    spec:
      nodeSelector: {kubernetes.io/hostname: node2}
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: busybox, imagePullPolicy: IfNotPresent, command: [sleep, "3600"]}]
"""


@contextlib.contextmanager
def small_disk(folder: Path, image: Path) -> Iterator[None]:
    """An ext4 of its own; gone with whoever uses it."""
    folder.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "12000", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    try:
        yield
    finally:
        until(lambda: subprocess.run(["umount", str(folder)], check=False).returncode == 0, 20, "the disk is unmounted")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The control plane's node has a disk of the usual size, the second one the small one."""
    with tempfile.TemporaryDirectory(prefix="bx") as folder:
        home = Path(folder)
        cluster = Cluster(home, 2, (), OPTIONS)
        cluster.nodes[0].options = ()
        with small_disk(cluster.nodes[1].data, home / "disk.img"):
            try:
                cluster.start(join=True, image=True)
                with registry(cluster, UNUSED):
                    cluster.docker(1, "pull", UNUSED)
                yield cluster
            finally:
                cluster.close()


def start(cluster: Cluster, name: str, script: str, limit: str = "", node: str = "node2") -> None:
    cluster.apply(POD.format(name=name, script=script, limit=limit, node=node))


def pod(cluster: Cluster, name: str) -> Any:
    found = cluster.pods(f"app={name}")
    return found[0] if found else None


def evicted(cluster: Cluster, name: str, seconds: float = 120) -> str:
    """Until the pod was sent away; the message."""

    def gone() -> bool:
        status = (pod(cluster, name) or {}).get("status") or {}
        return status.get("phase") == "Failed" and status.get("reason") == "Evicted"

    cluster.until(gone, seconds, f"{name} is evicted")
    found = pod(cluster, name)
    assert condition(found, "DisruptionTarget") == "True"
    return str(found["status"]["message"])


def node(cluster: Cluster) -> Any:
    return next(one for one in cluster.get("nodes") if one["metadata"]["name"] == "node2")


def is_short(cluster: Cluster) -> bool:
    return condition(node(cluster), "DiskPressure") == "True"


def is_tainted(cluster: Cluster) -> bool:
    taints = node(cluster)["spec"].get("taints") or ()
    return any(one["key"] == "node.kubernetes.io/disk-pressure" for one in taints)


def free(cluster: Cluster) -> int:
    found = subprocess.run(["stat", "-f", "-c", "%a %S", str(cluster.nodes[1].data)], capture_output=True, check=True)
    blocks, size = map(int, found.stdout.split())
    return blocks * size


def calm(cluster: Cluster) -> None:
    cluster.until(lambda: not is_short(cluster) and not is_tainted(cluster), 120, "the node has room again")


def test_a_volume_over_its_limit_sends_its_pod_away(cluster: Cluster) -> None:
    start(cluster, "modest", "dd if=/dev/zero of=/data/x bs=1M count=2", "sizeLimit: 10Mi")
    start(cluster, "limited", "dd if=/dev/zero of=/data/x bs=1M count=20", "sizeLimit: 10Mi")
    message = evicted(cluster, "limited")
    assert message == 'Usage of EmptyDir volume "data" exceeds the limit "10Mi". '
    assert not is_short(cluster)
    assert condition(pod(cluster, "modest"), "Ready") == "True"
    cluster.kubectl("delete", "pod", "limited", "modest", "--now")


def test_logs_that_flood_are_rotated(cluster: Cluster) -> None:
    start(cluster, "flood", "timeout 12 yes 0123456789012345678901234567890123456789 || true")
    cluster.until_pods(1, "app=flood")
    began = time.monotonic()
    logs = cluster.nodes[1].data / "pods" / "logs"
    largest, seen = 0, ""
    while time.monotonic() - began < 14:
        total, sizes = sizes_of(logs)
        largest, seen = max((largest, seen), (total, f"after {time.monotonic() - began:.1f} s: {sizes}"))
        time.sleep(0.2)
    assert largest < 200 << 20, f"{largest >> 20} MiB of logs, {seen}"
    assert "\n0123456789012345678901234567890123456789\n" in cluster.kubectl("logs", "flood", "--tail=5").stdout
    cluster.kubectl("delete", "pod", "flood", "--now")


def sizes_of(folder: Path) -> tuple[int, dict[str, int]]:
    """All bytes, and MiB by file."""
    sizes = {}
    for path in folder.glob("*flood*/*/*"):
        with contextlib.suppress(FileNotFoundError):
            sizes[path.name] = path.stat().st_size
    return sum(sizes.values()), {name: size >> 20 for name, size in sizes.items()}


def test_who_fills_the_disk_goes_and_the_others_stay(cluster: Cluster) -> None:
    cluster.apply(KEEPER)
    cluster.until_pods(1, "app=keeper")
    keeper = pod(cluster, "keeper")["metadata"]["uid"]
    start(cluster, "filler", "dd if=/dev/zero of=/data/x bs=1M count=500")
    message = evicted(cluster, "filler")
    assert message.startswith("The node was low on resource: ephemeral-storage. Threshold quantity: "), message
    cluster.until(lambda: is_short(cluster) and is_tainted(cluster), 60, "the node says so")
    assert pod(cluster, "keeper")["metadata"]["uid"] == keeper
    assert cluster.docker(1, "images", "-q", UNUSED).stdout == "", "it can be had again"
    assert cluster.docker(1, "images", "-q", "busybox").stdout, "it was made here"
    calm(cluster)
    assert free(cluster) > (DISK_MIB << 20) // 4
    assert condition(pod(cluster, "keeper"), "Ready") == "True"
    cluster.kubectl("delete", "pod", "filler", "--now")


def test_the_files_of_one_that_was_evicted_send_nobody_else_away(cluster: Cluster) -> None:
    """What it wrote lies in its own layer and stays with it until it is deleted, if nobody takes it away."""
    start(cluster, "writer", "dd if=/dev/zero of=/x bs=1M count=500")
    message = evicted(cluster, "writer")
    assert "Container main was using" in message and "has larger consumption of ephemeral-storage" in message
    calm(cluster)
    assert condition(pod(cluster, "keeper"), "Ready") == "True", cluster.report()
    assert pod(cluster, "writer")["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    cluster.kubectl("delete", "pod", "writer", "--now")


def test_a_pod_waits_until_there_is_room_and_comes_back(cluster: Cluster) -> None:
    start(cluster, "filler", "dd if=/dev/zero of=/data/x bs=1M count=500")
    cluster.until(lambda: is_tainted(cluster), 90, "the node is tainted")
    cluster.kubectl("delete", "pod", "-l", "app=keeper", "--now")

    def waits() -> bool:
        found = pod(cluster, "keeper")
        return bool(found) and condition(found, "PodScheduled") == "False"

    cluster.until(waits, 30, "the new pod waits")
    cluster.until_pods(1, "app=keeper", seconds=120)
    cluster.kubectl("delete", "pod", "filler", "--now")


def test_many_small_files_are_seen(cluster: Cluster) -> None:
    script = "mkdir /data/d; i=0; while [ $i -lt 11000 ]; do : > /data/d/$i || break; i=$((i+1)); done"
    start(cluster, "small", script)
    message = evicted(cluster, "small")
    assert message.startswith("The node was low on resource: inodes. Threshold quantity: "), message
    calm(cluster)
    assert condition(pod(cluster, "keeper"), "Ready") == "True"
    cluster.kubectl("delete", "pod", "small", "--now")


def test_a_disk_without_a_free_byte_stops_nothing_for_long(cluster: Cluster) -> None:
    filler = cluster.nodes[1].data / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True, check=False)
    assert free(cluster) < 1 << 20
    try:
        cluster.until(lambda: is_short(cluster), 60, "the node says so")
        assert cluster.docker(1, "ps", "-q").returncode == 0
        cluster.nodes[1].kill()
        cluster.nodes[1].start()
        assert cluster.docker(1, "ps", "-q").returncode == 0
    finally:
        filler.unlink()
    calm(cluster)
    cluster.until_pods(1, "app=keeper", seconds=120)
    start(cluster, "after", "true")
    cluster.until_pods(1, "app=after")
    keys = json.loads(cluster.kubectl("get", "--raw", "/api/v1/nodes/node2/proxy/stats/summary").stdout)
    assert keys["node"]["fs"]["availableBytes"] > 0
