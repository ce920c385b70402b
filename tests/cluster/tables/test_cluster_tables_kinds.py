"""Every other kind as table rows: columns and cells as the original has them."""

from typing import Any

import pytest
from tables_kit import AGE, NOW, START, resource

from boxship.cluster.objects import catalog
from boxship.cluster.objects.tables import PLAIN, VIEWS, table_of, view_of

TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}], "nodeSelector": {"d": "s"}},
}
SELECTOR = {"matchLabels": {"app": "web"}}
CONDITION = "conditions"


def condition(kind: str, status: str = "True", reason: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason}


def row(group: str, kind: str, object: dict[str, Any]) -> list[Any]:
    named = {"metadata": {"name": "x", "creationTimestamp": START, **object.get("metadata", {})}}
    found: list[Any] = table_of(resource(group, kind), [{**object, **named}], NOW)[1][0]["cells"]
    return found


HPA_STATUS = {"currentReplicas": 2, "currentMetrics": [{"resource": {"current": {"averageUtilization": 20}}}]}


def metric(kind: str, source: str, target: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, source: {"target": target, **more}}


def autoscaler(*metrics: dict[str, Any], **status: Any) -> dict[str, Any]:
    reference = {"kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": reference, "maxReplicas": 5, "metrics": list(metrics)}
    return {"spec": spec, "status": status}


