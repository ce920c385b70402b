"""Certificates of nodes that live for less than a minute: they are renewed again and again while everything goes on."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes_kit import Cluster, NodeDaemon, condition, running_cluster

from daemons import until

pytestmark = pytest.mark.slow
LIFE = "40s"
ROUNDS = 3  # renewals of each certificate
DEADLINE = 120.0  # seconds for all of them: each comes after some 12 s


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    options = ("--cluster-signing-duration", LIFE)
    with (
        tempfile.TemporaryDirectory(prefix="bx") as home,
        running_cluster(Path(home), nodes=2, control_options=options) as running,
    ):
        yield running


def certificates(node: NodeDaemon) -> set[str]:
    """What the links lead to now."""
    folder = node.data / "node" / "pki"
    return {str((folder / f"{kind}.pem").resolve()) for kind in ("client", "serving")}


def test_everything_goes_on_while_certificates_are_renewed(cluster: Cluster) -> None:
    words = ("sh", "-c", "i=0; while echo line $i; do i=$((i+1)); sleep 1; done")
    cluster.kubectl("create", "deployment", "talk", "--image=busybox", "--replicas=4", "--", *words)
    cluster.until_pods(4, "app=talk")
    pod = next(one for one in cluster.pods("app=talk") if one["spec"]["nodeName"] == "node2")["metadata"]["name"]
    command = [*cluster.nodes[0].namespace.enter, "kubectl", "logs", "--follow", pod]
    unready: list[str] = []
    seen: dict[str, set[str]] = {node.name: certificates(node) for node in cluster.nodes}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=cluster.kubectl_environment()) as stream:
        try:

            def renewed() -> bool:
                for node in cluster.nodes:
                    seen[node.name] |= certificates(node)
                answer = cluster.control.request("GET", "/api/v1/nodes")
                assert answer.status == 200, answer
                unready.extend(
                    one["metadata"]["name"] for one in answer.object["items"] if condition(one, "Ready") != "True"
                )
                return all(len(found) >= 2 * (1 + ROUNDS) for found in seen.values())

            until(renewed, DEADLINE, lambda: f"each certificate is renewed {ROUNDS} times: {seen}\n{cluster.report()}")
            assert not unready
            assert stream.poll() is None, "the stream through the API server to the agent goes on"
            assert stream.stdout is not None
            lines = [stream.stdout.readline() for _ in range(2 * ROUNDS)]
            assert all(line.startswith("line ") for line in lines)
        finally:
            stream.kill()
    assert cluster.kubectl("exec", pod, "--", "echo", "well").stdout == "well\n"
    cluster.kubectl("scale", "deployment/talk", "--replicas=6")
    cluster.until_pods(6, "app=talk")
    restarts = [one["restartCount"] for pod in cluster.pods("app=talk") for one in pod["status"]["containerStatuses"]]
    assert not any(restarts)
