"""Beyond the list: claims and the nodes that their volumes lie on, and volumes that are deleted before their claims."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance_kit import Space
from volume_cases import Manifest, claim, claimed, deleted, pod, said, sleeper, started, until_told

pytestmark = pytest.mark.slow

CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
VOLUMES = "/api/v1/persistentvolumes"


def _ask(space: Space, method: str, path: str, body: Any = None) -> Any:
    answer = space.cluster.control.request(method, path, body)
    assert answer.status in (200, 201), (method, path, answer)
    return answer.object


@pytest.fixture
def waiting(space: Space) -> Iterator[str]:
    """A class whose volumes somebody makes by hand, each on a node of its own."""
    name = f"hand-{space.name}"
    labels = {"case": space.name}
    body = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name, "labels": labels}}
    more = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    _ask(space, "POST", CLASSES, body | more)
    yield name
    for path in (VOLUMES, CLASSES):
        _ask(space, "DELETE", f"{path}?labelSelector=case={space.name}")


def _local(space: Space, name: str, class_: str, node: str, path: Path) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(0o777)
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "storageClassName": class_,
        "local": {"path": str(path)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
    }
    metadata = {"name": f"{space.name}-{name}", "labels": {"case": space.name}}
    _ask(space, "POST", VOLUMES, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec})


def _is_gone(space: Space, path: str) -> bool:
    return space.cluster.control.request("GET", path).status == 404


def _on(node: str) -> Manifest:
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def test_volumes_of_the_node_that_a_pod_comes_to(space: Space, waiting: str, tmp_path: Path) -> None:
    for node in ("node1", "node2"):
        _local(space, node, waiting, node, tmp_path / node)
    for name in ("a", "b", "c"):
        claim(space, name, storageClassName=waiting)
    until_told(space, "a", "WaitForFirstConsumer")
    pods = [
        pod(name, f"echo {name} > /v/x", {"v": claimed(name)}, **_on(node))
        for name, node in (("a", "node2"), ("b", "node1"))
    ]
    said(space, *pods)
    assert [(tmp_path / node / "x").read_text() for node in ("node1", "node2")] == ["b\n", "a\n"]
    space.made("pods", pod("c", "true", {"v": claimed("c")}))
    until_told(space, "c", "FailedScheduling .*didn't find available persistent volumes to bind")
    _local(space, "third", waiting, "node2", tmp_path / "third")
    ended = space.until_phase("c", "Succeeded", "Failed")
    assert (ended["status"]["phase"], ended["spec"]["nodeName"]) == ("Succeeded", "node2")


def test_pods_go_where_their_volume_is(space: Space) -> None:
    """Several pods share a claim on its node; one that must be elsewhere waits; two claims of two nodes never meet."""
    for name in ("shared", "other"):
        claim(space, name)
    started(
        space,
        sleeper("first", {"v": claimed("shared")}, **_on("node1")),
        sleeper("far", {"v": claimed("other")}, **_on("node2")),
    )
    started(space, *(sleeper(name, {"v": claimed("shared")}) for name in ("second", "third")))
    assert {space.pod(name)["spec"]["nodeName"] for name in ("first", "second", "third")} == {"node1"}
    space.shell("second", "echo word > /v/x")
    assert space.shell("third", "cat /v/x") == "word\n"
    space.made("pods", sleeper("elsewhere", {"v": claimed("shared")}, **_on("node2")))
    space.made("pods", sleeper("both", {"v": claimed("shared"), "w": claimed("other")}))
    for name in ("elsewhere", "both"):
        until_told(space, name, "FailedScheduling .*(volume node affinity|match PersistentVolume's node affinity)")


def test_a_volume_that_is_deleted_before_its_claim(space: Space) -> None:
    """Its policy counts all the same: the folder goes, when nobody has it any more."""
    claim(space, "c")
    started(space, sleeper("user", {"v": claimed("c")}))
    volume = space.read("persistentvolumeclaims/c")["spec"]["volumeName"]
    folder = Path(_ask(space, "GET", f"{VOLUMES}/{volume}")["spec"]["local"]["path"])
    assert _ask(space, "DELETE", f"{VOLUMES}/{volume}")["metadata"]["deletionTimestamp"]
    space.shell("user", "echo x > /v/x")
    assert _ask(space, "GET", f"{VOLUMES}/{volume}")["status"]["phase"] == "Bound" and (folder / "x").exists()
    assert space.kubectl("get", "pv", volume, "--no-headers").split()[4] == "Terminating"
    deleted(space, "user")
    assert space.request("DELETE", "persistentvolumeclaims/c").status in (200, 202)
    space.until(lambda: _is_gone(space, f"{VOLUMES}/{volume}"), "the volume is gone")
    assert not folder.exists()


def test_new_parts_belong_to_the_group(space: Space) -> None:
    """A folder that a subPath makes has the volume's mode and group, also for a user who is not root."""
    claim(space, "data")
    volumes: dict[str, Manifest] = {
        "disk": {"emptyDir": {}},
        "memory": {"emptyDir": {"medium": "Memory"}},
        "data": claimed("data"),
    }
    mounts = [{"name": name, "mountPath": f"/{name}", "subPath": "new/deep"} for name in volumes]
    script = (
        "for each in /disk /memory /data; do stat -c '%a %u %g' $each; echo x > $each/y; stat -c '%u %g' $each/y; done"
    )
    context = {"runAsUser": 1001, "fsGroup": 123}
    found = said(space, pod("one", script, volumes, mounts, securityContext=context))[0].splitlines()
    assert found == ["2777 0 123", "1001 123"] * 3


