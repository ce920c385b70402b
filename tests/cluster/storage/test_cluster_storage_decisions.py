"""Which volume a claim gets, and what is written next: tables of cases, and random worlds driven to rest."""

import random
from typing import Any

import pytest
from storage_kit import CLAIMS, claim, node, storage_class, stored, volume

from boxship.cluster.controllers.storage import matching, provisioning
from boxship.cluster.controllers.storage.binding import Step, next_of_claim, next_of_volume
from boxship.cluster.controllers.storage.expanding import enlarged, wants_more
from boxship.cluster.controllers.storage.generic import claim_for
from boxship.cluster.objects import Object


def available(*args: Any, **fields: Any) -> Object:
    made = volume(*args, **fields)
    return stored(made, f"uid-{made['metadata']['name']}", phase="Available")


def wanted(*args: Any, **fields: Any) -> Object:
    return stored(claim(*args, **fields), "uid-c")


@pytest.mark.parametrize(
    ("asked", "offered", "expected"),
    [
        ({}, [available("big", "3Gi"), available("fit", "2Gi"), available("small", "500Mi")], "fit"),
        ({}, [available("b"), available("a")], "a"),
        ({"size": "5Gi"}, [available("a")], None),
        ({"storageClassName": "x"}, [available("a"), available("b", storageClassName="x")], "b"),
        ({"accessModes": ["ReadWriteMany"]}, [available("a"), available("b", accessModes=["ReadWriteMany"])], "b"),
        (
            {"accessModes": ["ReadWriteOncePod"]},
            [available("a"), available("b", accessModes=["ReadWriteOncePod"])],
            "b",
        ),
        ({"volumeMode": "Block"}, [available("a"), available("b", volumeMode="Block")], "b"),
        (
            {"selector": {"matchLabels": {"k": "v"}}},
            [available("a"), available("b", "9Gi", labels={"k": "v"})],
            "b",
        ),
        ({}, [available("a", claimRef={"namespace": "default", "name": "other"})], None),
        (
            {},
            [available("a"), available("b", "9Gi", claimRef={"namespace": "default", "name": "c"})],
            "b",
        ),
        ({}, [stored(volume("a"), "u", phase="Released")], None),
        ({}, [available("a", volumeAttributesClassName="gold")], None),
    ],
)
def test_the_best_volume(asked: dict[str, Any], offered: list[Object], expected: str | None) -> None:
    found = matching.best(wanted(**asked), offered, reserved_only=False)
    assert (found["metadata"]["name"] if found else None) == expected


def test_a_claim_that_waits_takes_only_what_is_kept_for_it() -> None:
    kept = available("b", claimRef={"namespace": "default", "name": "c"})
    assert matching.best(wanted(), [available("a")], reserved_only=True) is None
    assert matching.best(wanted(), [available("a"), kept], reserved_only=True) is kept


def test_the_default_class_is_the_newest() -> None:
    def made(name: str, when: str, *, default: bool = True) -> Object:
        found = storage_class(name, default=default)
        found["metadata"]["creationTimestamp"] = when
        return found

    classes = {
        one["metadata"]["name"]: one
        for one in (
            made("b", "2026-01-02"),
            made("a", "2026-01-02"),
            made("c", "2026-01-01"),
            made("d", "2027", default=False),
        )
    }
    assert matching.default_class(classes) == "a"
    assert matching.default_class({}) == ""


def words(step: Step) -> tuple[str, str]:
    """What is told and which phase is written."""
    phase = ((step.object or {}).get("status") or {}).get("phase", "") if step.status else ""
    return (step.news.reason if step.news else ""), phase


WAITING = storage_class("w", "example.test/p", volumeBindingMode="WaitForFirstConsumer")


@pytest.mark.parametrize(
    ("asked", "classes", "reason"),
    [
        (wanted(storageClassName=""), [], "FailedBinding"),
        (wanted(storageClassName="none"), [], "ProvisioningFailed"),
        (wanted(storageClassName="w"), [WAITING], "WaitForFirstConsumer"),
        (wanted(storageClassName="n"), [storage_class("n")], "FailedBinding"),
        (
            wanted(
                storageClassName="p",
                annotations={"volume.kubernetes.io/storage-provisioner": "example.test/p"},
            ),
            [storage_class("p", "example.test/p")],
            "ExternalProvisioning",
        ),
    ],
)
def test_why_a_claim_waits(asked: Object, classes: list[Object], reason: str) -> None:
    found = next_of_claim(asked, {}, {one["metadata"]["name"]: one for one in classes})
    assert (found.news.reason if found.news else "") == reason
    assert found.object is None


def test_a_claim_without_a_class_gets_the_default_one_later() -> None:
    found = next_of_claim(wanted(), {}, {"d": storage_class("d", default=True)})
    assert found.object is not None and found.object["spec"]["storageClassName"] == "d"
    assert next_of_claim(wanted(storageClassName=""), {}, {"d": storage_class("d", default=True)}).object is None
    fits = {"a": available("a")}  # what has no class either comes first
    found = next_of_claim(wanted(), fits, {"d": storage_class("d", default=True)})
    assert found.object is not None and found.object["spec"]["claimRef"]["name"] == "c"


