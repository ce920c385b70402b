"""Pods: what is filled in, and which class of service they are."""

from typing import Any

import pytest
from pods_rules_kit import CONTAINER, POD, C, pod
from rules_kit import causes, changed, created, defaulted


def test_a_plain_pod_gets_the_defaults_of_the_original() -> None:
    made = created("", "Pod", POD)
    assert made == {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "containers": [
                {
                    "name": "web",
                    "image": "example.com/web:1.2",
                    "imagePullPolicy": "IfNotPresent",
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "resources": {},
                }
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "securityContext": {},
            "enableServiceLinks": True,
        },
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }
    assert causes("", "Pod", made) == []


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("host:5000/web", "Always"),
        ("host:5000/web:1", "IfNotPresent"),
        ("host:5000/web:latest", "Always"),
        ("web@sha256:" + "0" * 64, "IfNotPresent"),
        ("web:latest@sha256:" + "0" * 64, "Always"),
        ("Web", "IfNotPresent"),
        ("", "IfNotPresent"),
    ],
)
def test_the_tag_decides_the_pull_policy(image: str, policy: str) -> None:
    assert defaulted("", "Pod", pod(C + "image", image))["spec"]["containers"][0]["imagePullPolicy"] == policy


# What is set, where to look, what is there then.
DEFAULTS: list[tuple[str, Any, str, Any]] = [
    (C + "ports", [{"containerPort": 80}], "ports", [{"containerPort": 80, "protocol": "TCP"}]),
    (
        C + "livenessProbe",
        {"httpGet": {"port": 80}},
        "livenessProbe",
        {
            "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
            "timeoutSeconds": 1,
            "periodSeconds": 10,
            "successThreshold": 1,
            "failureThreshold": 3,
        },
    ),
    (
        C + "readinessProbe",
        {"grpc": {"port": 80}, "periodSeconds": 5},
        "readinessProbe",
        {
            "grpc": {"port": 80, "service": ""},
            "timeoutSeconds": 1,
            "periodSeconds": 5,
            "successThreshold": 1,
            "failureThreshold": 3,
        },
    ),
    (
        C + "lifecycle",
        {"preStop": {"httpGet": {"port": "http"}}},
        "lifecycle",
        {"preStop": {"httpGet": {"port": "http", "path": "/", "scheme": "HTTP"}}},
    ),
    (
        C + "env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}],
    ),
    (
        C + "resources",
        {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}},
        "resources",
        {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
    ),
    (C + "resources", {"requests": {"cpu": "100u"}}, "resources", {"requests": {"cpu": "1m"}}),
]


@pytest.mark.parametrize(("path", "value", "key", "expected"), DEFAULTS)
def test_defaults_of_containers(path: str, value: Any, key: str, expected: Any) -> None:
    assert defaulted("", "Pod", pod(path, value))["spec"]["containers"][0][key] == expected


VOLUMES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"emptyDir": {}}),
    ({"secret": {"secretName": "s"}}, {"secret": {"secretName": "s", "defaultMode": 420}}),
    ({"configMap": {"name": "c", "defaultMode": 256}}, {"configMap": {"name": "c", "defaultMode": 256}}),
    ({"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x", "type": ""}}),
    ({"iscsi": {"iqn": "i"}}, {"iscsi": {"iqn": "i", "iscsiInterface": "default"}}),
    (
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {
            "projected": {
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                "defaultMode": 420,
            }
        },
    ),
    (
        {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {
            "downwardAPI": {
                "items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}],
                "defaultMode": 420,
            }
        },
    ),
    (
        {"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}},
        {
            "ephemeral": {
                "volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}}
            }
        },
    ),
    ({"image": {"reference": "a:1"}}, {"image": {"reference": "a:1", "pullPolicy": "IfNotPresent"}}),
    ({"rbd": {"image": "i"}}, {"rbd": {"image": "i", "pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}}),
    ({"scaleIO": {"gateway": "g"}}, {"scaleIO": {"gateway": "g", "storageMode": "ThinProvisioned", "fsType": "xfs"}}),
]


@pytest.mark.parametrize(("given", "expected"), VOLUMES)
def test_defaults_of_volumes(given: dict[str, Any], expected: dict[str, Any]) -> None:
    made = defaulted("", "Pod", pod("spec.volumes", [{"name": "v", **given}]))
    assert made["spec"]["volumes"] == [{"name": "v", **expected}]


def test_a_pod_on_the_hosts_network_has_its_ports_there_and_an_account_has_two_names() -> None:
    made = defaulted(
        "",
        "Pod",
        {"spec": {"hostNetwork": True, "serviceAccountName": "me", "containers": [{"ports": [{"containerPort": 80}]}]}},
    )
    assert made["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert made["spec"]["serviceAccount"] == "me"
    old = defaulted("", "Pod", {"spec": {"serviceAccount": "old"}})
    assert old["spec"]["serviceAccountName"] == "old"


def test_a_template_gets_neither_requests_nor_links() -> None:
    container = {**CONTAINER, "resources": {"limits": {"cpu": "1"}}}
    made = defaulted("", "PodTemplate", {"template": {"spec": {"containers": [container]}}})
    assert made["template"]["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "1"}}
    assert "enableServiceLinks" not in made["template"]["spec"]


@pytest.mark.parametrize(
    ("pod_level", "container", "expected"),
    [
        ({"limits": {"cpu": "2"}}, {}, {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}),
        (
            {"limits": {"cpu": "2"}},
            {"requests": {"cpu": "500m"}},
            {"limits": {"cpu": "2"}, "requests": {"cpu": "500m"}},
        ),
        (
            {"requests": {"cpu": "2"}},
            {"limits": {"cpu": "1"}},
            {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
        ),
        (
            {"limits": {"cpu": "1"}},
            {"limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}},
            {"limits": {"cpu": "1", "hugepages-2Mi": "4Mi"}, "requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}},
        ),
    ],
)
def test_defaults_of_pod_level_resources(
    pod_level: dict[str, Any], container: dict[str, Any], expected: dict[str, Any]
) -> None:
    object = changed(pod(C + "resources", container), "spec.resources", pod_level)
    assert defaulted("", "Pod", object)["spec"]["resources"] == expected


QOS: list[tuple[list[dict[str, Any]], str]] = [
    ([{}], "BestEffort"),
    ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
    ([{"limits": {"cpu": "1"}}], "Burstable"),
    ([{"requests": {"cpu": "1"}}], "Burstable"),
    ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
    ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
    ([{"limits": {"ephemeral-storage": "1Gi"}}], "BestEffort"),
    ([{"limits": {"cpu": "0", "memory": "0"}}], "BestEffort"),
]


@pytest.mark.parametrize(("resources", "expected"), QOS)
def test_class_of_service(resources: list[dict[str, Any]], expected: str) -> None:
    containers = [{**CONTAINER, "name": f"c{index}", "resources": each} for index, each in enumerate(resources)]
    assert created("", "Pod", pod("spec.containers", containers))["status"]["qosClass"] == expected
