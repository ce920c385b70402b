"""Beyond the list: what is told of how full volumes are, limits that are kept, and what a killed agent leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
from conformance_kit import Space
from volume_cases import (
    Manifest,
    claim,
    claimed,
    config_map,
    deleted,
    pod,
    said,
    sleeper,
    started,
    until_said,
    until_told,
)

pytestmark = pytest.mark.slow

MIB = 1 << 20


def _told(space: Space, name: str) -> dict[str, Any]:
    """What the node's summary says of a pod's volumes, by their names."""
    node = space.pod(name)["spec"]["nodeName"]
    answer = space.cluster.control.request("GET", f"/api/v1/nodes/{node}/proxy/stats/summary")
    assert answer.status == 200, answer
    for one in answer.object["pods"]:
        if (one["podRef"]["namespace"], one["podRef"]["name"]) == (space.name, name):
            return {"": one, **{volume["name"]: volume for volume in one.get("volume") or ()}}
    return {}


def _metric(space: Space, node: str, name: str, claim: str) -> int:
    lines = space.cluster.control.request("GET", f"/api/v1/nodes/{node}/proxy/metrics").body.decode().splitlines()
    start = f'{name}{{namespace="{space.name}",persistentvolumeclaim="{claim}"}} '
    return next((int(line.removeprefix(start)) for line in lines if line.startswith(start)), -1)


def test_how_full_volumes_are(space: Space) -> None:
    claim(space, "data")
    config_map(space, "words", {"one": "eins"})
    volumes: dict[str, Manifest] = {
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
        "map": {"configMap": {"name": "words"}},
        "data": claimed("data"),
        "host": {"hostPath": {"path": "/tmp"}},
    }
    started(space, sleeper("full", volumes))
    space.shell(
        "full", "for each in disk memory data; do dd if=/dev/urandom of=/$each/x bs=1M count=3; done 2>/dev/null"
    )
    names = ("disk", "memory", "data")
    space.until(lambda: all(_told(space, "full")[name]["usedBytes"] >= 3 * MIB for name in names), "the bytes are told")
    found = _told(space, "full")
    assert set(found) == {"", "disk", "memory", "map", "data"}
    assert found["memory"]["capacityBytes"] == 8 * MIB and found["memory"]["availableBytes"] <= 5 * MIB
    assert found["data"]["pvcRef"] == {"name": "data", "namespace": space.name}
    for name in names:
        one = found[name]
        assert 0 < one["usedBytes"] < 4 * MIB and one["usedBytes"] <= one["capacityBytes"] and one["inodesUsed"] == 2
        assert one["inodes"] >= one["inodesFree"] > 0 and one["time"]
    assert 3 * MIB <= found[""]["ephemeral-storage"]["usedBytes"] < 8 * MIB  # the one on the disk alone
    node = space.pod("full")["spec"]["nodeName"]
    assert 3 * MIB <= _metric(space, node, "kubelet_volume_stats_used_bytes", "data") < 4 * MIB
    assert _metric(space, node, "kubelet_volume_stats_capacity_bytes", "data") == found["data"]["capacityBytes"]
    deleted(space, "full")
    space.until(
        lambda: _metric(space, node, "kubelet_volume_stats_used_bytes", "data") == -1, "the claim is told no more"
    )


def test_updates_reach_pods_in_their_order(space: Space) -> None:
    """Whatever is seen in a file is a state that the object had, never an older one than before, and the last comes."""
    config_map(space, "words", {"a": "0", "b": "0"})
    script = (
        "while true; do a=$(cat /v/a); d=$(readlink /v/..data); b=$(cat /v/b); "
        "test $d = $(readlink /v/..data) && echo $a $b; test $a = 20 && exit; done"
    )
    space.made("pods", pod("reader", script, {"v": {"configMap": {"name": "words"}}}))
    space.until_phase("reader", "Running")
    for number in range(1, 21):
        space.patched("configmaps/words", {"data": {"a": str(number), "b": str(number)}})
    space.until_phase("reader", "Succeeded")
    seen = [tuple(map(int, line.split())) for line in space.log("reader").splitlines()]
    assert all(a <= b for a, b in seen)  # between both reads the link may have gone on and come back to no older one
    assert [a for a, _ in seen] == sorted(a for a, _ in seen) and seen[-1][0] == 20


KEPT = "trap 'exit 0' TERM; while true; do sleep 0.2; done"


def _left(space: Space, uids: list[str]) -> list[str]:
    """What a node still has of these pods: folders, and mounts that its daemon sees."""
    node = space.cluster.nodes[0]
    assert node.process is not None
    mounts = Path(f"/proc/{node.process.pid}/mountinfo").read_text()
    pods = Path(node.data) / "pods"
    places = [str(place) for uid in uids for place in (pods / uid, pods / "memory" / uid) if place.exists()]
    return places + [uid for uid in uids if uid in mounts]


def test_a_killed_agent_clears_what_went_meanwhile(space: Space) -> None:
    """Pods with all kinds of volumes are deleted while their node's daemon is dead, in good order and by force: when it
    is back, nothing of them is left, and what other pods have is as it was."""
    config_map(space, "words", {"one": "eins"})
    volumes: dict[str, Manifest] = {
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory"}},
        "map": {"configMap": {"name": "words"}},
        "image": {"image": {"reference": "busybox", "pullPolicy": "IfNotPresent"}},
    }
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in (*volumes, "data")]
    mounts += [{"name": name, "mountPath": f"/part-{name}", "subPath": part} for name, part in
               (("disk", "a/b"), ("memory", "c"), ("map", "one"), ("image", "bin"), ("data", "d"))]  # fmt: skip
    names = ("orderly", "forced", "stays")
    for name in names:
        claim(space, f"of-{name}")
        on = {"nodeSelector": {"kubernetes.io/hostname": "node1"}}
        made = pod(name, KEPT, {**volumes, "data": claimed(f"of-{name}")}, mounts, **on)
        space.made("pods", made)
    space.until_ready(*names)
    space.shell("stays", "echo kept | tee /memory/x /disk/x /data/x /part-data/y")
    uids = {name: space.pod(name)["metadata"]["uid"] for name in names}
    folders = {
        name: Path(space.cluster.nodes[0].data)
        / "local-volumes"
        / space.read(f"persistentvolumeclaims/of-{name}")["spec"]["volumeName"]
        for name in names
    }
    node = space.cluster.nodes[0]
    node.kill()
    try:
        assert space.request("DELETE", "pods/orderly").status == 200
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        assert space.request("DELETE", "pods/forced", options).status == 200
        for name in ("orderly", "forced"):
            assert space.request("DELETE", f"persistentvolumeclaims/of-{name}").status in (200, 202)
    finally:
        node.start()
    space.cluster.until_ready("node1")
    space.until(lambda: space.is_gone("pods/orderly"), "the pod that was deleted in good order is gone")
    space.until(lambda: not _left(space, [uids["orderly"], uids["forced"]]), "nothing is left of the two pods")
    space.until(
        lambda: not folders["orderly"].exists() and not folders["forced"].exists(), "their claims' folders went"
    )
    script = "cat /memory/x /disk/x /data/x /data/d/y; cat /map/one; ls /part-image/sh"
    assert space.shell("stays", script) == "kept\n" * 4 + "eins/part-image/sh\n"
    assert space.pod("stays")["status"]["containerStatuses"][0]["restartCount"] == 0
    space.patched("configmaps/words", {"data": {"one": "uno"}})
    until_said(space, "stays", "cat /map/one", "^uno$")
    deleted(space, "stays")
    space.until(lambda: not _left(space, [uids["stays"]]), "nothing is left of the third")
    assert folders["stays"].exists()


def test_deleted_while_it_mounts(space: Space) -> None:
    """A pod that waits for what is not there goes at once when it is deleted, and leaves nothing."""
    made = pod("waits", "true", {"v": {"configMap": {"name": "absent"}}, "disk": {"emptyDir": {}}}, nodeName="node1")
    space.made("pods", made)
    until_told(space, "waits", 'configmap "absent" not found')
    uid = space.pod("waits")["metadata"]["uid"]
    deleted(space, "waits")
    space.until(lambda: not _left(space, [uid]), "nothing is left of it")


def test_a_name_of_63_letters(space: Space) -> None:
    name = "v" * 63
    assert said(space, pod("long", f"echo x > /{name}/y; cat /{name}/y", {name: {"emptyDir": {}}})) == ["x\n"]
    refused = space.request("POST", "pods", pod("longer", "true", {"v" * 64: {"emptyDir": {}}}))
    assert refused.status == 422 and "must be no more than 63" in json.dumps(refused.object)