CASES: list[tuple[str, str, dict[str, Any], list[Any]]] = [
    ("", "PodTemplate", {"template": TEMPLATE}, ["x", "a,b", "i:1,j:2", "app=web"]),
    (
        "",
        "ReplicationController",
        {"spec": {"replicas": 3, "selector": {"b": "2", "a": "1"}, "template": TEMPLATE}, "status": {"replicas": 2}},
        ["x", 3, 2, 0, AGE, "a,b", "i:1,j:2", "a=1,b=2"],
    ),
    (
        "apps",
        "ReplicaSet",
        {"spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}, "status": {"readyReplicas": 1}},
        ["x", 3, 0, 1, AGE, "a,b", "i:1,j:2", "app=web"],
    ),
    (
        "apps",
        "Deployment",
        {
            "spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
        },
        ["x", "1/3", 2, 1, AGE, "a,b", "i:1,j:2", "app=web"],
    ),
    (
        "apps",
        "StatefulSet",
        {"spec": {"replicas": 2, "template": TEMPLATE}, "status": {"readyReplicas": 2}},
        ["x", "2/2", AGE, "a,b", "i:1,j:2"],
    ),
    (
        "apps",
        "DaemonSet",
        {
            "spec": {"selector": SELECTOR, "template": TEMPLATE},
            "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberReady": 1},
        },
        ["x", 3, 2, 1, 0, 0, "d=s", AGE, "a,b", "i:1,j:2", "app=web"],
    ),
    (
        "apps",
        "ControllerRevision",
        {
            "metadata": {
                "ownerReferences": [{"controller": True, "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d"}]
            },
            "revision": 4,
        },
        ["x", "daemonset.apps/d", 4, AGE],
    ),
    (
        "batch",
        "Job",
        {"spec": {"completions": 3, "selector": SELECTOR, "template": TEMPLATE}, "status": {"startTime": START}},
        ["x", "Running", "0/3", AGE, AGE, "a,b", "i:1,j:2", "app=web"],
    ),
    (
        "batch",
        "Job",
        {
            "spec": {"parallelism": 4},
            "status": {
                "startTime": START,
                "completionTime": "2026-11-22T12:00:05Z",
                "succeeded": 1,
                CONDITION: [condition("Complete")],
            },
        },
        ["x", "Complete", "1/1 of 4", "5s", AGE, "", "", "<none>"],
    ),
    ("batch", "Job", {"status": {CONDITION: [condition("Failed")]}}, ["x", "Failed", "0/1", "", AGE, "", "", "<none>"]),
    (
        "batch",
        "Job",
        {"status": {CONDITION: [condition("Suspended"), condition("Failed", "False")]}},
        ["x", "Suspended", "0/1", "", AGE, "", "", "<none>"],
    ),
    (
        "batch",
        "CronJob",
        {
            "spec": {
                "schedule": "* * * * *",
                "suspend": False,
                "timeZone": "Etc/UTC",
                "jobTemplate": {"spec": {"template": TEMPLATE}},
            },
            "status": {"active": [{}, {}], "lastScheduleTime": START},
        },
        ["x", "* * * * *", "Etc/UTC", "False", 2, AGE, AGE, "a,b", "i:1,j:2", "<none>"],
    ),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        autoscaler(
            metric("Resource", "resource", {"type": "Utilization", "averageUtilization": 80}, name="cpu"), **HPA_STATUS
        ),
        ["x", "Deployment/web", "cpu: 20%/80%", "<unset>", 5, 2, AGE],
    ),
    (
        "autoscaling",
        "HorizontalPodAutoscaler",
        autoscaler(
            metric("Resource", "resource", {"averageValue": "1Gi"}, name="memory"),
            metric("External", "external", {"averageValue": "5"}),
            metric("Pods", "pods", {"averageValue": "7"}),
        ),
        ["x", "Deployment/web", "memory: <unknown>/1Gi, <unknown>/5 (avg) + 1 more...", "<unset>", 5, 0, AGE],
    ),
    ("autoscaling", "HorizontalPodAutoscaler", autoscaler(), ["x", "Deployment/web", "<none>", "<unset>", 5, 0, AGE]),
    (
        "policy",
        "PodDisruptionBudget",
        {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}},
        ["x", "50%", "N/A", 1, AGE],
    ),
    (
        "",
        "Service",
        {
            "spec": {
                "type": "NodePort",
                "clusterIPs": ["10.0.0.1"],
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                "selector": {"app": "web"},
            }
        },
        ["x", "NodePort", "10.0.0.1", "<none>", "80:30080/TCP,53/UDP", AGE, "app=web"],
    ),
    (
        "",
        "Service",
        {"spec": {"type": "LoadBalancer", "clusterIPs": ["None"]}},
        ["x", "LoadBalancer", "None", "<pending>", "<none>", AGE, "<none>"],
    ),
    (
        "",
        "Service",
        {
            "spec": {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]},
            "status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}, {"hostname": "a.b"}]}},
        },
        ["x", "LoadBalancer", "<none>", "1.1.1.1,a.b,9.9.9.9", "<none>", AGE, "<none>"],
    ),
    (
        "",
        "Service",
        {"spec": {"type": "ExternalName", "externalName": "a.example.com"}},
        ["x", "ExternalName", "<none>", "a.example.com", "<none>", AGE, "<none>"],
    ),
    (
        "",
        "Endpoints",
        {"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 81}]}]},
        ["x", "10.0.0.1:80,[fd00::1]:80,10.0.0.1:81 + 1 more...", AGE],
    ),
    ("", "Endpoints", {}, ["x", "<none>", AGE]),
    (
        "",
        "Node",
        {
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}},
            "spec": {"unschedulable": True},
            "status": {
                CONDITION: [condition("Ready")],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.2"}],
                "nodeInfo": {"kubeletVersion": "v1.36.2", "osImage": "Debian", "kernelVersion": "6.1"},
            },
        },
        [
            "x",
            "Ready,SchedulingDisabled",
            "control-plane,edge",
            AGE,
            "v1.36.2",
            "10.0.0.2",
            "<none>",
            "Debian",
            "6.1",
            "<unknown>",
        ],
    ),
    ("", "Node", {}, ["x", "Unknown", "<none>", AGE, "", "<none>", "<none>", *["<unknown>"] * 3]),
    ("", "Namespace", {"status": {"phase": "Active"}}, ["x", "Active", AGE]),
    ("", "Secret", {"type": "Opaque", "data": {"a": "", "b": ""}}, ["x", "Opaque", 2, AGE]),
    ("", "ConfigMap", {"data": {"a": ""}, "binaryData": {"b": ""}}, ["x", 2, AGE]),
    ("", "ServiceAccount", {}, ["x", 0, AGE]),
    (
        "",
        "PersistentVolume",
        {
            "spec": {
                "capacity": {"storage": "5Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": "d", "name": "c"},
                "storageClassName": "fast",
                "volumeMode": "Block",
            },
            "status": {"phase": "Bound"},
        },
        ["x", "5Gi", "RWO,RWX", "Retain", "Bound", "d/c", "fast", "<unset>", "", AGE, "Block"],
    ),
    (
        "",
        "PersistentVolumeClaim",
        {
            "spec": {"volumeName": "v", "storageClassName": "fast", "volumeMode": "Filesystem"},
            "status": {"phase": "Bound", "capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"]},
        },
        ["x", "Bound", "v", "5Gi", "RWO", "fast", "<unset>", AGE, "Filesystem"],
    ),
    (
        "",
        "PersistentVolumeClaim",
        {"status": {"phase": "Pending"}, "metadata": {"deletionTimestamp": START}},
        ["x", "Terminating", "", "", "", "", "<unset>", AGE, "<unset>"],
    ),
    (
        "",
        "ResourceQuota",
        {"status": {"hard": {"pods": "4", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "1"}}},
        ["x", "cpu: 0/1, pods: 1/4", "limits.cpu: 0/2", AGE],
    ),
    ("", "ComponentStatus", {CONDITION: [condition("Healthy")]}, ["x", "Healthy", "", ""]),
    (
        "",
        "Event",
        {
            "type": "Warning",
            "reason": "BackOff",
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"},
            "source": {"component": "kubelet", "host": "n"},
            "message": " again \n",
            "firstTimestamp": START,
            "lastTimestamp": "2026-11-22T12:01:00Z",
            "count": 3,
        },
        ["30s", "Warning", "BackOff", "pod/p", "spec", "kubelet, n", "again", AGE, 3, "x"],
    ),
    (
        "events.k8s.io",
        "Event",
        {
            "type": "Normal",
            "reason": "Started",
            "regarding": {"kind": "Node"},
            "reportingController": "c",
            "note": "up",
            "eventTime": "2026-11-22T12:00:00.000000Z",
        },
        [AGE, "Normal", "Started", "node", "", "c", "up", AGE, 1, "x"],
    ),
    (
        "networking.k8s.io",
        "Ingress",
        {
            "spec": {
                "ingressClassName": "nginx",
                "rules": [{"host": host} for host in ("a", "b", "c", "d")],
                "tls": [{}],
            },
            "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
        },
        ["x", "nginx", "a,b,c + 1 more...", "1.2.3.4", "80, 443", AGE],
    ),
    ("networking.k8s.io", "Ingress", {"spec": {"rules": [{}]}}, ["x", "<none>", "*", "", "80", AGE]),
    (
        "networking.k8s.io",
        "IngressClass",
        {"spec": {"controller": "a/b", "parameters": {"apiGroup": "g", "kind": "K", "name": "n"}}},
        ["x", "a/b", "K.g/n", AGE],
    ),
    ("networking.k8s.io", "NetworkPolicy", {"spec": {"podSelector": {}}}, ["x", "<none>", AGE]),
    ("networking.k8s.io", "ServiceCIDR", {"spec": {"cidrs": ["10.0.0.0/24"]}}, ["x", "10.0.0.0/24", AGE]),
    (
        "networking.k8s.io",
        "IPAddress",
        {"spec": {"parentRef": {"resource": "services", "namespace": "d", "name": "s"}}},
        ["x", "services/d/s", AGE],
    ),
    (
        "discovery.k8s.io",
        "EndpointSlice",
        {"addressType": "IPv4", "ports": [{"port": 80}, {"name": "h"}, {}], "endpoints": [{"addresses": ["10.0.0.1"]}]},
        ["x", "IPv4", "80,h,*", "10.0.0.1", AGE],
    ),
    ("discovery.k8s.io", "EndpointSlice", {"addressType": "IPv4"}, ["x", "IPv4", "<unset>", "<unset>", AGE]),
    (
        "storage.k8s.io",
        "StorageClass",
        {
            "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "p",
            "allowVolumeExpansion": True,
        },
        ["x (default)", "p", "Delete", "Immediate", True, AGE],
    ),
    ("storage.k8s.io", "VolumeAttributesClass", {"driverName": "d"}, ["x", "d", AGE]),
    ("storage.k8s.io", "CSINode", {"spec": {"drivers": [{}]}}, ["x", 1, AGE]),
    (
        "storage.k8s.io",
        "CSIDriver",
        {"spec": {"tokenRequests": [{"audience": "a"}, {"audience": "b"}], "podInfoOnMount": True}},
        ["x", True, True, False, "a,b", False, "<none>", AGE],
    ),
    ("storage.k8s.io", "CSIStorageCapacity", {"storageClassName": "c", "capacity": "1Gi"}, ["x", "c", "1Gi"]),
    (
        "storage.k8s.io",
        "VolumeAttachment",
        {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "v"}}},
        ["x", "a", "v", "n", False, AGE],
    ),
    (
        "rbac.authorization.k8s.io",
        "RoleBinding",
        {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [
                {"kind": "User", "name": "u"},
                {"kind": "User", "name": "w"},
                {"kind": "ServiceAccount", "namespace": "d", "name": "s"},
            ],
        },
        ["x", "Role/r", AGE, "u, w", "", "d/s"],
    ),
    (
        "certificates.k8s.io",
        "CertificateSigningRequest",
        {
            "spec": {"signerName": "a.b/c", "username": "u", "expirationSeconds": 3600},
            "status": {CONDITION: [condition("Approved")], "certificate": "eA=="},
        },
        ["x", AGE, "a.b/c", "u", "60m", "Approved,Issued"],
    ),
    ("certificates.k8s.io", "CertificateSigningRequest", {}, ["x", AGE, "<none>", "", "<none>", "Pending"]),
    ("coordination.k8s.io", "Lease", {"spec": {"holderIdentity": "h"}}, ["x", "h", AGE]),
    ("node.k8s.io", "RuntimeClass", {"handler": "h"}, ["x", "h", AGE]),
    (
        "scheduling.k8s.io",
        "PriorityClass",
        {"value": 5, "preemptionPolicy": "Never"},
        ["x", 5, False, AGE, "Never"],
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", {"webhooks": [{}, {}]}, ["x", 2, AGE]),
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicy",
        {"spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}},
        ["x", 1, "v1/ConfigMap", AGE],
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        {"spec": {"policyName": "p", "paramRef": {"name": "n"}}},
        ["x", "p", "*/n", AGE],
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
        {"spec": {"policyName": "p", "paramRef": {"selector": {"matchLabels": {"a": "b"}}}}},
        [
            "x",
            "p",
            "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},}",
            AGE,
        ],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "FlowSchema",
        {
            "spec": {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 9},
            "status": {CONDITION: [condition("Dangling", "False")]},
        },
        ["x", "l", 9, "<none>", AGE, "False"],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        {
            "spec": {
                "type": "Limited",
                "limited": {
                    "nominalConcurrencyShares": 5,
                    "limitResponse": {"queuing": {"queues": 64, "handSize": 6, "queueLengthLimit": 50}},
                },
            }
        },
        ["x", "Limited", 5, 64, 6, 50, AGE],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        {"spec": {"type": "Exempt"}},
        ["x", "Exempt", *["<none>"] * 4, AGE],
    ),
    ("resource.k8s.io", "DeviceClass", {}, ["x", AGE]),
    ("resource.k8s.io", "ResourceClaim", {}, ["x", "pending", AGE]),
    (
        "resource.k8s.io",
        "ResourceClaim",
        {"metadata": {"deletionTimestamp": START}, "status": {"allocation": {}, "reservedFor": [{}]}},
        ["x", "deleted,allocated,reserved", AGE],
    ),
    (
        "resource.k8s.io",
        "ResourceSlice",
        {"spec": {"nodeName": "n", "driver": "d", "pool": {"name": "p"}}},
        ["x", "n", "d", "p", AGE],
    ),
    (
        "apiregistration.k8s.io",
        "APIService",
        {
            "spec": {"service": {"namespace": "d", "name": "s"}},
            "status": {CONDITION: [condition("Available", "False", "MissingEndpoints")]},
        },
        ["x", "d/s", "False (MissingEndpoints)", AGE],
    ),
    (
        "apiregistration.k8s.io",
        "APIService",
        {"status": {CONDITION: [condition("Available")]}},
        ["x", "Local", "True", AGE],
    ),
    ("rbac.authorization.k8s.io", "ClusterRole", {}, ["x", START]),
    ("apiextensions.k8s.io", "CustomResourceDefinition", {}, ["x", START]),
]


