"""Storage, nodes, quotas, endpoints: what is filled in, what is refused, what may change."""

from typing import Any

import pytest
from rules_kit import causes, changed, created, defaulted, refused, updated

from boxship.cluster.objects.kinds import rules_of

CLAIM: dict[str, Any] = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
VOLUME: dict[str, Any] = {
    "metadata": {"name": "pv"},
    "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"}},
}


def test_claims_and_volumes_get_defaults() -> None:
    assert created("", "PersistentVolumeClaim", CLAIM) == {
        "metadata": {"name": "data"},
        "spec": {**CLAIM["spec"], "volumeMode": "Filesystem"},
        "status": {"phase": "Pending"},
    }
    made = created("", "PersistentVolume", VOLUME)
    assert made["spec"] == {
        **VOLUME["spec"],
        "hostPath": {"path": "/data", "type": ""},
        "volumeMode": "Filesystem",
        "persistentVolumeReclaimPolicy": "Retain",
    }
    assert causes("", "PersistentVolume", made) == []
    source = {"kind": "PersistentVolumeClaim", "name": "other"}
    made = defaulted("", "PersistentVolumeClaim", changed(CLAIM, "spec.dataSource", source))
    assert made["spec"]["dataSourceRef"] == source


def test_a_volume_says_when_its_phase_came() -> None:
    times = rules_of("", "PersistentVolume").times

    def timed(new: dict[str, Any], old: dict[str, Any] | None, now: str) -> Any:
        volume = {"status": dict(new)}
        times(volume, None if old is None else {"status": old}, now)
        return volume["status"].get("lastPhaseTransitionTime")

    assert timed({"phase": "Pending"}, None, "1") == "1"
    before = {"phase": "Pending", "lastPhaseTransitionTime": "1"}
    assert timed({"phase": "Available"}, before, "2") == "2"
    assert timed({**before, "phase": "Available"}, before, "2") == "2"
    assert timed({"phase": "Available", "lastPhaseTransitionTime": "9"}, before, "2") == "9"  # said by who writes it
    assert timed({"phase": "Pending", "message": "x"}, before, "2") == "1"
    assert timed({"phase": "Pending"}, {"phase": "Pending"}, "2") is None


STORAGE: list[tuple[str, str, Any, list[str]]] = [
    (
        "PersistentVolumeClaim",
        "spec.accessModes",
        [],
        ["spec.accessModes: Required value: at least 1 access mode is required"],
    ),
    (
        "PersistentVolumeClaim",
        "spec.accessModes",
        ["x"],
        [
            'spec.accessModes: Unsupported value: "x": supported values: "ReadOnlyMany", "ReadWriteMany", '
            '"ReadWriteOnce", '
            '"ReadWriteOncePod"'
        ],
    ),
    (
        "PersistentVolumeClaim",
        "spec.accessModes",
        ["ReadWriteOnce", "ReadWriteOncePod"],
        ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"],
    ),
    ("PersistentVolumeClaim", "spec.resources", {}, ["spec.resources[storage]: Required value"]),
    (
        "PersistentVolumeClaim",
        "spec.resources.requests.storage",
        "0",
        ['spec.resources[storage]: Invalid value: "0": must be greater than zero'],
    ),
    (
        "PersistentVolumeClaim",
        "spec.volumeMode",
        "x",
        ['spec.volumeMode: Unsupported value: "x": supported values: "Block", "Filesystem"'],
    ),
    (
        "PersistentVolumeClaim",
        "spec.dataSource",
        {"kind": "Pod", "name": "p"},
        [
            "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default "
            "apiGroup",
            "spec.dataSourceRef: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default "
            "apiGroup",
        ],
    ),
    (
        "PersistentVolume",
        "spec.capacity",
        None,
        [
            "spec.capacity: Required value",
            'spec.capacity: Unsupported value: {}: supported values: "storage"',
        ],
    ),
    ("PersistentVolume", "spec.hostPath", None, ["spec: Required value: must specify a volume type"]),
    (
        "PersistentVolume",
        "spec.nfs",
        {"server": "s", "path": "/"},
        ["spec.nfs: Forbidden: may not specify more than 1 volume type"],
    ),
    (
        "PersistentVolume",
        "spec.persistentVolumeReclaimPolicy",
        "x",
        ['spec.persistentVolumeReclaimPolicy: Unsupported value: "x": supported values: "Delete", "Recycle", "Retain"'],
    ),
    (
        "PersistentVolume",
        "spec.storageClassName",
        "A",
        [
            'spec.storageClassName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
            "'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
            "')"
        ],
    ),
]


