"""Images on real nodes: pull secrets against a registry with users, and what nodes give each other."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nodes_kit import Cluster, condition, running_cluster
from registry_node_kit import PASSWORD, REGISTRY, TRUSTED, log_in, registry

pytestmark = pytest.mark.slow
PRIVATE = f"{REGISTRY}/team/private:1"
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  restartPolicy: Never
  imagePullSecrets: {secrets}
  containers: [{{name: main, image: "{image}", imagePullPolicy: {policy}, command: [sleep, "3600"]}}]
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with (
        tempfile.TemporaryDirectory(prefix="bx") as home,
        running_cluster(Path(home), nodes=3, node_options=TRUSTED) as cluster,
        registry(cluster, PRIVATE, users=True),
    ):
        cluster.kubectl(
            *("create", "secret", "docker-registry", "alice", f"--docker-server={REGISTRY}"),
            *("--docker-username=alice", f"--docker-password={PASSWORD}"),
        )
        yield cluster


def start(cluster: Cluster, name: str, image: str, policy: str = "IfNotPresent", *secrets: str, node: int = 0) -> None:
    named = [{"name": secret} for secret in secrets]
    place = cluster.nodes[node].name
    cluster.apply(POD.format(name=name, node=place, image=image, policy=policy, secrets=named))


def waits(cluster: Cluster, name: str, reason: str) -> str:
    """Until the pod's container waits for that; the message."""

    def waiting() -> Any:
        (pod,) = cluster.pods(f"app={name}")
        states = (pod.get("status") or {}).get("containerStatuses") or ()
        return next((one["state"]["waiting"] for one in states if "waiting" in one["state"]), {})

    said = []

    def told() -> bool:
        found = waiting()
        said.append(found.get("message") or "")
        return bool(found.get("reason") == reason)

    cluster.until(told, 30, f"{name} waits for {reason}: {said[-1:]}")
    return str(said[-1])


def events(cluster: Cluster, name: str) -> list[str]:
    found = cluster.get("events", "--field-selector", f"involvedObject.name={name}")
    return [f"{one['reason']}: {one['message']}" for one in found]


def runs(cluster: Cluster, name: str) -> str:
    """Until the pod runs; its image's id on the node."""
    cluster.until_pods(1, f"app={name}", seconds=40)
    (pod,) = cluster.pods(f"app={name}")
    assert condition(pod, "Ready") == "True"
    return str(pod["status"]["containerStatuses"][0]["imageID"])


def test_what_came_with_a_secret_is_closed_to_others(cluster: Cluster) -> None:
    start(cluster, "mine", PRIVATE, "IfNotPresent", "alice")
    runs(cluster, "mine")
    start(cluster, "never", PRIVATE, "Never")
    message = waits(cluster, "never", "ErrImageNeverPull")
    assert message == f'Container image "{PRIVATE}" is not present with pull policy of Never'
    start(cluster, "stranger", PRIVATE)
    waits(cluster, "stranger", "ImagePullBackOff")
    start(cluster, "again", PRIVATE, "Never", "alice")
    runs(cluster, "again")
    cluster.until(
        lambda: any(
            "already present on machine and can be accessed by the pod" in one for one in events(cluster, "again")
        ),
        20,
        "the event says why",
    )


def test_a_kill_of_the_agent_opens_nothing(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    node.kill()
    node.start()
    start(cluster, "later", PRIVATE, "Never")
    waits(cluster, "later", "ErrImageNeverPull")
    start(cluster, "mine-later", PRIVATE, "Never", "alice")
    runs(cluster, "mine-later")


def test_no_node_gives_it_to_another(cluster: Cluster) -> None:
    start(cluster, "elsewhere", PRIVATE, node=1)
    assert waits(cluster, "elsewhere", "ErrImagePull") == "no basic auth credentials"


def test_what_was_pulled_by_hand_is_open(cluster: Cluster) -> None:
    node = cluster.nodes[2]
    log_in(node)
    node.docker("pull", PRIVATE)
    start(cluster, "by-hand", PRIVATE, "Never", node=2)
    runs(cluster, "by-hand")


def test_what_was_built_on_one_node_runs_on_another_and_follows_it(cluster: Cluster) -> None:
    first = cluster.nodes[0]
    first.build("web", "FROM busybox\nRUN echo one > /made\n")
    start(cluster, "copy", "web", "IfNotPresent", node=1)
    runs(cluster, "copy")
    cluster.until(
        lambda: any("from node node1 (sha256:" in one for one in events(cluster, "copy")),
        20,
        "the event says from whom",
    )
    first.build("web", "FROM busybox\nRUN echo two > /made\n")
    start(cluster, "same", "web", "IfNotPresent", node=1)
    runs(cluster, "same")
    assert cluster.kubectl("exec", "same", "--", "cat", "/made").stdout == "one\n"
    start(cluster, "newer", "web", "Always", node=1)
    runs(cluster, "newer")
    assert cluster.kubectl("exec", "newer", "--", "cat", "/made").stdout == "two\n"


def test_nodes_that_do_not_agree_are_not_believed(cluster: Cluster) -> None:
    cluster.nodes[0].build("twice", "FROM busybox\nRUN echo one > /made\n")
    cluster.nodes[1].build("twice", "FROM busybox\nRUN echo two > /made\n")
    start(cluster, "torn", "twice", node=2)
    message = waits(cluster, "torn", "ErrImagePull")
    assert "nodes do not agree" in message and "node1 has sha256:" in message and "node2 has sha256:" in message
    cluster.docker(1, "rmi", "twice")
    runs(cluster, "torn")
    assert cluster.kubectl("exec", "torn", "--", "cat", "/made").stdout == "one\n"
