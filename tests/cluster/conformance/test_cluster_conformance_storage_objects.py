"""The objects of storage as objects: made, read, listed, watched, changed, deleted one by one and together."""

import functools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_kit import Space
from volume_cases import Manifest, pod, until_told

pytestmark = pytest.mark.slow

STORAGE = "/apis/storage.k8s.io/v1"
CORE = "/api/v1"


class Kind:
    """One resource of the cluster or of a namespace, of which a case sees its own objects alone."""

    def __init__(self, space: Space, path: str, template: Manifest) -> None:
        self.space, self.path, self.template = space, path, template
        self.mine = f"?labelSelector=case={space.name}"

    def ask(self, method: str, rest: str = "", body: Any = None, status: int = 200, kind: str = "") -> Any:
        headers = {"Content-Type": f"application/{kind}"} if kind else None
        answer = self.space.cluster.control.request(method, self.path + rest, body, headers)
        assert answer.status == status, (method, self.path + rest, answer)
        return answer.object

    def body(self, name: str) -> Manifest:
        metadata = {"name": f"{self.space.name}-{name}", "labels": {"case": self.space.name}}
        return {**self.template, "metadata": metadata}

    def make(self, name: str) -> Manifest:
        made: Manifest = self.ask("POST", "", self.body(name), 201)
        return made

    def names(self, selector: str = "") -> list[str]:
        return [one["metadata"]["name"] for one in self.ask("GET", selector or self.mine)["items"]]

    def until_gone(self, name: str) -> None:
        at = f"{self.path}/{self.space.name}-{name}"
        self.space.until(lambda: self.space.cluster.control.request("GET", at).status == 404, f"{at} is gone")

    def clear(self) -> None:
        self.ask("DELETE", self.mine)

    def life(self) -> None:
        """Made, read, patched, listed, updated, deleted alone and with others."""
        first = self.make("one")
        at = f"/{first['metadata']['name']}"
        self.ask("POST", "", self.body("one"), 409)
        assert self.ask("GET", at)["metadata"]["uid"] == first["metadata"]["uid"]
        patch = {"metadata": {"labels": {"patched": "yes"}}}
        for kind in ("merge-patch+json", "strategic-merge-patch+json"):
            patched = self.ask("PATCH", at, patch, kind=kind)
            assert patched["metadata"]["labels"] == {"case": self.space.name, "patched": "yes"}
        assert self.names("?labelSelector=patched=yes,case=" + self.space.name) == [first["metadata"]["name"]]
        patched["metadata"]["labels"]["updated"] = "yes"
        assert self.ask("PUT", at, patched)["metadata"]["labels"]["updated"] == "yes"
        stale = {
            **patched,
            "metadata": {**patched["metadata"], "resourceVersion": first["metadata"]["resourceVersion"]},
        }
        self.ask("PUT", at, stale, 409)
        self.make("two"), self.make("three")
        assert len(self.names()) == 3
        self.ask("DELETE", at)
        self.until_gone("one")
        assert len(self.names()) == 2
        self.clear()
        self.space.until(lambda: not self.names(), f"all of {self.path} are gone")


