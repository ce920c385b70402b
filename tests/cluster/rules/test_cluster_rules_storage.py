"""The rules of storage.k8s.io, node.k8s.io and scheduling.k8s.io: each wrong field with the original's words."""

from typing import Any

import pytest
from rules_kit import changed, created, defaulted, refused, updated

GROUP = "storage.k8s.io"
BASES: dict[str, dict[str, Any]] = {
    "StorageClass": {"metadata": {"name": "c"}, "provisioner": "example.com/disk", "parameters": {"a": "b"}},
    "VolumeAttributesClass": {"metadata": {"name": "c"}, "driverName": "example.com", "parameters": {"a": "b"}},
    "CSIDriver": {"metadata": {"name": "d.example.com"}, "spec": {"tokenRequests": [{"audience": "a"}]}},
    "CSINode": {
        "metadata": {"name": "n"},
        "spec": {"drivers": [{"name": "d.example.com", "nodeID": "i", "topologyKeys": ["a/b"]}]},
    },
    "VolumeAttachment": {
        "metadata": {"name": "a"},
        "spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}},
    },
    "CSIStorageCapacity": {"metadata": {"name": "c", "namespace": "d"}, "storageClassName": "fast", "capacity": "1Gi"},
}
ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
CASES: list[tuple[str, str, Any, str]] = [
    ("StorageClass", "provisioner", "", "provisioner: Required value"),
    ("StorageClass", "parameters", {"": "x"}, 'parameters: Invalid value: "": field can not be empty.'),
    (
        "StorageClass",
        "parameters",
        {str(i): "" for i in range(513)},
        "parameters: Too long: may not be more than 512 bytes",
    ),
    (
        "StorageClass",
        "reclaimPolicy",
        "Recycle",
        'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"',
    ),
    (
        "StorageClass",
        "volumeBindingMode",
        "Later",
        'volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"',
    ),
    (
        "StorageClass",
        "allowedTopologies",
        [{"matchLabelExpressions": [{"key": "a", "values": []}]}],
        "allowedTopologies[0].matchLabelExpressions[0].values: Required value",
    ),
    (
        "StorageClass",
        "allowedTopologies",
        [{"matchLabelExpressions": [{"key": "a", "values": ["b"]}]}] * 2,
        'allowedTopologies[1].matchLabelExpressions: Duplicate value: ""',
    ),
    ("VolumeAttributesClass", "driverName", "", "driverName: Required value"),
    (
        "VolumeAttributesClass",
        "parameters",
        {},
        "parameters: Required value: must contain at least one key/value pair",
    ),
    (
        "CSIDriver",
        "spec.fsGroupPolicy",
        "Odd",
        'spec.fsGroupPolicy: Unsupported value: "Odd": supported values: "File", "None", "ReadWriteOnceWithFSType"',
    ),
    (
        "CSIDriver",
        "spec.tokenRequests",
        [{"audience": "a"}, {"audience": "a"}],
        'spec.tokenRequests[1].audience: Duplicate value: "a"',
    ),
    (
        "CSIDriver",
        "spec.tokenRequests.0.expirationSeconds",
        599,
        "spec.tokenRequests[0].expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes",
    ),
    (
        "CSIDriver",
        "spec.volumeLifecycleModes",
        ["Odd"],
        'spec.volumeLifecycleModes: Unsupported value: "Odd": supported values: "Persistent", "Ephemeral"',
    ),
    (
        "CSIDriver",
        "spec.nodeAllocatableUpdatePeriodSeconds",
        9,
        "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
    ),
    ("CSINode", "spec.drivers.0.nodeID", "", "spec.drivers[0].nodeID: Required value"),
    (
        "CSINode",
        "spec.drivers.0.allocatable",
        {"count": -1},
        "spec.drivers[0].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
    ),
    ("CSINode", "spec.drivers.0.topologyKeys", ["a/b", "a/b"], 'spec.drivers[0]: Duplicate value: "a/b"'),
    (
        "CSINode",
        "spec.drivers.1",
        {"name": "d.example.com", "nodeID": "j"},
        'spec.drivers[1].name: Duplicate value: "d.example.com"',
    ),
    ("VolumeAttachment", "spec.attacher", "", "spec.attacher: Required value"),
    ("VolumeAttachment", "spec.source", {}, f"spec.source: Required value: {ONE_SOURCE}"),
    ("VolumeAttachment", "spec.source.inlineVolumeSpec", {}, f"spec.source: Forbidden: {ONE_SOURCE}"),
    (
        "VolumeAttachment",
        "spec.source",
        {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"]}},
        "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
    ),
    (
        "VolumeAttachment",
        "spec.source",
        {"inlineVolumeSpec": {"csi": {"driver": "d.example.com", "volumeHandle": "h"}, "capacity": {"storage": "1"}}},
        "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
    ),
    (
        "VolumeAttachment",
        "spec.source",
        {"inlineVolumeSpec": {"csi": {"driver": "d.example.com", "nodeStageSecretRef": {"name": "s"}}}},
        "spec.source.inlineVolumeSpec.csi.nodeStageSecretRef.namespace: Required value",
    ),
    (
        "CSIStorageCapacity",
        "capacity",
        "-1",
        'capacity: Invalid value: "-1": must be greater than or equal to 0',
    ),
]


@pytest.mark.parametrize(("kind", "path", "value", "cause"), CASES)
def test_storage(kind: str, path: str, value: Any, cause: str) -> None:
    assert refused(GROUP, kind, BASES[kind]) == []
    assert cause in refused(GROUP, kind, changed(BASES[kind], path, value))


UPDATES: list[tuple[str, str, Any, list[str]]] = [
    ("StorageClass", "parameters.a", "c", ["parameters: Forbidden: updates to parameters are forbidden."]),
    ("StorageClass", "provisioner", "x", ["provisioner: Forbidden: updates to provisioner are forbidden."]),
    ("StorageClass", "reclaimPolicy", "Retain", ["reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."]),
    (
        "StorageClass",
        "volumeBindingMode",
        "WaitForFirstConsumer",
        ['volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable'],
    ),
    ("StorageClass", "allowVolumeExpansion", True, []),
    ("VolumeAttributesClass", "driverName", "x.y", ["driverName: Forbidden: updates to driverName are forbidden."]),
    ("CSIDriver", "spec.attachRequired", False, ["spec.attachedRequired: Invalid value: false: field is immutable"]),
    (
        "CSIDriver",
        "spec.volumeLifecycleModes",
        ["Ephemeral"],
        ['spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable'],
    ),
    ("CSIDriver", "spec.podInfoOnMount", True, []),
    ("CSINode", "spec.drivers.0.allocatable", {"count": 4}, []),
    ("CSINode", "spec.drivers", [], []),
    (
        "CSIStorageCapacity",
        "storageClassName",
        "slow",
        ['storageClassName: Invalid value: "slow": field is immutable'],
    ),
    ("CSIStorageCapacity", "capacity", "2Gi", []),
]


@pytest.mark.parametrize(("kind", "path", "value", "found"), UPDATES)
def test_updates_of_storage(kind: str, path: str, value: Any, found: list[str]) -> None:
    assert updated(GROUP, kind, BASES[kind], changed(BASES[kind], path, value)) == found


def test_what_stays_as_it_is() -> None:
    (cause,) = updated(GROUP, "CSINode", BASES["CSINode"], changed(BASES["CSINode"], "spec.drivers.0.nodeID", "j"))
    assert cause.startswith("spec.drivers: Invalid value") and cause.endswith("field is immutable")
    base = BASES["VolumeAttachment"]
    (cause,) = updated(GROUP, "VolumeAttachment", base, changed(base, "spec.nodeName", "m"))
    assert cause.startswith("spec: Invalid value") and cause.endswith("field is immutable")


def test_defaults_of_storage() -> None:
    made = defaulted(GROUP, "StorageClass", BASES["StorageClass"])
    assert (made["reclaimPolicy"], made["volumeBindingMode"]) == ("Delete", "Immediate")
    assert defaulted(GROUP, "CSIDriver", {})["spec"] == {
        "attachRequired": True,
        "podInfoOnMount": False,
        "storageCapacity": False,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "requiresRepublish": False,
        "seLinuxMount": False,
        "volumeLifecycleModes": ["Persistent"],
    }
    attached = changed(BASES["VolumeAttachment"], "status.attached", True)
    assert created(GROUP, "VolumeAttachment", attached)["status"] == {"attached": False}


RUNTIME: dict[str, Any] = {
    "metadata": {"name": "r"},
    "handler": "runc",
    "overhead": {"podFixed": {"cpu": "100m"}},
    "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]},
}


@pytest.mark.parametrize(
    ("path", "value", "start"),
    [
        ("handler", "A", 'handler: Invalid value: "A": a lowercase RFC 1123 label must consist'),
        ("handler", "", 'handler: Invalid value: ""'),
        ("overhead.podFixed", {"cpu": "-1"}, "overhead.limits[cpu]: Invalid value"),
        ("scheduling.nodeSelector", {"-": "b"}, 'scheduling.nodeSelector: Invalid value: "-"'),
        (
            "scheduling.tolerations",
            [{"key": "k", "operator": "Exists"}] * 2,
            "scheduling.tolerations[1]: Duplicate value",
        ),
    ],
)
def test_runtime_classes(path: str, value: Any, start: str) -> None:
    assert refused("node.k8s.io", "RuntimeClass", RUNTIME) == []
    found = refused("node.k8s.io", "RuntimeClass", changed(RUNTIME, path, value))
    assert any(cause.startswith(start) for cause in found), found


def test_the_handler_of_a_runtime_stays() -> None:
    new = changed(RUNTIME, "handler", "other")
    assert updated("node.k8s.io", "RuntimeClass", RUNTIME, new) == [
        'handler: Invalid value: "other": field is immutable'
    ]


RESERVED = (
    "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
)


@pytest.mark.parametrize(
    ("name", "object", "found"),
    [
        ("high", {"value": 1_000_000_000}, []),
        ("low", {"value": -5, "preemptionPolicy": "Never"}, []),
        (
            "high",
            {"value": 1_000_000_001},
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        ("system-x", {"value": 1}, [RESERVED + "system-x is not a known system priority class"]),
        (
            "system-node-critical",
            {"value": 1},
            [RESERVED + "value of system-node-critical PriorityClass must be 2000001000"],
        ),
        ("system-node-critical", {"value": 2_000_001_000}, []),
        (
            "system-cluster-critical",
            {"value": 2_000_000_000, "globalDefault": True},
            [RESERVED + "globalDefault of system-cluster-critical PriorityClass must be false"],
        ),
        (
            "odd",
            {"preemptionPolicy": "Sometimes"},
            ['preemptionPolicy: Unsupported value: "Sometimes": supported values: "Never", "PreemptLowerPriority"'],
        ),
    ],
)
def test_priority_classes(name: str, object: dict[str, Any], found: list[str]) -> None:
    assert refused("scheduling.k8s.io", "PriorityClass", {"metadata": {"name": name}, **object}) == found


def test_updates_of_priority_classes() -> None:
    group, old = "scheduling.k8s.io", {"metadata": {"name": "p"}, "value": 5}
    assert defaulted(group, "PriorityClass", old)["preemptionPolicy"] == "PreemptLowerPriority"
    assert updated(group, "PriorityClass", old, {**old, "value": 6}) == [
        "value: Forbidden: may not be changed in an update."
    ]
    assert updated(group, "PriorityClass", old, {**old, "preemptionPolicy": "Never"}) == [
        'preemptionPolicy: Invalid value: "Never": field is immutable'
    ]
    assert updated(group, "PriorityClass", old, {**old, "description": "x", "globalDefault": True}) == []
    assert created(group, "PriorityClass", old)["metadata"]["generation"] == 1
