"""The rules of resource.k8s.io: claims, their status, slices and classes of devices, in the original's words."""

from typing import Any

import pytest
from rules_kit import changed, defaulted, refused, updated

from boxship.cluster.objects.kinds import rules_of

DEVICES = "resource.k8s.io"
CLAIM: dict[str, Any] = {
    "metadata": {"name": "c", "namespace": "d"},
    "spec": {
        "devices": {
            "requests": [
                {"name": "one", "exactly": {"deviceClassName": "gpu", "selectors": [{"cel": {"expression": "true"}}]}},
                {"name": "two", "firstAvailable": [{"name": "a", "deviceClassName": "gpu"}]},
            ],
            "constraints": [{"requests": ["one", "two/a"], "matchAttribute": "example.com/numa"}],
            "config": [{"requests": ["one"], "opaque": {"driver": "example.com", "parameters": {"a": 1}}}],
        }
    },
}
REQUEST, HERE = "spec.devices.requests.0", "spec.devices.requests[0]"
NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
CLAIM_CASES: list[tuple[str, Any, str]] = [
    (f"{REQUEST}.exactly", None, f"{HERE}: Required value: exactly one of `exactly` or `firstAvailable` is required"),
    (
        f"{REQUEST}.firstAvailable",
        [{"name": "x"}],
        f"{HERE}: Invalid value: null: exactly one of `exactly` or `firstAvailable` is required, but multiple "
        "fields are set",
    ),
    (f"{REQUEST}.exactly.deviceClassName", "", f"{HERE}.exactly.deviceClassName: Required value"),
    (f"{REQUEST}.exactly.count", -1, f"{HERE}.exactly.count: Invalid value: -1: must be greater than zero"),
    (
        f"{REQUEST}.exactly",
        {"deviceClassName": "gpu", "allocationMode": "All", "count": 1},
        f"{HERE}.exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'",
    ),
    (
        f"{REQUEST}.exactly.allocationMode",
        "Some",
        f'{HERE}.exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"',
    ),
    (f"{REQUEST}.exactly.selectors", [{}], f"{HERE}.exactly.selectors[0].cel: Required value"),
    (f"{REQUEST}.exactly.adminAccess", True, f"{HERE}.exactly.adminAccess: Forbidden: unsupported: adminAccess"),
    (
        f"{REQUEST}.exactly.tolerations",
        [{"operator": "Exists", "value": "x"}],
        f'{HERE}.exactly.tolerations[0].value: Invalid value: "x": must be empty for operator `Exists`',
    ),
    (f"{REQUEST}.name", "two", 'spec.devices.requests[1].name: Duplicate value: "two"'),
    (
        "spec.devices.constraints.0.requests",
        ["three"],
        f'spec.devices.constraints[0].requests[0]: Invalid value: "three": {NO_REQUEST}',
    ),
    (
        "spec.devices.constraints.0.matchAttribute",
        "numa",
        'spec.devices.constraints[0].matchAttribute: Invalid value: "numa": a fully qualified name must be a '
        "domain and a "
        "name separated by a slash",
    ),
    ("spec.devices.config.0.opaque", None, "spec.devices.config[0].opaque: Required value"),
    (
        "spec.devices.config.0.opaque.parameters",
        [],
        'spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object',
    ),
    (
        "spec.devices.requests",
        [{"name": f"r{i}", "exactly": {"deviceClassName": "g"}} for i in range(33)],
        "spec.devices.requests: Too many: 33: must have at most 32 items",
    ),
]


@pytest.mark.parametrize(("path", "value", "cause"), CLAIM_CASES)
def test_claims(path: str, value: Any, cause: str) -> None:
    assert refused(DEVICES, "ResourceClaim", CLAIM) == []
    assert cause in refused(DEVICES, "ResourceClaim", changed(CLAIM, path, value))
    template = {"metadata": CLAIM["metadata"], "spec": {"spec": changed(CLAIM, path, value)["spec"]}}
    assert cause.replace("spec.", "spec.spec.", 1) in refused(DEVICES, "ResourceClaimTemplate", template)


