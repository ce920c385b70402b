"""emptyDir: on disk and in memory, modes and users, shared, and many of them beside other volumes at once."""

from typing import Any

import pytest
from conformance_kit import Space
from volume_cases import config_map, deleted, pod, said, secret, sleeper, started, until_said, until_told

pytestmark = pytest.mark.slow

DISK: dict[str, Any] = {"emptyDir": {}}
MEMORY: dict[str, Any] = {"emptyDir": {"medium": "Memory"}}
BOTH = pytest.mark.parametrize("source", [DISK, MEMORY], ids=["disk", "memory"])


# Covers: EmptyDir, medium default, volume mode default; EmptyDir, medium memory, volume mode default;
#   EmptyDir, medium default, volume mode 0644; EmptyDir, medium default, volume mode 0666;
#   EmptyDir, medium default, volume mode 0777; EmptyDir, medium memory, volume mode 0644;
#   EmptyDir, medium memory, volume mode 0666; EmptyDir, medium memory, volume mode 0777;
#   EmptyDir, medium memory, volume mode 0644, non-root user;
#   EmptyDir, medium memory, volume mode 0666,, non-root user;
#   EmptyDir, medium memory, volume mode 0777, non-root user.
@BOTH
def test_folders_that_everybody_may_write(space: Space, source: dict[str, Any]) -> None:
    kind = "tmpfs" if source is MEMORY else "[^t]"
    script = (
        "stat -c '%a %u %g' /v; grep -q ' /v KIND' /proc/mounts && echo kind;"
        "for mode in 644 666 777; do echo text > /v/$mode; chmod $mode /v/$mode; cat /v/$mode;"
        " stat -c '%a %u %g' /v/$mode; done"
    ).replace("KIND", kind)
    made = [
        pod("root", script, {"v": source}),
        pod("user", script, {"v": source}, securityContext={"runAsUser": 1001}),
        pod("group", script, {"v": source}, securityContext={"runAsUser": 1001, "fsGroup": 123}),
    ]
    found = [text.splitlines() for text in said(space, *made)]
    for lines, root, owner in zip(
        found, ("777 0 0", "777 0 0", "2777 0 123"), ("0 0", "1001 0", "1001 123"), strict=True
    ):
        assert lines[:2] == [root, "kind"]
        assert lines[2:] == [line for mode in (644, 666, 777) for line in ("text", f"{mode} {owner}")]


# Covers: EmptyDir, Shared volumes between containers.
@BOTH
def test_containers_share_a_folder(space: Space, source: dict[str, Any]) -> None:
    script = "until cat /v/word 2>/dev/null; do sleep 0.1; done"
    made = pod("shared", script, {"v": source})
    first = made["spec"]["containers"][0]
    made["spec"]["containers"].append({**first, "name": "d", "command": ["sh", "-c", "echo hello > /v/word"]})
    made["spec"]["initContainers"] = [{**first, "name": "i", "command": ["sh", "-c", "echo first > /v/init"]}]
    made["spec"]["containers"][0]["command"][2] += "; cat /v/init"
    space.made("pods", made)
    space.until_phase("shared", "Succeeded")
    assert space.log("shared", "-c", "c") == "hello\nfirst\n"


# Covers: EmptyDir Wrapper Volume, Secret and ConfigMap volumes, no conflict.
def test_volumes_do_not_meet(space: Space) -> None:
    config_map(space, "words", {"one": "eins"})
    secret(space, "words", {"one": "geheim"})
    volumes = {"words": {"configMap": {"name": "words"}}, "keys": {"secret": {"secretName": "words"}}, "v": DISK}
    assert said(space, pod("reader", "cat /words/one /keys/one; ls /v", volumes)) == ["einsgeheim"]


# Covers: EmptyDir Wrapper Volume, ConfigMap volumes, no race.
def test_many_maps_in_many_pods(space: Space) -> None:
    names = [f"map-{number}" for number in range(50)]
    for name in names:
        config_map(space, name, {"data-1": name})
    volumes = [{"name": name, "configMap": {"name": name}} for name in names]
    mounts = [{"name": name, "mountPath": f"/all/{name}"} for name in names]
    made = sleeper("x", {"x": DISK})["spec"]
    container = {**made["containers"][0], "volumeMounts": mounts}
    container["readinessProbe"] = {
        "exec": {"command": ["sh", "-c", "test $(cat /all/*/data-1 | tr m '\\n' | grep -c ap) = 50"]},
        "periodSeconds": 1,
    }
    template = {
        "metadata": {"labels": {"name": "wrapper"}},
        "spec": {**made, "restartPolicy": "Always", "containers": [container], "volumes": volumes},
    }
    body = {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": "wrapper"},
        "spec": {"replicas": 5, "selector": {"name": "wrapper"}, "template": template},
    }
    space.made("replicationcontrollers", body)
    space.until_pods(5, "name=wrapper")
    failed = [one for one in space.events() if one["reason"] == "FailedMount"]
    assert not failed, failed


# Beyond the list: what lies in a folder outlives its container, and ends with the pod.
@BOTH
def test_folders_outlive_containers(space: Space, source: dict[str, Any]) -> None:
    script = "echo $(cat /v/lives 2>/dev/null)x > /v/lives; trap 'exit 1' TERM; sleep 3600 & wait"
    made = pod("again", script, {"v": source}, restartPolicy="Always")
    started(space, made)
    space.cluster.kubectl(
        "-n", space.name, "exec", "again", "--", "kill", "1", check=False
    )  # it may end with the container
    until_said_again(space)
    deleted(space, "again")
    started(space, made)
    assert space.shell("again", "cat /v/lives") == "x\n"


def until_said_again(space: Space) -> None:
    """The second container runs, and has found what the first one left."""

    def second() -> bool:
        status = space.pod("again")["status"]["containerStatuses"][0]
        return bool(status["restartCount"] == 1 and "running" in status["state"])

    space.until(second, "the container was started again")
    until_said(space, "again", "cat /v/lives", "^xx$")


# Beyond the list: the size of a folder in memory is its limit, else the pod's limit of memory, else the node's.
def test_the_size_of_memory(space: Space) -> None:
    limits = {"resources": {"limits": {"memory": "64Mi"}}}
    small = {"emptyDir": {"medium": "Memory", "sizeLimit": "10Mi"}}
    script = "df -k /v | tail -1 | awk '{print $2}'"
    found = said(
        space,
        pod("limited", script, {"v": small}),
        pod("pods", script, {"v": MEMORY}, container=limits),
        pod("smaller", script, {"v": small}, container=limits),
        pod("full", "dd if=/dev/zero of=/v/x bs=1M count=11 2>&1 | head -1", {"v": small}),
        pod("node", script, {"v": MEMORY}),
    )
    assert [int(one) for one in (*found[:3],)] == [10 << 10, 64 << 10, 10 << 10]
    assert "No space left" in found[3]
    assert int(found[4]) > 64 << 10


# Beyond the list: huge pages and unknown media are refused by their names.
def test_other_media_are_refused(space: Space) -> None:
    for medium in ("HugePages", "Tape"):
        space.made("pods", pod(medium.lower(), "true", {"v": {"emptyDir": {"medium": medium}}}))
        until_told(space, medium.lower(), f"FailedMount .* unsupported: emptyDir.medium {medium}")
    wrong = pod("wrong", "true", {"v": {"emptyDir": {"sizeLimit": "-1"}}})
    refused = space.request("POST", "pods", wrong)
    assert refused.status == 422 and "emptyDir.sizeLimit" in refused.object["message"], refused