@pytest.fixture
def kinds(space: Space) -> Iterator[dict[str, Kind]]:
    driver = {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral", "Persistent"]}
    volume = {"source": {"persistentVolumeName": "none"}, "attacher": "driver.example.com", "nodeName": "nowhere"}
    node = {"drivers": [{"name": "driver.example.com", "nodeID": "n", "topologyKeys": ["a/b"]}]}
    namespaced = f"{STORAGE}/namespaces/{space.name}"
    found = {
        "driver": Kind(space, f"{STORAGE}/csidrivers", {"kind": "CSIDriver", "spec": driver}),
        "node": Kind(space, f"{STORAGE}/csinodes", {"kind": "CSINode", "spec": node}),
        "capacity": Kind(
            space,
            f"{namespaced}/csistoragecapacities",
            {"kind": "CSIStorageCapacity", "storageClassName": "c", "capacity": "1Gi", "nodeTopology": {}},
        ),
        "class": Kind(
            space,
            f"{STORAGE}/storageclasses",
            {"kind": "StorageClass", "provisioner": "example.com/none", "parameters": {"a": "b"}},
        ),
        "attachment": Kind(space, f"{STORAGE}/volumeattachments", {"kind": "VolumeAttachment", "spec": volume}),
        "attributes": Kind(
            space,
            f"{STORAGE}/volumeattributesclasses",
            {"kind": "VolumeAttributesClass", "driverName": "driver.example.com", "parameters": {"iops": "5"}},
        ),
    }
    for kind in found.values():
        kind.template["apiVersion"] = "storage.k8s.io/v1"
    yield found
    for kind in found.values():
        kind.clear()


# Covers: CSIDriver, lifecycle; CSINode, lifecycle; CSIStorageCapacity API; StorageClass, lifecycle;
#   VolumeAttachment, lifecycle. (VolumeAttributesClass is beyond the list.)
def test_lives_of_objects(space: Space, kinds: dict[str, Kind]) -> None:
    served = space.cluster.control.request("GET", STORAGE).object["resources"]
    verbs = {one["name"]: set(one["verbs"]) for one in served}
    wanted = {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"}
    for kind in kinds.values():
        assert verbs[kind.path.rpartition("/")[2]] == wanted
        kind.life()
    groups = space.cluster.control.request("GET", "/apis").object["groups"]
    group = next(one for one in groups if one["name"] == "storage.k8s.io")
    assert "v1" in [one["version"] for one in group["versions"]]


# Covers: CSIStorageCapacity API (its watches and its list of all namespaces).
def test_capacities_are_watched(space: Space, kinds: dict[str, Kind]) -> None:
    kind = kinds["capacity"]
    version = kind.ask("GET", kind.mine)["metadata"]["resourceVersion"]
    made = kind.make("one")
    at = f"/{made['metadata']['name']}"
    kind.ask("PATCH", at, {"metadata": {"annotations": {"patched": "true"}}}, kind="merge-patch+json")
    kind.ask("DELETE", at)
    everywhere = f"{STORAGE}/csistoragecapacities"
    for path in (kind.path, everywhere):
        query = f"{kind.mine}&watch=true&timeoutSeconds=1&resourceVersion={version}"
        seen = space.cluster.control.request("GET", path + query).body.decode().splitlines()
        assert [json.loads(line)["type"] for line in seen] == ["ADDED", "MODIFIED", "DELETED"]
    kind.make("two")
    assert len(space.cluster.control.request("GET", everywhere + kind.mine).object["items"]) == 1


# Covers: VolumeAttachment, apply changes to a volumeattachment status.
def test_the_status_of_an_attachment(space: Space, kinds: dict[str, Kind]) -> None:
    kind = kinds["attachment"]
    at = f"/{kind.make('one')['metadata']['name']}/status"
    found = kind.ask("GET", at)
    assert found["status"]["attached"] is False
    change = {"metadata": {"annotations": {"seen": "yes"}}, "status": {"attached": True}}
    patched = kind.ask("PATCH", at, change, kind="merge-patch+json")
    assert patched["status"]["attached"] is True
    patched["status"] = {"attached": False, "attachError": {"message": "gone"}}
    patched["spec"]["nodeName"] = "elsewhere"  # the status alone is written here
    updated = kind.ask("PUT", at, patched)
    assert (updated["status"]["attached"], updated["status"]["attachError"]["message"]) == (False, "gone")
    assert updated["spec"]["nodeName"] == "nowhere"


# Covers: CSIInlineVolumes should support Pods with inline volumes.
def test_pods_with_volumes_of_drivers(space: Space) -> None:
    source = {"driver": "driver.example.com", "readOnly": True, "volumeAttributes": {"a": "b"}, "fsType": "ext4"}
    made = space.made("pods", pod("inline", "true", {"v": {"csi": source}}))
    assert made["spec"]["volumes"] == [{"name": "v", "csi": source}]
    listed = space.read("pods")["items"]
    assert [one["metadata"]["name"] for one in listed] == ["inline"]
    assert space.patched("pods/inline", {"metadata": {"labels": {"a": "b"}}})["metadata"]["labels"] == {"a": "b"}
    until_told(space, "inline", "unsupported: volumes of kind csi")  # our nodes host no drivers, and say so
    assert space.request("DELETE", "pods/inline").status == 200
    space.until(lambda: space.is_gone("pods/inline"), "the pod is gone")


def _pair(space: Space) -> tuple[Kind, Kind]:
    """Volumes and claims that no controller joins: the class is nobody's."""
    spec = {
        "storageClassName": f"{space.name}-none",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "csi": {"driver": "driver.example.com", "volumeHandle": "h"},
    }
    wish = {
        "storageClassName": f"{space.name}-none",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    }
    claims = f"{CORE}/namespaces/{space.name}/persistentvolumeclaims"
    return (
        Kind(space, f"{CORE}/persistentvolumes", {"apiVersion": "v1", "kind": "PersistentVolume", "spec": spec}),
        Kind(space, claims, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": wish}),
    )


# Covers: PersistentVolumes(Claims), lifecycle.
def test_lives_of_volumes_and_claims(space: Space) -> None:
    volumes, claims = _pair(space)
    first, wish = volumes.make("one"), claims.make("one")
    assert first["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    assert wish["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    for kind in (claims, volumes):
        at = f"/{space.name}-one"
        patched = kind.ask("PATCH", at, {"metadata": {"labels": {"patched": "yes"}}}, kind="merge-patch+json")
        assert patched["metadata"]["labels"]["patched"] == "yes"
        assert kind.names() == [f"{space.name}-one"]
        kind.ask("DELETE", at)
        kind.until_gone("one")
        kind.make("two")
        # controllers write into the object, too, so a conflict is an answer that one tries again after
        space.until(functools.partial(_updated, kind, f"/{space.name}-two"), "the object is updated")
        kind.clear()
        kind.until_gone("two")


def _updated(kind: Kind, at: str) -> bool:
    found = kind.ask("GET", at)
    found["metadata"]["labels"]["updated"] = "yes"
    answer = kind.space.cluster.control.request("PUT", kind.path + at, found)
    assert answer.status in (200, 409), answer
    return answer.status == 200 and answer.object["metadata"]["labels"]["updated"] == "yes"


# Covers: PersistentVolumes(Claims), apply changes to a pv/pvc status.
def test_the_status_of_volumes_and_claims(space: Space) -> None:
    volumes, claims = _pair(space)
    volumes.make("one"), claims.make("one")
    at = f"/{space.name}-one/status"
    try:
        space.until(lambda: claims.ask("GET", at)["status"].get("phase") in ("Pending", "Bound"), "the claim's phase")
        space.until(lambda: volumes.ask("GET", at)["status"].get("phase") in ("Available", "Bound"), "a phase")
        condition = {"type": "StatusPatched", "status": "True", "reason": "Test", "message": "patched"}
        patch = {"metadata": {"annotations": {"seen": "yes"}}, "status": {"conditions": [condition]}}
        patched = claims.ask("PATCH", at, patch, kind="merge-patch+json")
        assert "StatusPatched" in [one["type"] for one in patched["status"]["conditions"]]
        patch = {"status": {"message": "patched", "reason": "Test"}}
        told = volumes.ask("PATCH", at, patch, kind="merge-patch+json")["status"]
        assert (told["message"], told["reason"]) == ("patched", "Test")

        def updates(kind: Kind, change: Manifest) -> bool:
            found = kind.ask("GET", at)
            found["status"] |= change
            answer = kind.space.cluster.control.request("PUT", kind.path + at, found)
            assert answer.status in (200, 409), answer
            return answer.status == 200 and all(answer.object["status"][key] == value for key, value in change.items())

        condition = {**condition, "type": "StatusUpdated"}
        space.until(lambda: updates(claims, {"conditions": [condition]}), "the claim's status is updated")
        space.until(lambda: updates(volumes, {"message": "updated", "reason": "Again"}), "and the volume's")
    finally:
        claims.clear()
        volumes.clear()
        claims.until_gone("one")
        volumes.until_gone("one")