def test_a_provisioner_is_called_by_annotation() -> None:
    chosen = wanted(storageClassName="w", annotations={"volume.kubernetes.io/selected-node": "one"})
    found = next_of_claim(chosen, {}, {"w": WAITING})
    assert found.object is not None
    annotations = found.object["metadata"]["annotations"]
    assert annotations["volume.kubernetes.io/storage-provisioner"] == "example.test/p"
    assert annotations["volume.beta.kubernetes.io/storage-provisioner"] == "example.test/p"


def test_a_claim_that_names_its_volume() -> None:
    asked = wanted(volumeName="v", storageClassName="")
    assert next_of_claim(asked, {}, {}) == Step()
    small = {"v": available("v", "1Mi")}
    assert words(next_of_claim(asked, small, {})) == ("VolumeMismatch", "")
    other = {"v": available("v", claimRef={"namespace": "default", "name": "x", "uid": "y"})}
    assert next_of_claim(asked, other, {}) == Step()


@pytest.mark.parametrize(
    ("spec", "volumes", "reason"),
    [
        ({}, {}, "ClaimLost"),
        ({"volumeName": "v"}, {}, "ClaimLost"),
        (
            {"volumeName": "v"},
            {"v": available("v", claimRef={"namespace": "default", "name": "x", "uid": "y"})},
            "ClaimMisbound",
        ),
    ],
)
def test_a_bound_claim_whose_volume_is_gone(spec: Any, volumes: Any, reason: str) -> None:
    bound = wanted(annotations={"pv.kubernetes.io/bind-completed": "yes"}, **spec)
    assert words(next_of_claim(bound, volumes, {})) == (reason, "Lost")


REFERENCE = {"namespace": "default", "name": "c", "uid": "uid-c"}


@pytest.mark.parametrize(
    ("offered", "phase"),
    [
        (stored(volume(), "u"), "Available"),
        (stored(volume(claimRef={"namespace": "default", "name": "c"}), "u"), "Available"),
        (available("v", claimRef=REFERENCE), "Released"),
        (stored(volume(claimRef=REFERENCE, persistentVolumeReclaimPolicy="Recycle"), "u", phase="Released"), "Failed"),
        (stored(volume(claimRef=REFERENCE, persistentVolumeReclaimPolicy="Delete"), "u", phase="Released"), "Failed"),
    ],
)
def test_phases_of_volumes(offered: Object, phase: str) -> None:
    found = next_of_volume(offered, None)
    assert found.status and found.object is not None and found.object["status"]["phase"] == phase


