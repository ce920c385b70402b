"""Claims and classes beyond the list: who gets which volume and when, what grows, what is kept, what is refused."""

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
DEFAULT = "storageclass.kubernetes.io/is-default-class"
MERGE = {"Content-Type": "application/merge-patch+json"}


class Cluster:
    """Classes and volumes of a case, which go with it."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self.space.cluster.control.request(method, path, body, MERGE if method == "PATCH" else None)
        assert answer.status == status, (method, path, answer)
        return answer.object

    def storage_class(self, name: str, *, default: bool = False, **fields: Any) -> str:
        """A class of local folders; the name that it has."""
        full = f"{self.space.name}-{name}"
        metadata = {"name": full, "labels": {"case": self.space.name}}
        metadata |= {"annotations": {DEFAULT: "true"}} if default else {}
        body = {"kind": "StorageClass", "metadata": metadata, "provisioner": "boxship.io/local", **fields}
        self.ask("POST", CLASSES, {"apiVersion": "storage.k8s.io/v1", **body}, 201)
        return full

    def volume(self, name: str, path: Path | str, size: str = "1Gi", **spec: Any) -> Manifest:
        """A volume of one's own making: a folder of every node, of the class "manual-CASE" that nobody provides."""
        kind = {} if "local" in spec else {"hostPath": {"path": str(path)}}
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{self.space.name}-{name}", "labels": {"case": self.space.name, "name": name}},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": {"storage": size},
                "storageClassName": self.manual,
                **kind,
                **spec,
            },
        }
        made: Manifest = self.ask("POST", VOLUMES, body, 201)
        return made

    @property
    def manual(self) -> str:
        return f"manual-{self.space.name}"

    def volume_of(self, name: str) -> Manifest:
        """The volume that a claim is bound to."""
        found: Manifest = self.ask(
            "GET", f"{VOLUMES}/{self.space.read(f'persistentvolumeclaims/{name}')['spec']['volumeName']}"
        )
        return found

    def until_phase(self, name: str, phase: str) -> None:
        at = f"persistentvolumeclaims/{name}"
        self.space.until(lambda: self.space.read(at)["status"].get("phase") == phase, f"claim {name} is {phase}")

    def until_volume(self, name: str, phase: str) -> None:
        """`phase` "" for gone."""

        def there() -> bool:
            answer = self.space.cluster.control.request("GET", f"{VOLUMES}/{name}")
            return answer.status == 404 if not phase else answer.object["status"].get("phase") == phase

        self.space.until(there, f"volume {name} is {phase or 'gone'}")

    def drop_claim(self, name: str) -> None:
        assert self.space.request("DELETE", f"persistentvolumeclaims/{name}").status in (200, 202)
        self.space.until(lambda: self.space.is_gone(f"persistentvolumeclaims/{name}"), f"claim {name} is gone")

    def clear(self) -> None:
        for path in ("/api/v1/persistentvolumes", CLASSES):
            self.ask("DELETE", f"{path}?labelSelector=case={self.space.name}")


@pytest.fixture
def world(space: Space) -> Iterator[Cluster]:
    made = Cluster(space)
    yield made
    made.clear()


def test_volumes_are_made_at_once_or_for_a_pod(space: Space, world: Cluster) -> None:
    now = world.storage_class("now", volumeBindingMode="Immediate")
    claim(space, "now", storageClassName=now)
    claim(space, "later")
    world.until_phase("now", "Bound")
    until_told(space, "later", "WaitForFirstConsumer waiting for first consumer to be created before binding")
    assert space.read("persistentvolumeclaims/later")["status"]["phase"] == "Pending"
    both = {"now": claimed("now"), "later": claimed("later")}
    assert said(space, pod("one", "touch /now/x /later/y; ls /now /later", both)) == ["/later:\ny\n\n/now:\nx\n"]
    nodes = {world.volume_of(name)["metadata"]["labels"]["boxship.io/local-volume-node"] for name in ("now", "later")}
    assert nodes == {space.pod("one")["spec"]["nodeName"]}
    assert world.volume_of("now")["status"]["lastPhaseTransitionTime"]


