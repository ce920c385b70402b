"""What a node shows of itself: its logs as log shippers read them, static pods and their mirrors, its own figures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_kit import Space
from containers_kit import Spec, begin, outputs, pod

from boxship.cluster.objects import times

pytestmark = pytest.mark.slow


@pytest.fixture
def host_logs() -> Iterator[None]:
    """The machine's own folders, which a pod that is shown /var/log makes."""
    folders = [Path("/var/log/pods"), Path("/var/log/containers")]
    new = [one for one in folders if not one.exists()]
    yield
    for one in new:
        if one.exists() and not any(one.iterdir()):
            one.rmdir()


def shows(name: str, path: str, script: str, node: str) -> Spec:
    """A pod that reads a folder of the machine at the same place."""
    mount = {"volumeMounts": [{"name": "host", "mountPath": path, "readOnly": True}]}
    return pod(name, script, mount, {"nodeName": node, "volumes": [{"name": "host", "hostPath": {"path": path}}]})


@pytest.mark.usefixtures("host_logs")
def test_logs_where_shippers_look(space: Space) -> None:
    """All three folders that they are given, with the links that name pod, namespace and container."""
    node = space.cluster.nodes[0].name
    says = pod("says", "echo one; echo two >&2; printf three; exec sleep 600", spec={"nodeName": node})
    begin(space, says)
    space.until(lambda: "three" in space.log("says"), "it has said all")
    found = space.pod("says")
    id = found["status"]["containerStatuses"][0]["containerID"].removeprefix("boxship://")
    folder = f"/var/log/pods/{space.name}_says_{found['metadata']['uid']}"
    link = f"/var/log/containers/says_{space.name}_main-{id}.log"
    write = "2>/dev/null || echo kept"
    said = outputs(
        space,
        shows("all", "/var/log", f"cat {link}; readlink {link}; ls {folder}; touch {folder}/x {write}", node),
        shows("pods", "/var/log/pods", f"cat {folder}/main/0.log", node),
        shows("links", "/var/log/containers", f"readlink {link}; rm {link} {write}", node),
    )
    lines = [line.split(" ", 3) for line in said["pods"].splitlines()]
    assert sorted((stream, tag, text) for _, stream, tag, text in lines) == [
        ("stderr", "F", "two"),
        ("stdout", "F", "one"),
        ("stdout", "P", "three"),
    ]
    assert all(times.moment(moment) for moment, *_ in lines)
    assert said["links"] == f"{folder}/main/0.log\nkept\n"
    assert said["all"].splitlines() == [*said["pods"].splitlines(), f"{folder}/main/0.log", "main", "kept"]
    space.kubectl("delete", "pod", "says", "--grace-period=0", "--force")
    left = Path(space.cluster.nodes[0].data) / "pods/log-links"
    space.until(lambda: not list(left.glob(f"says_{space.name}_*")), "its links have gone with it")


def manifest(space: Space, script: str, **labels: str) -> Spec:
    made = pod("fixed", script, spec={"restartPolicy": "Always"})
    return {**made, "metadata": {"name": "fixed", "namespace": space.name, "labels": labels}}


def write(path: Path, object: Spec) -> None:
    whole = path.with_name(f".{path.name}")
    whole.write_text(json.dumps(object))
    whole.rename(path)


