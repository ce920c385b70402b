"""Volumes of pods and what belongs together in them: what is refused and with which words."""

from typing import Any

import pytest
from pods_rules_kit import CONTAINER, C, P, pod
from rules_kit import changed, refused

BROKEN_VOLUMES: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([{"emptyDir": {}}], ["spec.volumes[0].name: Required value"]),
    ([{"name": "v", "emptyDir": {}}] * 2, ['spec.volumes[1].name: Duplicate value: "v"']),
    (
        [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}],
        ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
    ),
    ([{"name": "v", "secret": {}}], ["spec.volumes[0].secret.secretName: Required value"]),
    (
        [{"name": "v", "configMap": {"name": "c", "defaultMode": 0o1000}}],
        [
            "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), "
            "both inclusive"
        ],
    ),
    (
        [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "../x"}]}}],
        ["spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'"],
    ),
    (
        [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "..x"}]}}],
        ["spec.volumes[0].configMap.items[0].path: Invalid value: \"..x\": must not start with '..'"],
    ),
    ([{"name": "v", "hostPath": {}}], ["spec.volumes[0].hostPath.path: Required value"]),
    (
        [{"name": "v", "nfs": {"server": "s", "path": "x"}}],
        ['spec.volumes[0].nfs.path: Invalid value: "x": must be an absolute path'],
    ),
    ([{"name": "v", "persistentVolumeClaim": {}}], ["spec.volumes[0].persistentVolumeClaim.claimName: Required value"]),
    (
        [{"name": "v", "ephemeral": {}}],
        ["spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"],
    ),
    (
        [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}],
        [
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is "
            "required",
            "spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
        ],
    ),
    (
        [{"name": "v", "downwardAPI": {"items": [{"path": "a"}]}}],
        ["spec.volumes[0].downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
    ),
    (
        [{"name": "v", "csi": {}}],
        [
            "spec.volumes[0].csi.driver: Required value",
            'spec.volumes[0].csi.driver: Invalid value: "": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
            "'example.com', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ],
    ),
    (
        [
            {
                "name": "v",
                "projected": {
                    "sources": [
                        {"secret": {"name": "a", "items": [{"key": "k", "path": "p"}]}},
                        {"configMap": {"name": "b", "items": [{"key": "k", "path": "p"}]}},
                    ]
                },
            }
        ],
        ['spec.volumes[0].projected: Invalid value: "b": conflicting duplicate paths'],
    ),
    ([{"name": "v", "image": {}}], ["spec.volumes[0].image.reference: Required value"]),
    (
        [{"name": "v", "iscsi": {"targetPortal": "p", "iqn": "x"}}],
        ['spec.volumes[0].iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa'],
    ),
    ([{"name": "v", "gcePersistentDisk": {}}], ["spec.volumes[0].persistentDisk.pdName: Required value"]),
]


@pytest.mark.parametrize(("volumes", "expected"), BROKEN_VOLUMES)
def test_volumes_that_are_refused(volumes: list[dict[str, Any]], expected: list[str]) -> None:
    assert refused("", "Pod", pod("spec.volumes", volumes)) == expected


def test_mounts_and_devices_do_not_meet() -> None:
    claim = {"persistentVolumeClaim": {"claimName": "c"}}
    object = changed(
        pod("spec.volumes", [{"name": "a", "emptyDir": {}}, {"name": "b", **claim}]),
        "spec.containers.0",
        {
            **CONTAINER,
            "volumeMounts": [
                {"name": "a", "mountPath": "/a"},
                {"name": "b", "mountPath": "/a", "subPath": "/x", "mountPropagation": "Bidirectional"},
            ],
            "volumeDevices": [{"name": "b", "devicePath": "/a"}, {"name": "a", "devicePath": "/d/.."}],
        },
    )
    assert refused("", "Pod", object) == [
        f'{P}.volumeMounts[0].name: Invalid value: "a": must not already exist in volumeDevices',
        f'{P}.volumeMounts[0].mountPath: Invalid value: "/a": must not already exist as a path in volumeDevices',
        f'{P}.volumeMounts[1].mountPath: Invalid value: "/a": must be unique',
        f'{P}.volumeMounts[1].name: Invalid value: "b": must not already exist in volumeDevices',
        f'{P}.volumeMounts[1].mountPath: Invalid value: "/a": must not already exist as a path in volumeDevices',
        f'{P}.volumeMounts.subPath: Invalid value: "/x": must be a relative path',
        f"{P}.volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to "
        "privileged containers",
        f'{P}.volumeDevices[0].name: Invalid value: "b": must not already exist in volumeMounts',
        f'{P}.volumeDevices[0].devicePath: Invalid value: "/a": must not already exist as a path in volumeMounts',
        f'{P}.volumeDevices[1].name: Invalid value: "a": can only use volume source type of PersistentVolumeClaim or '
        "Ephemeral for block mode",
        f"{P}.volumeDevices[1].devicePath: Invalid value: \"/d/..\": can not contain backsteps ('..')",
        f'{P}.volumeDevices[1].name: Invalid value: "a": must not already exist in volumeMounts',
    ]


def test_parts_of_images_may_be_mounted() -> None:
    mounts = [{"name": "a", "mountPath": "/a", "subPath": "b"}, {"name": "a", "mountPath": "/c", "subPathExpr": "$(D)"}]
    image = pod("spec.volumes", [{"name": "a", "image": {"reference": "busybox"}}])
    assert refused("", "Pod", changed(image, "spec.containers.0", {**CONTAINER, "volumeMounts": mounts})) == []
    mounts = [{"name": "a", "mountPath": "/a", "subPath": "../b"}]
    (why,) = refused("", "Pod", changed(image, "spec.containers.0", {**CONTAINER, "volumeMounts": mounts}))
    assert "must not contain '..'" in why


def test_only_sidecars_have_probes() -> None:
    probe = {"tcpSocket": {"port": 1}}
    starting = {"name": "init", "image": "i:1", "readinessProbe": probe, "lifecycle": {}}
    assert refused("", "Pod", pod("spec.initContainers", [starting])) == [
        "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
        "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
        "restartPolicy=Always",
    ]
    assert refused("", "Pod", pod("spec.initContainers", [{**starting, "restartPolicy": "Always"}])) == []
    assert refused("", "Pod", pod("spec.initContainers", [{**CONTAINER}])) == [
        'spec.initContainers[0].name: Duplicate value: "web"'
    ]


def test_stop_signals_need_a_system() -> None:
    object = pod(C + "lifecycle", {"stopSignal": "SIGUSR1"})
    assert refused("", "Pod", object) == [
        f"{P}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"
    ]
    assert refused("", "Pod", changed(object, "spec.os", {"name": "linux"})) == []
    assert refused("", "Pod", changed(object, "spec.os", {"name": "windows"})) == [
        f'{P}.lifecycle.stopSignal: Unsupported value: "SIGUSR1": supported values: "SIGKILL", "SIGTERM"'
    ]


def test_host_users_and_host_namespaces() -> None:
    object = changed(changed(pod("spec.hostUsers", False), "spec.hostPID", True), "spec.hostNetwork", True)
    assert refused("", "Pod", object) == [
        "spec.hostNetwork: Forbidden: when `hostUsers` is false",
        "spec.HostPID: Forbidden: when `hostUsers` is false",
    ]


def test_host_users_and_block_devices() -> None:
    claim = {"name": "d", "persistentVolumeClaim": {"claimName": "c"}}
    object = changed(pod("spec.hostUsers", False), "spec.volumes", [claim])
    object = changed(object, "spec.containers.0.volumeDevices", [{"name": "d", "devicePath": "/d"}])
    assert refused("", "Pod", object) == [f"{P}.volumeDevices: Forbidden: when `hostUsers` is false"]
    assert refused("", "Pod", changed(object, "spec.hostUsers", True)) == []
