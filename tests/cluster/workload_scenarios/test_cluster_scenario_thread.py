"""The whole way once: an image built here, three replicas of it at once, reached by name; whatever is killed heals, and
pods outlive the agent and the control plane. One cluster of one node, in the order in which it is told."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from nodes_kit import Cluster, running_cluster

from daemons import until

DOCKERFILE = """FROM busybox
COPY index.html /www/index.html
STOPSIGNAL SIGKILL
CMD ["httpd", "-f", "-v", "-p", "8080", "-h", "/www"]
"""
LABELS = "app=web"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="bx") as folder, running_cluster(Path(folder)) as made:
        made.nodes[0].build("web", DOCKERFILE, {"index.html": "one\n"})
        made.kubectl("create", "deployment", "web", "--image=web", "--replicas=3")
        made.until_pods(3, LABELS)
        made.kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080")
        yield made


def address(cluster: Cluster) -> str:
    return str(cluster.get("service", "web")[0]["spec"]["clusterIP"])


def first(cluster: Cluster) -> str:
    return str(cluster.pods(LABELS)[0]["metadata"]["name"])


def restarts(cluster: Cluster) -> int:
    statuses = [one for pod in cluster.pods(LABELS) for one in pod["status"].get("containerStatuses") or ()]
    return sum(one["restartCount"] for one in statuses)


def containers(cluster: Cluster) -> set[str]:
    statuses = [one for pod in cluster.pods(LABELS) for one in pod["status"].get("containerStatuses") or ()]
    return {one["containerID"].removeprefix("boxship://") for one in statuses}


def test_pods_are_seen_by_kubectl_and_docker(cluster: Cluster) -> None:
    name = first(cluster)
    assert cluster.kubectl("exec", name, "--", "hostname").stdout == f"{name}\n"
    sent = cluster.kubectl("exec", "-i", name, "--", "sh", "-c", "cat; exit 3", data="through", check=False)
    assert (sent.returncode, sent.stdout) == (3, "through")
    shown = cluster.docker(0, "ps", "--format", "{{.Names}}").stdout.split()
    assert sorted(word.rsplit("_", 2)[0] for word in shown) == sorted(
        f"k8s_web_{pod['metadata']['name']}_default" for pod in cluster.pods(LABELS)
    )
    inside = cluster.docker(0, "exec", shown[0], "cat", "/www/index.html")
    assert inside.stdout == "one\n"
    images = {one["imageID"] for pod in cluster.pods(LABELS) for one in pod["status"]["containerStatuses"]}
    assert len(images) == 1
    until(lambda: "already present on machine" in cluster.kubectl("get", "events").stdout, 10, "it is told")


def test_a_service_is_reached_by_address_and_by_name(cluster: Cluster) -> None:
    page = f"http://{address(cluster)}/"
    until(lambda: cluster.nodes[0].namespace.answers(page), 10, "the service answers on the node")
    name = first(cluster)
    for host in (address(cluster), "web", "web.default.svc.cluster.local"):
        assert cluster.kubectl("exec", name, "--", "wget", "-qO-", f"http://{host}/").stdout == "one\n"
    found = cluster.kubectl("exec", name, "--", "nslookup", "kubernetes.default.svc.cluster.local").stdout
    assert "10.96.0.1" in found
    until(lambda: "response:200" in cluster.kubectl("logs", "-l", LABELS, "--tail=-1").stdout, 10, "it is in the logs")


def test_a_killed_container_comes_back(cluster: Cluster) -> None:
    before = containers(cluster)
    cluster.docker(0, "kill", sorted(before)[0])
    cluster.until(lambda: restarts(cluster) == 1, 20, "the container was started again")
    cluster.until_pods(3, LABELS)
    assert len(before & containers(cluster)) == 2
    page = f"http://{address(cluster)}/"
    until(lambda: cluster.nodes[0].namespace.answers(page), 10, "the service answers")  # it runs, but may not listen
    assert cluster.nodes[0].namespace.page(page) == "one\n"


def test_pods_outlive_the_agent(cluster: Cluster) -> None:
    node, before, count = cluster.nodes[0], containers(cluster), restarts(cluster)
    page = f"http://{address(cluster)}/"
    node.kill()
    assert node.namespace.page(page) == "one\n"
    node.start()
    cluster.kubectl("scale", "deployment", "web", "--replicas=5")
    cluster.until_pods(5, LABELS)
    assert before < containers(cluster) and restarts(cluster) == count
    assert cluster.kubectl("exec", first(cluster), "--", "echo", "there").stdout == "there\n"


def test_pods_outlive_the_control_plane(cluster: Cluster) -> None:
    before, count, page = containers(cluster), restarts(cluster), f"http://{address(cluster)}/"
    cluster.control.kill()
    assert cluster.nodes[0].namespace.page(page) == "one\n"
    cluster.docker(0, "kill", sorted(before)[0])  # the agent needs nobody to start it again
    until(lambda: len(cluster.docker(0, "ps", "-q").stdout.split()) == 5, 20, "five containers run")
    cluster.control.start()
    cluster.until(lambda: restarts(cluster) == count + 1, 20, "the API is told")
    cluster.kubectl("scale", "deployment", "web", "--replicas=2")
    cluster.until_pods(2, LABELS, seconds=60)
    assert containers(cluster) < before | containers(cluster)


def test_both_killed_at_once(cluster: Cluster) -> None:
    node, page = cluster.nodes[0], f"http://{address(cluster)}/"
    node.kill()
    cluster.control.kill()
    # Pods that ended a moment ago may still be among those that it leads to.
    until(lambda: node.namespace.answers(page), 10, "the service answers with nobody there")
    node.start()
    cluster.control.start()
    cluster.kubectl("set", "image", "deployment/web", "web=busybox")  # its command ends at once: never available
    cluster.kubectl("rollout", "undo", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.until_pods(2, LABELS, seconds=60)


def test_what_is_deleted_leaves_nothing(cluster: Cluster) -> None:
    cluster.kubectl("delete", "deployment,service", "web")
    cluster.until_pods(0, seconds=60)
    until(lambda: not cluster.docker(0, "ps", "-aq").stdout.split(), 10, "no container is left")
    until(lambda: "veth" not in cluster.shell(0, "ip -br link").stdout, 10, "no interface is left")