def test_what_is_kept_and_what_goes(space: Space, world: Cluster) -> None:
    kept = world.storage_class("kept", volumeBindingMode="Immediate", reclaimPolicy="Retain")
    gone = world.storage_class("gone", volumeBindingMode="Immediate")
    for name, of in (("kept", kept), ("gone", gone), ("changed", gone)):
        claim(space, name, storageClassName=of)
    said(space, *(pod(name, "touch /v/x", {"v": claimed(name)}) for name in ("kept", "gone", "changed")))
    volumes = {name: world.volume_of(name) for name in ("kept", "gone", "changed")}
    names = {name: volume["metadata"]["name"] for name, volume in volumes.items()}
    world.ask("PATCH", f"{VOLUMES}/{names['changed']}", {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    for name in volumes:
        world.drop_claim(name)
    world.until_volume(names["gone"], "")
    for name in ("kept", "changed"):
        world.until_volume(names[name], "Released")
        folder = Path(volumes[name]["spec"]["local"]["path"])
        assert (folder / "x").exists()
        world.ask("PATCH", f"{VOLUMES}/{names[name]}", {"spec": {"claimRef": None}})  # free for somebody else
        world.until_volume(names[name], "Available")
        claim(
            space, f"again-{name}", storageClassName=volumes[name]["spec"]["storageClassName"], volumeName=names[name]
        )
        world.until_phase(f"again-{name}", "Bound")
        assert said(space, pod(f"again-{name}", "ls /v", {"v": claimed(f"again-{name}")})) == ["x\n"]
        world.ask("PATCH", f"{VOLUMES}/{names[name]}", {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
        deleted(space, f"again-{name}")
        world.drop_claim(f"again-{name}")
        world.until_volume(names[name], "")
        assert not folder.exists()
    assert not Path(volumes["gone"]["spec"]["local"]["path"]).exists()


def test_the_default_class(space: Space, world: Cluster) -> None:
    """Of several the newest; a claim that came before any gets it later, one that wants none never does."""
    world.ask("PATCH", f"{CLASSES}/local", {"metadata": {"annotations": {DEFAULT: "false"}}})
    try:
        claim(space, "early")
        claim(space, "none", storageClassName="")
        assert "storageClassName" not in space.read("persistentvolumeclaims/early")["spec"]
        until_told(space, "early", "no persistent volumes available for this claim and no storage class is set")
        first = world.storage_class("b-first", default=True, volumeBindingMode="Immediate")
        world.until_phase("early", "Bound")
        assert space.read("persistentvolumeclaims/early")["spec"]["storageClassName"] == first
        stamp = world.ask("GET", f"{CLASSES}/{first}")["metadata"]["creationTimestamp"]

        def newer() -> Any:
            """Times have whole seconds; of the same one the first by name counts."""
            name = world.storage_class("a-second", default=True, volumeBindingMode="Immediate")
            made = world.ask("GET", f"{CLASSES}/{name}")["metadata"]["creationTimestamp"]
            if made == stamp:
                world.ask("DELETE", f"{CLASSES}/{name}")
            return made != stamp

        space.until(newer, "a class of a later second is there")
        assert claim(space, "late")["spec"]["storageClassName"].endswith("a-second")
        assert space.read("persistentvolumeclaims/none")["spec"]["storageClassName"] == ""
        assert space.read("persistentvolumeclaims/none")["status"]["phase"] == "Pending"
    finally:
        world.ask("PATCH", f"{CLASSES}/local", {"metadata": {"annotations": {DEFAULT: "true"}}})


def test_volumes_of_ones_own(space: Space, world: Cluster, tmp_path: Path) -> None:
    """The smallest that fits; by selector, by name, reserved; of one mode; and never two claims for one."""
    for name, size, more in (
        ("small", "1Gi", {}),
        ("large", "5Gi", {}),
        ("many", "3Gi", {"accessModes": ["ReadWriteMany", "ReadOnlyMany"]}),
        ("kept", "9Gi", {"claimRef": {"namespace": space.name, "name": "reserves"}}),
        ("block", "1Gi", {"volumeMode": "Block", "local": {"path": "/dev/none"}, "nodeAffinity": _on("node1")}),
    ):
        world.volume(name, tmp_path / name, size, **more)
    wanted = {
        "smallest": ({"size": "1Mi"}, "small"),
        "rest": ({"size": "1Mi"}, "large"),
        "shares": ({"size": "1Mi", "mode": "ReadWriteMany"}, "many"),
        "reserves": ({"size": "1Mi"}, "kept"),
        "raw": ({"size": "1Mi", "volumeMode": "Block"}, "block"),
    }
    for name, (how, volume) in wanted.items():
        claim(space, name, storageClassName=world.manual, **how)
        world.until_phase(name, "Bound")
        assert world.volume_of(name)["metadata"]["labels"]["name"] == volume
    bound = space.read("persistentvolumeclaims/smallest")["status"]
    assert (bound["capacity"], bound["accessModes"]) == ({"storage": "1Gi"}, ["ReadWriteOnce"])
    claim(space, "names", storageClassName=world.manual, volumeName=f"{space.name}-named")
    selector = {"matchLabels": {"name": "chosen"}}
    claim(space, "chooses", storageClassName=world.manual, selector=selector)
    world.volume("other", tmp_path / "other")
    world.volume("named", tmp_path / "named")
    world.until_phase("names", "Bound")
    world.until_volume(f"{space.name}-other", "Available")
    assert _phases(space, "chooses") == ["Pending"]
    world.volume("chosen", tmp_path / "chosen")
    world.until_phase("chooses", "Bound")
    assert world.volume_of("chooses")["metadata"]["labels"]["name"] == "chosen"
    claim(space, "mismatch", "7Gi", storageClassName=world.manual, volumeName=f"{space.name}-other")
    until_told(space, "mismatch", "Cannot bind to requested volume .*: requested PV is too small")


def _phases(space: Space, *names: str) -> list[str]:
    return [str(space.read(f"persistentvolumeclaims/{name}")["status"].get("phase")) for name in names]


def _on(node: str) -> Manifest:
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    return {"required": {"nodeSelectorTerms": [term]}}


def test_a_lost_volume(space: Space, world: Cluster, tmp_path: Path) -> None:
    world.volume("v", tmp_path)
    claim(space, "c", storageClassName=world.manual)
    world.until_phase("c", "Bound")
    name = f"{space.name}-v"
    assert world.ask("DELETE", f"{VOLUMES}/{name}")["metadata"]["deletionTimestamp"]  # protected while it is bound
    assert world.ask("GET", f"{VOLUMES}/{name}")["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    world.ask("PATCH", f"{VOLUMES}/{name}", {"metadata": {"finalizers": None}})
    world.until_phase("c", "Lost")
    until_told(space, "c", "ClaimLost Bound claim has lost its PersistentVolume. Data on the volume is lost!")


def test_volumes_of_one_node(space: Space, world: Cluster, tmp_path: Path) -> None:
    """A local volume leads its pods to its node; a pod that has to be elsewhere waits and says why."""
    tmp_path.chmod(0o777)
    world.volume("v", "", local={"path": str(tmp_path)}, nodeAffinity=_on("node2"))
    claim(space, "c", storageClassName=world.manual)
    space.made("pods", pod("there", "touch /v/x", {"v": claimed("c")}, securityContext={"fsGroup": 4321}))
    elsewhere = sleeper("elsewhere", {"v": claimed("c")}, nodeSelector={"kubernetes.io/hostname": "node1"})
    space.made("pods", elsewhere)
    ended = space.until_phase("there", "Succeeded", "Failed")
    assert (ended["status"]["phase"], ended["spec"]["nodeName"]) == ("Succeeded", "node2")
    assert tmp_path.stat().st_gid == 4321 and (tmp_path / "x").exists()
    until_told(space, "elsewhere", "FailedScheduling .*(volume node affinity|match PersistentVolume's node affinity)")
    missing = world.volume("w", "", local={"path": str(tmp_path / "none")}, nodeAffinity=_on("node1"))
    claim(space, "d", storageClassName=world.manual, volumeName=missing["metadata"]["name"])
    space.made("pods", pod("missing", "true", {"v": claimed("d")}))
    until_told(space, "missing", 'FailedMount MountVolume.SetUp failed for volume .*path ".*none" does not exist')


def test_claims_grow(space: Space, world: Cluster) -> None:
    fixed = world.storage_class("fixed", volumeBindingMode="Immediate")
    grows = world.storage_class("grows", volumeBindingMode="Immediate", allowVolumeExpansion=True)
    claim(space, "fixed", storageClassName=fixed)
    claim(space, "grows", storageClassName=grows)
    for name in ("fixed", "grows"):
        world.until_phase(name, "Bound")
    size = {"spec": {"resources": {"requests": {"storage": "2Mi"}}}}
    refused = space.request("PATCH", "persistentvolumeclaims/fixed", size, MERGE)
    assert (
        refused.status == 403
        and "the storageclass that provisions the pvc must support resize" in refused.object["message"]
    )
    space.patched("persistentvolumeclaims/grows", size)
    at = "persistentvolumeclaims/grows"
    space.until(lambda: space.read(at)["status"]["capacity"]["storage"] == "2Mi", "the claim has grown")
    assert world.volume_of("grows")["spec"]["capacity"]["storage"] == "2Mi"
    assert not space.read(at)["status"].get("conditions")
    smaller = space.request("PATCH", at, {"spec": {"resources": {"requests": {"storage": "1Mi"}}}}, MERGE)
    assert smaller.status == 422 and "field can not be less than status.capacity" in smaller.object["message"]


def test_what_nobody_provides_is_named(space: Space, world: Cluster) -> None:
    now = world.storage_class("now", volumeBindingMode="Immediate")
    snapshot = {"kind": "VolumeSnapshot", "apiGroup": "snapshot.storage.k8s.io", "name": "s"}
    refused: dict[str, tuple[Manifest, str]] = {
        "block": ({"volumeMode": "Block"}, "unsupported: volumeMode Block"),
        "snapshot": ({"dataSource": snapshot}, "unsupported: dataSource"),
        "clone": ({"dataSource": {"kind": "PersistentVolumeClaim", "name": "c"}}, "unsupported: dataSource"),
        "selector": ({"selector": {"matchLabels": {"a": "b"}}}, "claim.Spec.Selector is not supported"),
        "class": ({"volumeAttributesClassName": "gold"}, "unsupported: volumeAttributesClassName"),
    }
    for name, (spec, _) in refused.items():
        claim(space, name, storageClassName=now, **spec)
    claim(
        space,
        "options",
        storageClassName=world.storage_class("options", mountOptions=["noatime"], volumeBindingMode="Immediate"),
    )
    claim(space, "missing", storageClassName="no-such-class")
    for name, (_, why) in refused.items():
        until_told(space, name, f"ProvisioningFailed .*{why}")
    until_told(space, "options", "ProvisioningFailed .*unsupported: StorageClass mountOptions")
    until_told(space, "missing", 'ProvisioningFailed storageclass.storage.k8s.io "no-such-class" not found')
    names = [*refused, "options", "missing"]
    assert set(_phases(space, *names)) == {"Pending"}


def test_recycling_is_refused(space: Space, world: Cluster, tmp_path: Path) -> None:
    world.volume("v", tmp_path, persistentVolumeReclaimPolicy="Recycle")
    claim(space, "c", storageClassName=world.manual)
    world.until_phase("c", "Bound")
    world.drop_claim("c")
    world.until_volume(f"{space.name}-v", "Failed")
    assert (
        "unsupported: persistentVolumeReclaimPolicy Recycle"
        in world.ask("GET", f"{VOLUMES}/{space.name}-v")["status"]["message"]
    )


def test_claims_in_use_stay(space: Space, world: Cluster) -> None:
    claim(space, "c")
    started(space, sleeper("user", {"v": claimed("c")}))
    volume = world.volume_of("c")["metadata"]["name"]
    assert "user" in space.kubectl("describe", "pvc", "c").split("Used By:")[1].split("\n")[0]
    assert space.request("DELETE", "persistentvolumeclaims/c").status in (200, 202)
    assert space.kubectl("get", "pvc", "c", "--no-headers").split()[1] == "Terminating"
    space.made("pods", sleeper("late", {"v": claimed("c")}))
    until_told(space, "late", 'FailedScheduling .*persistentvolumeclaim "c" is being deleted')
    space.shell("user", "echo still > /v/there")
    assert world.ask("GET", f"{VOLUMES}/{volume}")["status"]["phase"] == "Bound"
    deleted(space, "user")
    space.until(lambda: space.is_gone("persistentvolumeclaims/c"), "the claim goes with its last user")
    world.until_volume(volume, "")
    until_told(space, "late", 'FailedScheduling .*persistentvolumeclaim "c" not found')


def test_one_pod_alone(space: Space, world: Cluster) -> None:
    """ReadWriteOncePod: the second pod waits, on the same node too, and comes when the first has ended."""
    claim(space, "c", mode="ReadWriteOncePod")
    started(space, sleeper("first", {"v": claimed("c")}))
    node = space.pod("first")["spec"]["nodeName"]
    space.made("pods", sleeper("second", {"v": claimed("c")}))
    until_told(
        space, "second", "FailedScheduling .*PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    )
    assert space.phase("second") == "Pending"
    space.made("pods", sleeper("past", {"v": claimed("c")}, nodeName=node))  # past the scheduler
    until_told(
        space, "past", "FailedMount .*uses the ReadWriteOncePod access mode and is already in use by another pod"
    )
    assert space.phase("past") == "Pending"
    deleted(space, "past")
    deleted(space, "first")
    space.until_ready("second")
    assert space.pod("second")["spec"]["nodeName"] == node
    assert world.volume_of("c")["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_generic_volumes(space: Space, world: Cluster) -> None:
    """Made for a pod, owned by it, and gone with it; a claim of that name that is somebody else's is not taken."""
    long = "v" * 63
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    source = {"ephemeral": {"volumeClaimTemplate": template}}
    started(space, sleeper("owner", {"v": source, long: source}, [
        {"name": "v", "mountPath": "/v"}, {"name": long, "mountPath": "/long"}
    ]))  # fmt: skip
    made = space.read("persistentvolumeclaims/owner-v")
    assert made["metadata"]["labels"] == {"a": "b"}
    owner = made["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Pod", "owner", True)
    space.shell("owner", "touch /v/x /long/y")
    volumes = [world.volume_of(f"owner-{name}")["metadata"]["name"] for name in ("v", long)]
    claim(space, "thief-v")
    space.made("pods", sleeper("thief", {"v": source}))
    until_told(space, "thief", "(was not created for pod|pod is not owner)")
    deleted(space, "owner")
    for name in ("v", long):
        space.until(functools.partial(space.is_gone, f"persistentvolumeclaims/owner-{name}"), "the claim has gone")
    for volume in volumes:
        world.until_volume(volume, "")
    assert not space.is_gone("persistentvolumeclaims/thief-v")