def test_claims_do_not_change() -> None:
    made = defaulted(DEVICES, "ResourceClaim", CLAIM)["spec"]["devices"]["requests"]
    assert made[0]["exactly"]["allocationMode"] == "ExactCount" and made[0]["exactly"]["count"] == 1
    assert made[1]["firstAvailable"][0]["count"] == 1
    (cause,) = updated(DEVICES, "ResourceClaim", CLAIM, changed(CLAIM, "spec.devices.config", []))
    assert cause.startswith("spec: Invalid value") and cause.endswith("field is immutable")


RESULT = {"request": "one", "driver": "example.com", "pool": "p", "device": "d0"}
ALLOCATED = {"allocation": {"devices": {"results": [RESULT]}}}
USER = {"resource": "pods", "name": "p", "uid": "u"}


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({}, ALLOCATED, []),
        (ALLOCATED, {**ALLOCATED, "reservedFor": [USER]}, []),
        (
            {},
            {"reservedFor": [USER]},
            ["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        ),
        (
            ALLOCATED,
            {**ALLOCATED, "reservedFor": [{}]},
            [f"status.reservedFor[0].{key}: Required value" for key in USER],
        ),
        (
            {},
            {"allocation": {"devices": {"results": [{**RESULT, "request": "x"}]}}},
            [f'status.allocation.devices.results[0].request: Invalid value: "x": {NO_REQUEST}'],
        ),
        (
            ALLOCATED,
            {**ALLOCATED, "devices": [{"driver": "example.com", "pool": "p", "device": "d1"}]},
            ['status.devices[0]: Invalid value: "example.com/p/d1": must be an allocated device in the claim'],
        ),
    ],
)
def test_status_of_claims(old: dict[str, Any], new: dict[str, Any], found: list[str]) -> None:
    objects = [{**CLAIM, "status": status} for status in (new, old)]
    causes = rules_of(DEVICES, "ResourceClaim").validate_status(objects[0], objects[1])
    assert [f"{cause.field}: {cause.message}" for cause in causes] == found


def test_what_is_told_of_a_device_goes_with_its_allocation() -> None:
    told = {key: RESULT[key] for key in ("driver", "pool", "device")}
    old = {**CLAIM, "status": {**ALLOCATED, "devices": [told]}}
    new = {**CLAIM, "status": {"devices": [told]}}
    rules_of(DEVICES, "ResourceClaim").prepare_status(new, old)
    assert new["status"] == {}
    kept = {**CLAIM, "status": {**ALLOCATED, "devices": [told]}, "spec": {}}
    rules_of(DEVICES, "ResourceClaim").prepare_status(kept, old)
    assert kept["status"] == old["status"] and kept["spec"] == CLAIM["spec"]


SLICE: dict[str, Any] = {
    "metadata": {"name": "s"},
    "spec": {
        "driver": "example.com",
        "pool": {"name": "p", "resourceSliceCount": 1},
        "nodeName": "n",
        "devices": [{"name": "d0", "attributes": {"model": {"string": "x"}}, "capacity": {"memory": {"value": "1Gi"}}}],
    },
}
ONE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        ("spec.nodeName", None, f"spec: Required value: {ONE}"),
        (
            "spec.allNodes",
            True,
            f'spec: Invalid value: "{{`nodeName`, `allNodes`}}": {ONE}, but multiple fields are set',
        ),
        ("spec.allNodes", False, "spec.allNodes: Invalid value: false: must be either unset or set to true"),
        (
            "spec.pool.resourceSliceCount",
            0,
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
        ),
        ("spec.pool.name", "", "spec.pool.name: Required value"),
        (
            "spec.devices.0.attributes.model",
            {"string": "x", "int": 1},
            'spec.devices[0].attributes[model]: Invalid value: {"int":1,"string":"x"}: exactly one value must be '
            "specified",
        ),
        (
            "spec.devices.0.attributes.model",
            {"version": "1.0"},
            'spec.devices[0].attributes[model].version: Invalid value: "1.0": must be a string compatible with '
            "semver.org "
            "spec 2.0.0",
        ),
        ("spec.devices.1", {"name": "d0"}, 'spec.devices[1].name: Duplicate value: "d0"'),
        ("spec.devices.0.taints", [{"key": "k"}], "spec.devices[0].taints[0].effect: Required value"),
        (
            "spec.devices.0.nodeName",
            "n",
            "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if "
            "`perDeviceNodeSelection` is set to true in the ResourceSlice spec",
        ),
        (
            "spec.devices.0.consumesCounters",
            [{"counterSet": "c"}],
            "spec.devices[0].consumesCounters[0].counters: Required value",
        ),
    ],
)
def test_slices(path: str, value: Any, cause: str) -> None:
    assert refused(DEVICES, "ResourceSlice", SLICE) == []
    assert cause in refused(DEVICES, "ResourceSlice", changed(SLICE, path, value))
    assert rules_of(DEVICES, "ResourceSlice").fields(SLICE) == {"spec.driver": "example.com", "spec.nodeName": "n"}