def test_static_pods_have_mirrors(space: Space) -> None:
    """A mirror that is deleted comes back and disturbs nothing; another manifest makes another pod."""
    node = space.cluster.nodes[1]
    folder = Path(node.data) / "static-pods"
    folder.mkdir(exist_ok=True)
    file, name = folder / f"{space.name}.yaml", f"fixed-{node.name}"
    try:
        write(file, manifest(space, "exec sleep 600"))
        first = running(space, name)
        notes = first["metadata"]["annotations"]
        assert notes["kubernetes.io/config.source"] == "file"
        assert notes["kubernetes.io/config.mirror"] == notes["kubernetes.io/config.hash"]
        (owner,) = first["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("Node", node.name, True)
        assert {"operator": "Exists", "effect": "NoExecute"} in first["spec"]["tolerations"]
        assert space.shell(name, "echo here") == "here\n"
        seen = first
        for words in (("--grace-period=30",), ("--grace-period=0", "--force")):
            space.kubectl("delete", "pod", name, "--wait=false", *words)
            seen = running(space, name, but=seen)
            assert container_of(seen) == container_of(first)
        write(file, manifest(space, "exec sleep 601", version="two"))
        changed = running(space, name, but=seen)
        assert changed["spec"]["containers"][0]["command"][-1] == "exec sleep 601"
        assert changed["metadata"]["labels"] == {"version": "two"} and container_of(changed) != container_of(first)
        refusal = space.refusal("annotate", "pod", name, "kubernetes.io/config.mirror=other", "--overwrite")
        assert "may not remove or update mirror pod annotation" in refusal
    finally:
        file.unlink(missing_ok=True)
    space.until(lambda: space.is_gone(f"pods/{name}"), "it goes with its manifest")


def container_of(pod: dict[str, Any]) -> str:
    return str(pod["status"]["containerStatuses"][0]["containerID"])


def running(space: Space, name: str, but: dict[str, Any] | None = None) -> dict[str, Any]:
    """The pod of that name which runs and is not the other one."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        answer = space.request("GET", f"pods/{name}")
        if answer.status == 404:
            return False
        found.append(answer.object)
        other = but is None or found[-1]["metadata"]["uid"] != but["metadata"]["uid"]
        return bool(other and found[-1]["status"].get("phase") == "Running")

    space.until(there, f"pod {name} runs")
    return found[-1]


def of_node(space: Space, node: str, path: str) -> str:
    answer = space.cluster.control.request("GET", f"/api/v1/nodes/{node}/proxy/{path}")
    assert answer.status == 200, answer
    return answer.body.decode()


def test_what_a_node_tells_of_itself(space: Space) -> None:
    """By the proxy of its Node: health, configuration, pods, and figures under the names that dashboards ask for."""
    node = space.cluster.nodes[0].name
    resources = {"resources": {"limits": {"cpu": "50m", "memory": "64Mi"}}}
    begin(space, pod("busy", "while true; do :; done", resources, {"nodeName": node}))
    space.until_ready("busy")
    assert of_node(space, node, "healthz") == "ok"
    told = json.loads(of_node(space, node, "configz"))["kubeletconfig"]
    assert told["kind"] == "KubeletConfiguration" and told["evictionHard"]["memory.available"] == "100Mi"
    assert told["maxPods"] == int(space.cluster.get("node", node)[0]["status"]["capacity"]["pods"])
    for path in ("pods", "runningpods/"):
        found = json.loads(of_node(space, node, path))
        assert found["kind"] == "PodList"
        assert (space.name, "busy") in {
            (one["metadata"]["namespace"], one["metadata"]["name"]) for one in found["items"]
        }
    assert "kubelet_running_pods " in of_node(space, node, "metrics")
    where = f'namespace="{space.name}",pod="busy"'

    def throttled() -> bool:
        lines = of_node(space, node, "metrics/cadvisor").splitlines()
        name = "container_cpu_cfs_throttled_periods_total"
        return any(line.startswith(name) and where in line and line.split()[-2] != "0" for line in lines)

    space.until(throttled, "it has had to wait for a processor")
    shown = of_node(space, node, "metrics/cadvisor")
    assert f'name="main",{where}}} {64 << 20}\n' in shown and "machine_cpu_cores " in shown
    assert f'container_start_time_seconds{{container="main",{where}}}' in of_node(space, node, "metrics/resource")

    def counted() -> bool:
        found = json.loads(of_node(space, node, "stats/summary"))
        ours = [one for one in found["pods"] if one["podRef"]["namespace"] == space.name]
        return bool(ours and ours[0]["cpu"].get("usageNanoCores") and found["node"]["memory"]["rssBytes"])

    space.until(counted, "the summary has it")
