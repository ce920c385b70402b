"""Deployments through stock kubectl: rollouts and their history, scaling, waiting, events."""

import re
from collections.abc import Iterator

import pytest
from nodes_kit import Cluster, running_cluster

PAGE = """FROM busybox
RUN mkdir -p /www && echo {word} > /www/index.html
CMD ["sh", "-c", "trap exit TERM; httpd -f -p 80 -h /www & wait"]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("rollouts")) as running:
        for word in ("one", "two"):
            running.nodes[0].build(f"page:{word}", PAGE.format(word=word))
        running.kubectl("create", "deployment", "web", "--image=page:one", "--replicas=3")
        running.kubectl("expose", "deployment", "web", "--port=80")
        running.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
        shows(running, "one")
        yield running


def page(cluster: Cluster) -> str:
    address = cluster.get("service", "web")[0]["spec"]["clusterIP"]
    return cluster.nodes[0].namespace.page(f"http://{address}/").strip()


def shows(cluster: Cluster, word: str) -> None:
    """Pods that end may be asked for a moment more, and nodes hear of new ones a little later."""

    def shown() -> bool:
        try:
            return page(cluster) == word
        except OSError:
            return False

    cluster.until(shown, 10, f"the page says {word}")


def waits(cluster: Cluster) -> set[str]:
    """Why containers wait; "" where none does."""
    states = [
        status["state"] for pod in cluster.pods("app=web") for status in pod["status"].get("containerStatuses", ())
    ]
    return {state["waiting"]["reason"] for state in states if "waiting" in state} or {""}


def revisions(cluster: Cluster) -> list[int]:
    said = cluster.kubectl("rollout", "history", "deployment/web").stdout
    return [int(number) for number in re.findall(r"^(\d+) ", said, re.MULTILINE)]


def test_a_new_image_rolls_out_and_back(cluster: Cluster) -> None:
    shows(cluster, "one")
    before = revisions(cluster)
    cluster.kubectl("set", "image", "deployment/web", "page=page:two")
    said = cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s").stdout
    assert 'deployment "web" successfully rolled out' in said
    shows(cluster, "two")
    assert len(revisions(cluster)) == len(before) + 1
    detail = cluster.kubectl("rollout", "history", "deployment/web", f"--revision={revisions(cluster)[-1]}").stdout
    assert "page:two" in detail
    assert "rolled back" in cluster.kubectl("rollout", "undo", "deployment/web").stdout
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    shows(cluster, "one")
    assert revisions(cluster)[-1] == max(before) + 2


def test_a_paused_deployment_gathers_changes(cluster: Cluster) -> None:
    cluster.kubectl("rollout", "pause", "deployment/web")
    cluster.kubectl("set", "env", "deployment/web", "A=1")
    cluster.kubectl("set", "resources", "deployment/web", "--limits=memory=64Mi")
    names = {pod["metadata"]["name"] for pod in cluster.pods("app=web")}
    refused = cluster.kubectl("rollout", "undo", "deployment/web", check=False)
    assert refused.returncode and "paused" in refused.stderr
    assert {pod["metadata"]["name"] for pod in cluster.pods("app=web")} == names
    before = revisions(cluster)
    cluster.kubectl("rollout", "resume", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert len(revisions(cluster)) == len(before) + 1
    cluster.until_pods(3, "app=web")
    assert all(pod["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}] for pod in cluster.pods("app=web"))


def test_a_restart_makes_every_pod_anew(cluster: Cluster) -> None:
    before = {pod["metadata"]["uid"] for pod in cluster.pods("app=web")}
    cluster.kubectl("rollout", "restart", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.until_pods(3, "app=web")
    assert not before & {pod["metadata"]["uid"] for pod in cluster.pods("app=web")}


def test_scaling_and_waiting(cluster: Cluster) -> None:
    cluster.kubectl("scale", "deployment/web", "--replicas=5")
    said = cluster.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=90s").stdout
    assert "condition met" in said
    cluster.until_pods(5, "app=web")
    cluster.kubectl("scale", "deployment/web", "--current-replicas=5", "--replicas=3")
    cluster.until_pods(3, "app=web")
    refused = cluster.kubectl("scale", "deployment/web", "--current-replicas=5", "--replicas=1", check=False)
    assert refused.returncode and "expected replicas to be 5, was 3" in refused.stderr.lower()
    cluster.kubectl("wait", "pod", "-l", "app=web", "--for=condition=Ready", "--timeout=90s")
    name = cluster.pods("app=web")[0]["metadata"]["name"]
    cluster.kubectl("delete", "pod", name, "--wait=false")
    cluster.kubectl("wait", f"pod/{name}", "--for=delete", "--timeout=90s")
    cluster.until_pods(3, "app=web")


@pytest.mark.slow
def test_a_wrong_image_stops_a_rollout_and_the_old_pods_go_on(cluster: Cluster) -> None:
    cluster.kubectl("patch", "deployment", "web", "-p", '{"spec":{"progressDeadlineSeconds":3}}')
    cluster.kubectl("set", "image", "deployment/web", "page=page:missing")
    said = cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s", check=False)
    assert said.returncode and "exceeded its progress deadline" in said.stderr
    shows(cluster, "one")
    cluster.until(lambda: waits(cluster) <= {"ErrImagePull", "ImagePullBackOff"}, 30, "the pull to fail")
    described = cluster.kubectl("describe", "pods", "-l", "app=web").stdout
    assert "Failed to pull image" in described or "Back-off pulling image" in described
    cluster.kubectl("rollout", "undo", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.until_pods(3, "app=web")


def test_events_and_descriptions_tell_a_pods_story(cluster: Cluster) -> None:
    cluster.kubectl("run", "story", "--image=busybox", "--restart=Never", "--", "sh", "-c", "echo told")
    cluster.kubectl("wait", "pod/story", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=90s")

    def reasons() -> list[str]:
        said = cluster.kubectl("events", "--for", "pod/story", "-o", "jsonpath={.items[*].reason}").stdout
        return said.split()

    cluster.until(lambda: {"Scheduled", "Created", "Started"} <= set(reasons()), 10, "the pod's events")
    described = cluster.kubectl("describe", "pod", "story").stdout
    for text in ("Status:", "Succeeded", "Reason:", "Completed", "Exit Code:", "QoS Class:", "Successfully assigned"):
        assert text in described
    assert cluster.kubectl("logs", "story").stdout == "told\n"
    assert re.search(r"story +0/1 +Completed", cluster.kubectl("get", "pod", "story").stdout)
    cluster.kubectl("delete", "pod", "story")