@pytest.mark.parametrize(("kind", "path", "value", "expected"), STORAGE)
def test_storage_that_is_refused(kind: str, path: str, value: Any, expected: list[str]) -> None:
    base = CLAIM if kind == "PersistentVolumeClaim" else VOLUME
    assert refused("", kind, changed(base, path, value)) == expected


def test_a_claim_changes_only_its_size_and_only_when_bound() -> None:
    rules = rules_of("", "PersistentVolumeClaim")
    old = created("", "PersistentVolumeClaim", CLAIM)
    new = changed(old, "spec.resources.requests.storage", "2Gi")
    (cause,) = rules.validate_update(new, old)
    assert cause.message.startswith(
        "Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
        'claims\n  spec.resources.requests.storage: "1Gi" → "2Gi"'
    )
    bound = changed(changed(old, "status.phase", "Bound"), "status.capacity", {"storage": "1Gi"})
    assert rules.validate_update(changed(bound, "spec.resources.requests.storage", "2Gi"), bound) == []
    (cause,) = rules.validate_update(changed(bound, "spec.resources.requests.storage", "512Mi"), bound)
    assert cause.message == "Forbidden: field can not be less than status.capacity"
    assert rules.validate_update(changed(old, "spec.volumeName", "pv"), old) == []
    assert rules.validate_update(changed(old, "spec.storageClassName", "fast"), old) == []


def test_a_volumes_source_stays() -> None:
    (cause,) = updated("", "PersistentVolume", VOLUME, changed(VOLUME, "spec.hostPath.path", "/other"))
    assert cause.startswith("spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after")


NODES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"spec": {"taints": [{"key": "a", "effect": "x"}]}},
        [
            'metadata.taints[0].effect: Unsupported value: "x": supported values: "NoSchedule", "PreferNoSchedule", '
            '"NoExecute"'
        ],
    ),
    (
        {"spec": {"taints": [{"key": "a", "effect": "NoExecute"}] * 2}},
        [
            'metadata.taints[1]: Duplicate value: {"effect":"NoExecute","key":"a"}: taints must be unique by key and '
            "effect "
            "pair"
        ],
    ),
    (
        {"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}},
        [
            'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one CIDR for each '
            "IP "
            "family"
        ],
    ),
    (
        {"status": {"capacity": {"pods": "1500m"}}},
        [
            'status.capacity.pods: Invalid value: "1500m": must be an integer',
            'status.allocatable.pods: Invalid value: "1500m": must be an integer',
        ],
    ),
]


@pytest.mark.parametrize(("object", "expected"), NODES)
def test_nodes_that_are_refused(object: dict[str, Any], expected: list[str]) -> None:
    assert refused("", "Node", object) == expected


def test_a_nodes_addresses_stay() -> None:
    old = {"metadata": {"name": "n"}, "spec": {"podCIDR": "10.0.0.0/24", "providerID": "a"}}
    assert updated("", "Node", old, changed(old, "spec.providerID", "b")) == [
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid'
    ]
    assert updated("", "Node", old, {"spec": {"podCIDR": "10.1.0.0/24", "providerID": "a"}}) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'
    ]
    assert rules_of("", "Node").fields({"spec": {"unschedulable": True}}) == {"spec.unschedulable": "true"}


def test_the_older_field_of_an_address_counts() -> None:
    made = defaulted("", "Node", {"spec": {"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.0.0/24"]}})
    assert made["spec"]["podCIDRs"] == ["10.0.1.0/24"]
    assert defaulted("", "Node", {"spec": {"podCIDRs": ["10.0.0.0/24"]}})["spec"]["podCIDR"] == "10.0.0.0/24"
    made = defaulted("", "Pod", {"status": {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}]}})
    assert made["status"]["podIPs"] == [{"ip": "10.0.0.2"}]
    assert defaulted("", "Pod", {"status": {"podIPs": [{"ip": "10.0.0.1"}]}})["status"]["podIP"] == "10.0.0.1"