@pytest.mark.parametrize(("group", "kind", "object", "cells"), CASES, ids=lambda value: str(value)[:30])
def test_cells(group: str, kind: str, object: dict[str, Any], cells: list[Any]) -> None:
    assert row(group, kind, object) == cells


def test_every_row_has_a_cell_per_column() -> None:
    for (group, kind), view in VIEWS.items():
        cells = row(group, kind, {})
        assert len(cells) == len(view.columns), kind
        assert all(column.name and column.description for column in view.columns)


def test_every_kind_that_is_stored_has_a_view() -> None:
    plain = {"LimitRange", "Role", "ClusterRole", "CustomResourceDefinition"}  # as in the original
    found = {each.kind for each in catalog.RESOURCES if each.stored and view_of(each.group, each.kind) is PLAIN}
    assert found <= plain


def test_flow_schemas_are_in_the_order_of_their_precedence() -> None:
    schemas = [
        {"metadata": {"name": name}, "spec": {"matchingPrecedence": n}} for name, n in (("b", 9), ("c", 1), ("a", 9))
    ]
    rows = table_of(resource("flowcontrol.apiserver.k8s.io", "FlowSchema"), schemas, NOW)[1]
    assert [found["cells"][0] for found in rows] == ["c", "a", "b"]
    assert [found["object"]["metadata"]["name"] for found in rows] == ["c", "a", "b"]


def test_scale_as_a_table() -> None:
    scale = {"metadata": {"name": "x", "creationTimestamp": START}, "spec": {"replicas": 3}, "status": {"replicas": 2}}
    columns, rows = table_of(resource("apps", "Deployment"), [scale], NOW, kind="Scale")
    assert [column["name"] for column in columns] == ["Name", "Desired", "Available", "Age"]
    assert rows[0]["cells"] == ["x", 3, 2, AGE]