def shared(policy: dict[str, Any]) -> dict[str, Any]:
    capacity = {"memory": {"value": "10Gi", "requestPolicy": policy}}
    return {"name": "d0", "allowMultipleAllocations": True, "capacity": capacity}


MEMORY = "spec.devices[0].capacity[memory].requestPolicy"


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        ({}, []),
        ({"default": "1Gi", "validValues": ["1Gi", "2Gi"]}, []),
        ({"default": "1Gi", "validRange": {"min": "1Gi", "max": "9Gi", "step": "2Gi"}}, []),
        ({"validValues": ["1Gi"]}, [f"{MEMORY}.default: Required value: required when validValues is defined"]),
        (
            {"default": "1Gi", "validValues": ["2Gi", "1Gi"]},
            [f'{MEMORY}.validValues[1]: Invalid value: "1Gi": values must be sorted in ascending order'],
        ),
        (
            {"default": "1Gi", "validValues": ["11Gi"]},
            [
                f'{MEMORY}.validValues[0]: Invalid value: "11Gi": option is larger than capacity value: 10Gi',
                f'{MEMORY}.validValues: Invalid value: "1Gi": default value is not valid according to the '
                "requestPolicy",
            ],
        ),
        (
            {"default": "1Gi", "validRange": {}},
            [f"{MEMORY}.validRange.min: Required value: required when validRange is defined"],
        ),
        (
            {"default": "1Gi", "validRange": {"min": "2Gi", "max": "11Gi"}},
            [
                f'{MEMORY}.validRange.min: Invalid value: "1Gi": default is less than min: 2Gi',
                f'{MEMORY}.validRange.max: Invalid value: "11Gi": max is larger than capacity value: 10Gi',
            ],
        ),
        (
            {"default": "2Gi", "validRange": {"min": "1Gi", "step": "2Gi"}},
            [
                f'{MEMORY}.validRange.step: Invalid value: "2Gi": value is not a multiple of a given step (2Gi) '
                "from (1Gi)"
            ],
        ),
    ],
)
def test_shared_capacity(policy: dict[str, Any], found: list[str]) -> None:
    assert refused(DEVICES, "ResourceSlice", changed(SLICE, "spec.devices.0", shared(policy))) == found


def test_slices_stay_where_they_are() -> None:
    assert updated(DEVICES, "ResourceSlice", SLICE, changed(SLICE, "spec.nodeName", "m")) == [
        'spec.nodeName: Invalid value: "m": field is immutable'
    ]


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"selectors": [{"cel": {"expression": "true"}}]}, []),
        ({"selectors": [{}]}, ["spec.selectors[0].cel: Required value"]),
        ({"config": [{}]}, ["spec.config[0].opaque: Required value"]),
        (
            {"extendedResourceName": "gpu"},
            ['spec.extendedResourceName: Invalid value: "gpu": must be a valid extended resource name'],
        ),
    ],
)
def test_device_classes(spec: dict[str, Any], found: list[str]) -> None:
    assert refused(DEVICES, "DeviceClass", {"metadata": {"name": "c"}, "spec": spec}) == found