def test_a_namespace_goes_with_claims_in_use(space: Space) -> None:
    inner = Space(space.cluster, f"{space.name}-inner")
    space.cluster.kubectl("create", "namespace", inner.name)
    inner.until(lambda: not inner.is_gone("serviceaccounts/default"), "the account is there")
    claim(inner, "c")
    started(inner, sleeper("user", {"v": claimed("c")}))
    volume = inner.read("persistentvolumeclaims/c")["spec"]["volumeName"]
    space.cluster.kubectl("delete", "namespace", inner.name, "--wait=false")
    for path in (f"/api/v1/namespaces/{inner.name}", f"{VOLUMES}/{volume}"):
        space.until(functools.partial(_is_gone, space, path), f"{path} is gone")


def test_classes_of_some_nodes(space: Space) -> None:
    """allowedTopologies holds for who waits for a pod and for who does not."""
    terms = [{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["node2"]}]}]
    names = {mode: f"{mode.lower()}-{space.name}" for mode in ("Immediate", "WaitForFirstConsumer")}
    for mode, name in names.items():
        body = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}}
        more = {"provisioner": "boxship.io/local", "volumeBindingMode": mode, "allowedTopologies": terms}
        _ask(space, "POST", CLASSES, body | more)
    try:
        for name in names.values():
            claim(space, name, storageClassName=name)
        said(space, *(pod(name, "touch /v/x", {"v": claimed(name)}) for name in names.values()))
        assert {space.pod(name)["spec"]["nodeName"] for name in names.values()} == {"node2"}
    finally:
        for name in names.values():
            _ask(space, "DELETE", f"{CLASSES}/{name}")


def test_other_systems_are_refused_by_name(space: Space) -> None:
    """Volumes that no node here can have say so, and hold their pod alone."""
    bundle = {"sources": [{"clusterTrustBundle": {"name": "x", "path": "y"}}]}
    sources: dict[str, tuple[Manifest, str]] = {
        "nfs": ({"nfs": {"server": "server.example.com", "path": "/x"}}, "unsupported: volumes of kind nfs"),
        "iscsi": (
            {"iscsi": {"targetPortal": "192.0.2.1", "iqn": "iqn.2001-04.com.example:x", "lun": 0}},
            "unsupported: volumes of kind iscsi",
        ),
        "git": ({"gitRepo": {"repository": "x"}}, "unsupported: volumes of kind gitRepo"),
        "bundle": ({"projected": bundle}, "unsupported: projected source clusterTrustBundle"),
    }
    for name, (source, _) in sources.items():
        space.made("pods", pod(name, "true", {"v": source}))
    names = []
    behind: dict[str, tuple[Manifest, str]] = {
        "nfs": ({"nfs": {"server": "server.example.com", "path": "/x"}}, "persistent volumes of kind nfs"),
        "csi": ({"csi": {"driver": "driver.example.com", "volumeHandle": "h"}}, "persistent volumes of kind csi"),
        "options": ({"hostPath": {"path": "/tmp"}, "mountOptions": ["noatime"]}, "mountOptions of volume"),
    }
    for kind, (fields, why) in behind.items():
        name = f"{kind}-{space.name}"
        names.append(name)
        spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": name, **fields}
        body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}
        _ask(space, "POST", VOLUMES, body)
        claim(space, name, storageClassName=name)
        space.made("pods", pod(name, "true", {"v": claimed(name)}))
        sources[name] = ({}, f"unsupported: {why}")
    for name, (_, why) in sources.items():
        until_told(space, name, f"FailedMount .*{why}")
    assert {space.phase(name) for name in sources} == {"Pending"}
    for name in names:
        _ask(space, "DELETE", f"{VOLUMES}/{name}")