def limits(*items: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"limits": list(items)}}


def test_limits_fill_each_other_in() -> None:
    made = defaulted("", "LimitRange", limits({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}))
    assert made["spec"]["limits"] == [
        {
            "type": "Container",
            "max": {"cpu": "2"},
            "min": {"memory": "1Mi"},
            "default": {"cpu": "2"},
            "defaultRequest": {"cpu": "2", "memory": "1Mi"},
        }
    ]


QUOTAS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "LimitRange",
        limits({"type": "Pod", "default": {"cpu": "1"}}),
        ["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
    ),
    (
        "LimitRange",
        limits({"type": "x"}),
        ['spec.limits[0].type: Invalid value: "x": must be a standard limit type or fully qualified'],
    ),
    (
        "LimitRange",
        limits({"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}),
        ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1'],
    ),
    (
        "LimitRange",
        limits({"type": "PersistentVolumeClaim"}),
        [
            "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither "
            "was "
            "provided"
        ],
    ),
    (
        "LimitRange",
        limits({"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}),
        ['spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1'],
    ),
    (
        "ResourceQuota",
        {"spec": {"hard": {"gpus": "1"}}},
        [
            'spec.hard[gpus]: Invalid value: "gpus": must be a standard resource type or fully qualified',
            'spec.hard[gpus]: Invalid value: "gpus": must be a standard resource for quota',
        ],
    ),
    (
        "ResourceQuota",
        {"spec": {"hard": {"pods": "-1"}}},
        ['spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'],
    ),
    (
        "ResourceQuota",
        {"spec": {"hard": {"pods": "1500m"}}},
        ['spec.hard[pods]: Invalid value: "1500m": must be an integer'],
    ),
    (
        "ResourceQuota",
        {"spec": {"hard": {"services": "1"}, "scopes": ["BestEffort"]}},
        ['spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'],
    ),
    (
        "ResourceQuota",
        {"spec": {"scopes": ["BestEffort", "NotBestEffort"]}},
        ['spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'],
    ),
    ("ResourceQuota", {"spec": {"hard": {"count/deployments.apps": "1", "requests.example.com/gpu": "1"}}}, []),
]


@pytest.mark.parametrize(("kind", "object", "expected"), QUOTAS)
def test_limits_and_quotas_that_are_refused(kind: str, object: dict[str, Any], expected: list[str]) -> None:
    assert refused("", kind, object) == expected


def test_scopes_stay() -> None:
    old = {"spec": {"scopes": ["BestEffort"]}}
    assert updated("", "ResourceQuota", old, {"spec": {"scopes": []}}) == [
        "spec.scopes: Invalid value: []: field is immutable"
    ]


ENDPOINTS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]),
    (
        {"addresses": [{"ip": "127.0.0.1"}]},
        [
            'subsets[0].addresses[0].ip: Invalid value: "127.0.0.1": may not be in the loopback range '
            "(127.0.0.0/8, ::1/128)"
        ],
    ),
    (
        {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}, {"port": 2}]},
        [
            "subsets[0].ports[0].name: Required value",
            "subsets[0].ports[1].name: Required value",
        ],
    ),
    ({"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}, []),
]


@pytest.mark.parametrize(("subset", "expected"), ENDPOINTS)
def test_endpoints_that_are_refused(subset: dict[str, Any], expected: list[str]) -> None:
    assert refused("", "Endpoints", {"subsets": [subset]}) == expected


def test_a_replication_controller_takes_its_templates_labels() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    made = created("", "ReplicationController", {"spec": {"template": template}})
    assert (made["spec"]["selector"], made["metadata"]["labels"], made["spec"]["replicas"]) == (
        {"a": "b"},
        {"a": "b"},
        1,
    )
    assert causes("", "ReplicationController", made) == []
    made["spec"]["selector"] = {"a": "c"}
    assert causes("", "ReplicationController", made) == [
        'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`'
    ]
