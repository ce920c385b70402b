"""One object of every kind of the smaller groups, through a real control plane and the stock client: applied, listed,
applied again with no drift, put back as it was read."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from control_kit import Control, running_control
from rules_kit import changed

from boxship.cluster.objects.kinds.flowcontrol import EVERYTHING

SERVICE = {"name": "web", "port": {"number": 80}}
RULE = {"operations": ["CREATE"], "apiGroups": ["none.example.com"], "apiVersions": ["v1"], "resources": ["things"]}
HOOK = {
    "name": "a.b.example.com",
    "clientConfig": {"url": "https://example.com/x"},
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "failurePolicy": "Ignore",
}
CONSTRAINTS = {"resourceRules": [RULE]}
DEVICES = {"requests": [{"name": "one", "exactly": {"deviceClassName": "gpu"}}]}
ROLE_RULES = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
SUBJECTS = [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "rules"}]
POLICY = {
    "matchConstraints": CONSTRAINTS,
    "validations": [{"expression": "true"}],
}
MUTATION = {
    "matchConstraints": CONSTRAINTS,
    "reinvocationPolicy": "Never",
    "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
}
WIDGET = {
    "group": "example.com",
    "scope": "Namespaced",
    "names": {"plural": "widgets", "kind": "Widget"},
    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}],
}
ABOUT = {"kind": "Pod", "name": "p", "namespace": "rules"}

# (apiVersion, kind, what it has besides metadata); those of NAMESPACED lie in a namespace.
NAMESPACED = (
    "Ingress NetworkPolicy EndpointSlice CSIStorageCapacity ResourceClaim ResourceClaimTemplate Role RoleBinding "
    "Lease Event"
).split()
PARTS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "networking.k8s.io/v1",
        "Ingress",
        {"spec": {"defaultBackend": {"service": SERVICE}, "tls": [{"hosts": ["a.example.com"]}]}},
    ),
    ("networking.k8s.io/v1", "IngressClass", {"spec": {"controller": "example.com/x"}}),
    ("networking.k8s.io/v1", "NetworkPolicy", {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}}),
    ("networking.k8s.io/v1", "IPAddress", {"spec": {"parentRef": {"resource": "services", "name": "s"}}}),
    ("networking.k8s.io/v1", "ServiceCIDR", {"spec": {"cidrs": ["10.9.0.0/24"]}}),
    (
        "discovery.k8s.io/v1",
        "EndpointSlice",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]},
    ),
    ("storage.k8s.io/v1", "StorageClass", {"provisioner": "example.com/disk"}),
    ("storage.k8s.io/v1", "VolumeAttributesClass", {"driverName": "example.com", "parameters": {"a": "b"}}),
    ("storage.k8s.io/v1", "CSIDriver", {"spec": {}}),
    ("storage.k8s.io/v1", "CSINode", {"spec": {"drivers": [{"name": "d.example.com", "nodeID": "i"}]}}),
    (
        "storage.k8s.io/v1",
        "VolumeAttachment",
        {"spec": {"attacher": "d.example.com", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
    ),
    ("storage.k8s.io/v1", "CSIStorageCapacity", {"storageClassName": "fast", "capacity": "1024Mi"}),
    ("node.k8s.io/v1", "RuntimeClass", {"handler": "crun"}),
    ("scheduling.k8s.io/v1", "PriorityClass", {"value": 5}),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", {"webhooks": [HOOK]}),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", {"webhooks": [HOOK]}),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", {"spec": POLICY}),
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        {"spec": {"policyName": "x", "validationActions": ["Warn"]}},
    ),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy", {"spec": MUTATION}),
    ("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicyBinding", {"spec": {"policyName": "x"}}),
    ("resource.k8s.io/v1", "DeviceClass", {"spec": {}}),
    ("resource.k8s.io/v1", "ResourceClaim", {"spec": {"devices": DEVICES}}),
    ("resource.k8s.io/v1", "ResourceClaimTemplate", {"spec": {"spec": {"devices": DEVICES}}}),
    (
        "resource.k8s.io/v1",
        "ResourceSlice",
        {
            "spec": {
                "driver": "example.com",
                "pool": {"name": "p", "resourceSliceCount": 1, "generation": 0},
                "nodeName": "n",
            }
        },
    ),
    ("rbac.authorization.k8s.io/v1", "Role", {"rules": ROLE_RULES}),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", {"rules": ROLE_RULES}),
    (
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}, "subjects": SUBJECTS},
    ),
    (
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"}},
    ),
    ("coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "h"}}),
    ("v1", "Event", {"involvedObject": ABOUT, "reason": "Tested", "type": "Normal"}),
    (
        "flowcontrol.apiserver.k8s.io/v1",
        "FlowSchema",
        {
            "spec": {
                "priorityLevelConfiguration": {"name": "x"},
                "rules": [{"subjects": [{"kind": "User", "user": {"name": "u"}}], **EVERYTHING}],
            }
        },
    ),
    (
        "flowcontrol.apiserver.k8s.io/v1",
        "PriorityLevelConfiguration",
        {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
    ),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", {"spec": WIDGET}),
]
NAMES = {"IPAddress": "10.0.0.77", "CustomResourceDefinition": "widgets.example.com", "CSIDriver": "x.example.com"}


def _object(version: str, kind: str, parts: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": NAMES.get(kind, "x"), **({"namespace": "rules"} if kind in NAMESPACED else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


OBJECTS = [_object(*part) for part in PARTS]
ALL = json.dumps({"apiVersion": "v1", "kind": "List", "items": OBJECTS}).encode()


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    with running_control(tmp_path_factory.mktemp("rules")) as running:
        running.kubectl("create", "namespace", "rules")
        running.kubectl("apply", "-f", "-", data=ALL)
        yield running


def _stored(control: Control) -> dict[tuple[str, str], dict[str, Any]]:
    listed = json.loads(control.kubectl("get", "-f", "-", "-o", "json", data=ALL).stdout)
    return {(each["apiVersion"], each["kind"]): each for each in listed["items"]}


def test_every_kind_is_there(control: Control) -> None:
    stored = _stored(control)
    assert set(stored) == {(version, kind) for version, kind, _ in PARTS}
    for each in stored.values():
        assert each["metadata"].get("generation") in (None, 1), each["kind"]


def test_every_kind_is_listed(control: Control) -> None:
    shown = control.kubectl("get", "-f", "-", "-o", "wide", data=ALL).stdout
    assert shown.count("NAME") >= len(OBJECTS) - 1
    for words in ("PARENTREF", "VOLUMEBINDINGMODE", "NOMINALCONCURRENCYSHARES", "PARAMKIND", "SERVICEACCOUNTS"):
        assert words in shown


def test_nothing_drifts(control: Control) -> None:
    before = _stored(control)
    control.kubectl("apply", "-f", "-", data=ALL)
    again = _stored(control)
    moved = [key for key, each in again.items() if _version(each) != _version(before[key])]
    assert moved == [], "applied again"
    for _ in range(3):  # kubectl moves what it owned so far at the first, which settles at the second
        control.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", data=ALL)
        before, again = again, _stored(control)
    assert [key for key, each in again.items() if _version(each) != _version(before[key])] == [], "server-side"


def test_what_is_put_back_is_what_was_read(control: Control) -> None:
    before = _stored(control)
    as_read = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(before.values())}).encode()
    control.kubectl("replace", "-f", "-", data=as_read)
    for key, each in _stored(control).items():
        assert each["metadata"].get("generation") == before[key]["metadata"].get("generation"), key
        assert {**each, "metadata": None} == {**before[key], "metadata": None}, key


def test_wrong_fields_are_refused_in_the_originals_words(control: Control) -> None:
    lease = changed(_object("coordination.k8s.io/v1", "Lease", {}), "spec.leaseDurationSeconds", 0)
    path = "/apis/coordination.k8s.io/v1/namespaces/rules/leases"
    answer = control.request("POST", path, json.dumps(lease).encode())
    assert answer.status == 422 and answer.object["reason"] == "Invalid"
    assert answer.object["message"] == (
        'Lease.coordination.k8s.io "x" is invalid: spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0'
    )


def _version(object: dict[str, Any]) -> str:
    version: str = object["metadata"]["resourceVersion"]
    return version