def test_a_provisioned_volume_goes_with_its_claim() -> None:
    offered = stored(volume(claimRef=REFERENCE, persistentVolumeReclaimPolicy="Delete"), "u", phase="Released")
    offered["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "example.test/p"}
    assert next_of_volume(offered, None).delete
    kept = stored(volume(claimRef=REFERENCE), "u", phase="Released")
    assert next_of_volume(kept, None) == Step()


def test_a_volume_whose_claim_chose_another_is_free_again() -> None:
    other = wanted(volumeName="other")
    ours = available("v", claimRef=REFERENCE)
    ours["metadata"]["annotations"] = {"pv.kubernetes.io/bound-by-controller": "yes"}
    freed = next_of_volume(ours, other).object
    assert freed is not None and "claimRef" not in freed["spec"] and not freed["metadata"]["annotations"]
    reserved = next_of_volume(available("v", claimRef=REFERENCE), other).object
    assert reserved is not None and reserved["spec"]["claimRef"] == {"namespace": "default", "name": "c"}


class Storm:
    """Random claims and volumes; one random object at a time takes its next step, and is forgotten in between."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.classes = {"": storage_class(""), "x": storage_class("x")}
        self.claims: dict[str, Object] = {}
        self.volumes: dict[str, Object] = {}
        self.count = 0

    def change(self) -> None:
        """Somebody does something."""
        self.count += 1
        what = self.random.random()
        size = self.random.choice(["1Gi", "2Gi", "3Gi"])
        kind = self.random.choice(["", "x"])
        if what < 0.4:
            name = f"c{self.count}"
            self.claims[name] = stored(claim(name, size, storageClassName=kind), f"uid-{name}")
        elif what < 0.8:
            name = f"v{self.count}"
            policy = self.random.choice(["Retain", "Delete"])
            made = stored(
                volume(name, size, storageClassName=kind, persistentVolumeReclaimPolicy=policy), f"uid-{name}"
            )
            if policy == "Delete":
                made["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": "p"}
            if self.random.random() < 0.2:
                made["spec"]["claimRef"] = {"namespace": "default", "name": f"c{self.count + 1}"}
            self.volumes[name] = made
        elif self.claims:
            del self.claims[self.random.choice(list(self.claims))]

    def step(self) -> bool:
        """Whether anything was to be done."""
        places = [("c", name) for name in self.claims] + [("v", name) for name in self.volumes]
        self.random.shuffle(places)
        for kind, name in places:
            if kind == "c":
                found = next_of_claim(self.claims[name], self.volumes, self.classes)
            else:
                reference = self.volumes[name]["spec"].get("claimRef") or {}
                found = next_of_volume(self.volumes[name], self.claims.get(reference.get("name", "")))
            if found.object is not None:
                table = self.claims if found.resource == CLAIMS else self.volumes
                if found.delete:
                    del table[found.object["metadata"]["name"]]
                else:
                    table[found.object["metadata"]["name"]] = found.object
                return True
        return False

    def check(self) -> None:
        """At rest: who is bound is bound to each other, and nothing that fits stays alone."""
        for name, one in self.claims.items():
            bound = one["spec"].get("volumeName")
            assert bool(bound) == (one["status"]["phase"] == "Bound")
            if bound:
                assert matching.is_bound_to(self.volumes[bound], one)
                assert self.volumes[bound]["status"]["phase"] == "Bound"
                assert one["status"]["capacity"] == self.volumes[bound]["spec"]["capacity"]
            else:
                assert matching.best(one, self.volumes.values(), reserved_only=False) is None, name
        for one in self.volumes.values():
            reference = one["spec"].get("claimRef") or {}
            expected = "Available"
            if reference.get("uid"):
                expected = "Bound" if reference["name"] in self.claims else "Released"
            assert one["status"]["phase"] == expected


@pytest.mark.parametrize("seed", range(60))
def test_any_order_of_steps_leads_to_rest(seed: int) -> None:
    storm = Storm(seed)
    for _ in range(25):
        storm.change()
        for _ in range(storm.random.randrange(4)):
            storm.step()
    for _ in range(500):
        if not storm.step():
            break
    else:
        raise AssertionError("it never comes to rest")
    storm.check()


def test_a_volume_in_a_folder_of_a_node() -> None:
    class_ = storage_class("local", "boxship.io/local", reclaimPolicy="Delete")
    made = provisioning.volume_for(wanted(size="1500Mi"), class_, node("one"))
    assert made["spec"]["local"] == {"path": "/data/local-volumes/pvc-uid-c"}
    assert made["spec"]["capacity"] == {"storage": "1500Mi"}
    assert made["metadata"]["labels"] == {"boxship.io/local-volume-node": "one"}
    assert matching.is_bound_to(made, wanted())
    term = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"][0]["matchExpressions"][0]
    assert term == {"key": "kubernetes.io/hostname", "operator": "In", "values": ["one"]}


@pytest.mark.parametrize(
    ("spec", "fields", "why"),
    [
        ({}, {}, ""),
        ({"selector": {}}, {}, "claim.Spec.Selector is not supported"),
        ({"volumeMode": "Block"}, {}, "unsupported: volumeMode Block"),
        ({"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}}, {}, "unsupported: dataSource"),
        ({"volumeAttributesClassName": "fast"}, {}, "unsupported: volumeAttributesClassName"),
        ({}, {"parameters": {"fs": "xfs"}}, "unsupported: StorageClass parameters.fs"),
        ({}, {"mountOptions": ["ro"]}, "unsupported: StorageClass mountOptions"),
    ],
)
def test_what_cannot_be_made_is_named(spec: Any, fields: Any, why: str) -> None:
    assert provisioning.refusal(wanted(**spec), storage_class("l", "boxship.io/local", **fields)) == why


def test_a_node_for_a_claim_that_does_not_wait() -> None:
    nodes = {name: node(name) for name in ("a", "b")} | {"none": node("none", "")}
    class_ = storage_class("l")
    assert provisioning.free_choice(nodes, class_, {"a": 1}) == "b"
    terms = [{"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["a"]}]}]
    assert provisioning.free_choice(nodes, {**class_, "allowedTopologies": terms}, {"a": 1}) == "a"
    assert provisioning.free_choice({}, class_, {}) == ""


def test_a_claim_that_wants_more() -> None:
    bound = wanted(size="2Gi", volumeName="v")
    bound["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}, "conditions": [{"type": "Resizing"}]}
    assert wants_more(bound)
    assert enlarged(bound)["capacity"] == {"storage": "2Gi"}
    bound["status"]["capacity"] = {"storage": "2Gi"}
    assert not wants_more(bound)


def test_a_claim_of_a_generic_volume() -> None:
    pod = {"metadata": {"name": "web", "namespace": "default", "uid": "u"}}
    made = claim_for(pod, "scratch", {"metadata": {"labels": {"a": "b"}}, "spec": {"accessModes": []}})
    assert made["metadata"]["name"] == "web-scratch"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert made["metadata"]["labels"] == {"a": "b"}
