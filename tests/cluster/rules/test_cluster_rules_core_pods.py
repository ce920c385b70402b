"""Pods: what is filled in, what is refused and with which words, what may change."""

from typing import Any

import pytest
from rules_kit import causes, changed, created, defaulted, refused, updated

from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.kinds.core_pod_updates import SUBRESOURCES, validate_binding

CONTAINER = {"name": "web", "image": "example.com/web:1.2"}
POD: dict[str, Any] = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"containers": [CONTAINER]}}
C = "spec.containers.0."
P = "spec.containers[0]"
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def pod(path: str, value: Any) -> dict[str, Any]:
    return changed(POD, path, value)


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


# What is set, and all causes.
BROKEN: list[tuple[str, Any, list[str]]] = [
    ("spec.containers", [], ["spec.containers: Required value"]),
    (C + "name", None, [f"{P}.name: Required value"]),
    (C + "name", "A", [f'{P}.name: Invalid value: "A": {LABEL}']),
    (C + "name", "a" * 64, [f'{P}.name: Invalid value: "{"a" * 64}": must be no more than 63 characters']),
    (C + "image", None, [f"{P}.image: Required value"]),
    (C + "image", " web", [f'{P}.image: Invalid value: " web": must not have leading or trailing whitespace']),
    (
        C + "imagePullPolicy",
        "Sometimes",
        [f'{P}.imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"'],
    ),
    (
        C + "terminationMessagePolicy",
        "x",
        [f'{P}.terminationMessagePolicy: Unsupported value: "x": supported values: "File", "FallbackToLogsOnError"'],
    ),
    (
        "spec.containers",
        [CONTAINER, CONTAINER],
        ['spec.containers[1].name: Duplicate value: "web"'],
    ),
    (C + "ports", [{"containerPort": 0}], [f"{P}.ports[0].containerPort: Required value"]),
    (
        C + "ports",
        [{"containerPort": 70000}],
        [f"{P}.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
    ),
    (
        C + "ports",
        [{"containerPort": 80, "hostPort": -1}],
        [f"{P}.ports[0].hostPort: Invalid value: -1: must be between 1 and 65535, inclusive"],
    ),
    (
        C + "ports",
        [{"containerPort": 80, "name": "a--b"}],
        [f'{P}.ports[0].name: Invalid value: "a--b": must not contain consecutive hyphens'],
    ),
    (
        C + "ports",
        [{"containerPort": 80, "name": "http"}, {"containerPort": 81, "name": "http"}],
        [f'{P}.ports[1].name: Duplicate value: "http"'],
    ),
    (
        C + "ports",
        [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}],
        [f'{P}.ports[1].hostPort: Duplicate value: "TCP//80"'],
    ),
    (
        C + "ports",
        [{"containerPort": 80, "protocol": "ICMP"}],
        [f'{P}.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (C + "env", [{"value": "x"}], [f"{P}.env[0].name: Required value"]),
    (
        C + "env",
        [{"name": "A=B"}],
        [
            f'{P}.env[0].name: Invalid value: "A=B": a valid environment variable name must consist only of printable '
            "ASCII characters other than '=' (regex used for validation is '[ -<>-~]+')"
        ],
    ),
    (
        C + "env",
        [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        [f'{P}.env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
    ),
    (
        C + "env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}],
        [
            f'{P}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: '
            '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
            '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
        ],
    ),
    (
        C + "env",
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.x"}}}],
        [
            f'{P}.env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.x": error converting fieldPath: '
            "field label not supported: spec.x"
        ],
    ),
    (C + "env", [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x']"}}}], []),
    (
        C + "env",
        [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}],
        [
            f'{P}.env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "limits.gpu": supported values: '
            '"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", '
            '"requests.memory"'
        ],
    ),
    (
        C + "env",
        [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "5"}}}],
        [
            f'{P}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": '
            "only divisor's values 1m and 1 are supported with the cpu resource"
        ],
    ),
    (
        C + "env",
        [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}],
        [f"{P}.env[0].valueFrom.secretKeyRef.key: Required value"],
    ),
    (
        C + "envFrom",
        [{}],
        [f'{P}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'],
    ),
    (C + "envFrom", [{"secretRef": {}}], [f"{P}.envFrom[0].secretRef.name: Required value"]),
    (
        C + "volumeMounts",
        [{"name": "data", "mountPath": "/data"}],
        [f'{P}.volumeMounts[0].name: Not found: "data"'],
    ),
    (
        C + "resources",
        {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
        [f'{P}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
    ),
    (
        C + "resources",
        {"limits": {"cpu": "-1"}, "requests": {"cpu": "-2"}},
        [
            f'{P}.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
            f'{P}.resources.requests[cpu]: Invalid value: "-2": must be greater than or equal to 0',
        ],
    ),
    (
        C + "resources",
        {"requests": {"gpu": "1"}},
        [
            f'{P}.resources.requests[gpu]: Invalid value: "gpu": must be a standard resource type or fully qualified',
            f'{P}.resources.requests[gpu]: Invalid value: "gpu": must be a standard resource for containers',
        ],
    ),
    (
        C + "resources",
        {"limits": {"example.com/gpu": "500m"}},
        [
            f'{P}.resources.limits[example.com/gpu]: Invalid value: "500m": must be an integer',
            f'{P}.resources.requests[example.com/gpu]: Invalid value: "500m": must be an integer',
        ],
    ),
    (
        C + "resources",
        {"requests": {"example.com/gpu": "1"}},
        [f"{P}.resources.limits: Required value: Limit must be set for non overcommitable resources"],
    ),
    (
        C + "resources",
        {"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}},
        [f'{P}.resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2'],
    ),
    (
        C + "resources",
        {"limits": {"hugepages-2Mi": "4Mi"}},
        [f"{P}.resources: Forbidden: HugePages require cpu or memory"],
    ),
    (
        C + "resources",
        {"limits": {"cpu": "1", "hugepages-2Mi": "3Mi"}},
        [
            f'{P}.resources.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
            "hugepages-2Mi",
            f'{P}.resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
            "hugepages-2Mi",
        ],
    ),
    (
        C + "resources",
        {"claims": [{"name": "gpu"}]},
        [
            f'{P}.resources.claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims '
            "which is empty"
        ],
    ),
    (
        C + "resizePolicy",
        [{"resourceName": "cpu", "restartPolicy": "NotRequired"}] * 2,
        [f'{P}.resizePolicy[1]: Duplicate value: "cpu"'],
    ),
    (C + "livenessProbe", {"periodSeconds": 1}, [f"{P}.livenessProbe: Required value: must specify a handler type"]),
    (
        C + "livenessProbe",
        {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}},
        [f"{P}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
    ),
    (C + "livenessProbe", {"exec": {}}, [f"{P}.livenessProbe.exec.command: Required value"]),
    (
        C + "livenessProbe",
        {"tcpSocket": {"port": 1}, "successThreshold": 2},
        [f"{P}.livenessProbe.successThreshold: Invalid value: 2: must be 1"],
    ),
    (
        C + "startupProbe",
        {"tcpSocket": {"port": 1}, "initialDelaySeconds": -1},
        [f"{P}.startupProbe.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0"],
    ),
    (
        C + "readinessProbe",
        {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5},
        [f"{P}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes"],
    ),
    (
        C + "readinessProbe",
        {"httpGet": {"port": "x y"}},
        [
            f'{P}.readinessProbe.httpGet.port: Invalid value: "x y": must contain only alpha-numeric characters '
            "(a-z, 0-9), and hyphens (-)"
        ],
    ),
    (
        C + "lifecycle",
        {"preStop": {"sleep": {"seconds": 31}}},
        [
            f"{P}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
            "terminationGracePeriodSeconds (30)"
        ],
    ),
    (
        C + "restartPolicy",
        "Sometimes",
        [f'{P}.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"'],
    ),
    (
        C + "securityContext",
        {"runAsUser": -1, "procMount": "x"},
        [
            f"{P}.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            f'{P}.securityContext.procMount: Unsupported value: "x": supported values: "Default", "Unmasked"',
        ],
    ),
    (
        C + "securityContext",
        {"privileged": True, "allowPrivilegeEscalation": False},
        [
            f'{P}.securityContext: Invalid value: {{"allowPrivilegeEscalation":false,"privileged":true}}: '
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        ],
    ),
    (
        C + "securityContext",
        {"seccompProfile": {"type": "Localhost"}},
        [
            f"{P}.securityContext.seccompProfile.localhostProfile: Required value: "
            "must be set when seccomp type is Localhost"
        ],
    ),
    (
        "spec.restartPolicy",
        "Sometimes",
        ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
    ),
    (
        "spec.dnsPolicy",
        "x",
        [
            'spec.dnsPolicy: Unsupported value: "x": supported values: "ClusterFirstWithHostNet", "ClusterFirst", '
            '"Default", "None"'
        ],
    ),
    ("spec.dnsPolicy", "None", ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]),
    (
        "spec.dnsConfig",
        {"nameservers": ["1.1.1.1", "x"], "searches": ["a_b.c", "-"], "options": [{}]},
        [
            'spec.dnsConfig.nameservers[1]: Invalid value: "x": must be a valid IP address, '
            "(e.g. 10.9.8.7 or 2001:db8::ffff)",
            'spec.dnsConfig.searches[1]: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
            "'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*"
            "[a-z0-9])?)*')",
            "spec.dnsConfig.options[0]: Required value: must not be empty",
        ],
    ),
    (
        "spec.activeDeadlineSeconds",
        0,
        ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
    ),
    ("spec.hostname", "a.b", [f'spec.hostname: Invalid value: "a.b": {LABEL}']),
    (
        "spec.hostAliases",
        [{"ip": "1.2.3", "hostnames": ["a"]}],
        [
            'spec.hostAliases[0].ip: Invalid value: "1.2.3": must be a valid IP address, '
            "(e.g. 10.9.8.7 or 2001:db8::ffff)"
        ],
    ),
    (
        "spec.tolerations",
        [{"operator": "Equal", "value": "x"}],
        [
            'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, '
            'which means "match all values and all keys"'
        ],
    ),
    (
        "spec.tolerations",
        [{"key": "a", "operator": "Exists", "value": "x", "effect": "No", "tolerationSeconds": 1}],
        [
            "spec.tolerations[0].effect: Invalid value: \"No\": effect must be 'NoExecute' when `tolerationSeconds` "
            "is set",
            "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
            'spec.tolerations[0].effect: Unsupported value: "No": supported values: "NoSchedule", "PreferNoSchedule", '
            '"NoExecute"',
        ],
    ),
    (
        "spec.topologySpreadConstraints",
        [{"maxSkew": 0, "whenUnsatisfiable": "x", "labelSelector": {}}],
        [
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
            'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "x": supported values: '
            '"DoNotSchedule", "ScheduleAnyway"',
        ],
    ),
    (
        "spec.affinity",
        {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}},
        [
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: "
            "Required value: must have at least one node selector term"
        ],
    ),
    (
        "spec.affinity",
        {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {"topologyKey": "a"}}]
            }
        },
        [
            "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: "
            "must be in the range 1-100"
        ],
    ),
    (
        "spec.schedulingGates",
        [{"name": "a"}, {"name": "a"}],
        ['spec.schedulingGates[1]: Duplicate value: "a"'],
    ),
    (
        "spec.resourceClaims",
        [{"name": "a"}],
        [
            'spec.resourceClaims[0]: Invalid value: {"name":"a"}: must specify one of: `resourceClaimName`, '
            "`resourceClaimTemplateName`"
        ],
    ),
    ("spec.os", {"name": "beos"}, ['spec.os: Unsupported value: "beos": supported values: "linux", "windows"']),
    (
        "spec.securityContext",
        {"sysctls": [{"name": "net.x"}, {"name": "A"}], "fsGroupChangePolicy": "x"},
        [
            'spec.securityContext.sysctls[1].name: Invalid value: "A": must have at most 253 characters and match '
            "regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
            'spec.securityContext.fsGroupChangePolicy: Unsupported value: "x": supported values: "Always", '
            '"OnRootMismatch"',
        ],
    ),
    (
        "spec.ephemeralContainers",
        [{"name": "e", "image": "i"}],
        ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    ),
    (
        "spec.preemptionPolicy",
        "x",
        ['spec.preemptionPolicy: Unsupported value: "x": supported values: "PreemptLowerPriority", "Never"'],
    ),
    (
        "spec.resources",
        {"limits": {"ephemeral-storage": "1Gi"}},
        [
            'spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": supported values: '
            '"cpu", "hugepages-", "memory"'
        ],
    ),
    (
        "metadata.annotations",
        {"kubernetes.io/config.mirror": "x"},
        [
            'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if '
            "mirror pod annotation is set"
        ],
    ),
    (
        "spec.volumes",
        [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}],
        [
            "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when "
            "serviceAccountName is not set"
        ],
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), BROKEN)
def test_what_is_refused(path: str, value: Any, expected: list[str]) -> None:
    assert refused("", "Pod", pod(path, value)) == expected


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


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (C + "image", "other:2", []),
        ("metadata.labels", {"a": "b"}, []),
        ("spec.activeDeadlineSeconds", 10, []),
        ("spec.tolerations", [{"key": "a", "operator": "Exists"}], []),
        (
            "spec.containers.1",
            {"name": "more", "image": "m:1"},
            ["spec.containers: Forbidden: pod updates may not add or remove containers"],
        ),
        (
            "spec.schedulingGates",
            [{"name": "late"}],
            ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'late'"],
        ),
    ],
)
def test_what_may_change(path: str, value: Any, expected: list[str]) -> None:
    assert updated("", "Pod", POD, pod(path, value)) == expected


def test_anything_else_in_the_spec_stays() -> None:
    (cause,) = updated("", "Pod", POD, pod(C + "command", ["x"]))
    assert cause.startswith(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
        "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
    )
    assert 'spec.containers[0].command: null → ["x"]' in cause


def test_deadlines_only_shrink_and_tolerations_stay() -> None:
    old = changed(pod("spec.activeDeadlineSeconds", 10), "spec.tolerations", [{"key": "a", "operator": "Exists"}])
    assert updated("", "Pod", old, changed(old, "spec.activeDeadlineSeconds", 20)) == [
        "spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"
    ]
    assert updated("", "Pod", old, changed(old, "spec.activeDeadlineSeconds", None)) == [
        "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"
    ]
    assert updated("", "Pod", old, changed(old, "spec.tolerations", [])) == [
        "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
    ]


def test_a_gated_pod_can_be_narrowed() -> None:
    old = changed(pod("spec.schedulingGates", [{"name": "wait"}]), "spec.nodeSelector", {"a": "b"})
    assert created("", "Pod", old)["status"]["conditions"][0]["reason"] == "SchedulingGated"
    assert updated("", "Pod", old, changed(old, "spec.nodeSelector", {"a": "b", "c": "d"})) == []
    assert updated("", "Pod", old, changed(old, "spec.schedulingGates", [])) == []
    assert updated("", "Pod", old, changed(old, "spec.nodeSelector", {"c": "d"})) == [
        'spec.nodeSelector: Invalid value: {"c":"d"}: only additions to spec.nodeSelector are allowed '
        "(no mutations or deletions)"
    ]
    free = pod("spec.nodeSelector", {"a": "b"})
    assert len(updated("", "Pod", free, changed(free, "spec.nodeSelector", {"a": "b", "c": "d"}))) == 1


def subresource(name: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    rules, part = rules_of("", "Pod"), SUBRESOURCES[name]
    before, after = created("", "Pod", old), copied(new)
    rules.default(after)
    part.prepare(after, before)
    found = [*rules.validate(after), *part.validate(after, before)]
    return after, [f"{cause.field}: {cause.message}" for cause in found]


def test_ephemeral_containers_are_added_and_stay() -> None:
    debugging = {"name": "debug", "image": "d:1", "targetContainerName": "web"}
    new, found = subresource(
        "ephemeralcontainers", POD, changed(pod("spec.ephemeralContainers", [debugging]), C + "image", "x:1")
    )
    assert found == []
    assert new["spec"]["containers"][0]["image"] == CONTAINER["image"]
    wrong = {**debugging, "targetContainerName": "none", "ports": [{"containerPort": 1}]}
    _, found = subresource("ephemeralcontainers", POD, pod("spec.ephemeralContainers", [wrong]))
    assert found == [
        'spec.ephemeralContainers[0].targetContainerName: Not found: "none"',
        "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
    ]
    rules = SUBRESOURCES["ephemeralcontainers"]
    (cause,) = rules.validate(POD, new)
    assert cause.message == 'Forbidden: existing ephemeral containers "debug" may not be removed\n'


def test_a_resize_changes_resources_and_nothing_else() -> None:
    old = pod(C + "resources", {"requests": {"cpu": "1", "memory": "1Gi"}})
    new, found = subresource("resize", old, changed(old, C + "resources.requests.cpu", "2"))
    assert (found, new["spec"]["containers"][0]["resources"]["requests"]["cpu"]) == ([], "2")
    _, found = subresource("resize", old, changed(old, C + "resources.requests", {"cpu": "1"}))
    assert found == [f"{P}.resources.requests: Forbidden: resource requests cannot be removed"]
    _, found = subresource("resize", old, changed(old, C + "resources.limits", {"memory": "2Gi"}))
    assert found == [
        f"{P}.resources.limits[memory]: Forbidden: memory limits cannot be added unless resizePolicy is "
        "RestartContainer"
    ]
    _, found = subresource("resize", POD, changed(POD, C + "resources.requests", {"cpu": "1"}))
    assert found == ['spec: Invalid value: "BestEffort": Pod QOS Class may not change as a result of resizing']


def test_the_status_keeps_its_class_and_what_ended() -> None:
    rules = rules_of("", "Pod")
    old = created("", "Pod", pod("spec.restartPolicy", "Never"))
    old["metadata"]["ownerReferences"] = [{"uid": "1"}]
    old["status"]["containerStatuses"] = [{"name": "web", "state": {"terminated": {"exitCode": 1}}}]
    new = copied(old)
    new["spec"]["nodeName"] = "elsewhere"
    new["metadata"].pop("ownerReferences")
    new["status"] = {
        "phase": "Running",
        "containerStatuses": [{"name": "web", "state": {"running": {}}}],
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}],
        "hostIP": "10.1.0.1",
        "hostIPs": [{"ip": "10.1.0.2"}],
    }
    rules.prepare_status(new, old)
    assert new["spec"] == old["spec"]
    assert new["metadata"]["ownerReferences"] == [{"uid": "1"}]
    assert new["status"]["qosClass"] == "BestEffort"
    assert [f"{cause.field}: {cause.message}" for cause in rules.validate_status(new, old)] == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state",
        'status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]: may specify no more than one IP for each '
        "IP family",
        'status.hostIPs[0].ip: Invalid value: "10.1.0.2": must be equal to `hostIP`',
    ]


@pytest.mark.parametrize(
    ("spec", "phase", "asked", "expected"),
    [
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", None, 30),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 5, 5),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 0, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": -3}, "Running", None, 1),
        ({"terminationGracePeriodSeconds": 30}, "Pending", None, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Succeeded", None, 0),
    ],
)
def test_seconds_to_end(spec: dict[str, Any], phase: str, asked: int | None, expected: int) -> None:
    grace = rules_of("", "Pod").grace
    assert grace is not None
    assert grace({"spec": spec, "status": {"phase": phase}}, asked) == expected


def test_selectable_fields() -> None:
    object = created("", "Pod", pod("spec.nodeName", "n1"))
    object["status"]["podIPs"] = [{"ip": "10.0.0.1"}]
    assert rules_of("", "Pod").fields(object) == {
        "spec.nodeName": "n1",
        "spec.restartPolicy": "Always",
        "spec.schedulerName": "default-scheduler",
        "spec.serviceAccountName": "",
        "spec.hostNetwork": "false",
        "status.phase": "Pending",
        "status.podIP": "10.0.0.1",
        "status.nominatedNodeName": "",
    }


WARNINGS: list[tuple[str, Any, list[str]]] = [
    (
        C + "env",
        [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        [f'{P}.env[1]: hides previous definition of "A", which may be dropped when using apply'],
    ),
    (C + "env", [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}], []),
    (
        "spec.nodeSelector",
        {"beta.kubernetes.io/os": "linux"},
        ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
    ),
    (
        "spec.volumes",
        [{"name": "v", "gitRepo": {"repository": "r"}}],
        ["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+"],
    ),
    (
        C + "resources",
        {"requests": {"memory": "100m"}},
        [f'{P}.resources.requests[memory]: fractional byte value "100m" is invalid, must be an integer'],
    ),
    (
        C + "ports",
        [{"containerPort": 80}, {"containerPort": 80}],
        [f"{P}.ports[1]: duplicate port definition with {P}.ports[0]"],
    ),
    (
        "spec.imagePullSecrets",
        [{"name": "a"}, {"name": "a"}, {}],
        [
            'spec.imagePullSecrets[1].name: duplicate name "a"',
            'spec.imagePullSecrets[2].name: invalid empty name ""',
        ],
    ),
    (
        "spec.topologySpreadConstraints",
        [{"topologyKey": "a", "maxSkew": 1}],
        ["spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod"],
    ),
    (
        "metadata.annotations",
        {"seccomp.security.alpha.kubernetes.io/pod": "runtime/default"},
        [
            "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; "
            'use the "seccompProfile" field instead'
        ],
    ),
    (
        "metadata.name",
        "a.b",
        [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; "
            f"a DNS label is recommended: [{LABEL}]"
        ],
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), WARNINGS)
def test_what_is_said_to_the_client(path: str, value: Any, expected: list[str]) -> None:
    assert list(rules_of("", "Pod").warnings(created("", "Pod", pod(path, value)))) == expected


def test_keys_of_labels_become_terms() -> None:
    term = {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["hash"], "mismatchLabelKeys": ["tenant"]}
    object = pod("metadata.labels", {"hash": "1", "tenant": "a"})
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    object = changed(object, "spec.affinity", {"podAntiAffinity": {key: [term]}})
    made = created("", "Pod", object)
    assert made["spec"]["affinity"]["podAntiAffinity"][key][0]["labelSelector"] == {
        "matchExpressions": [
            {"key": "hash", "operator": "In", "values": ["1"]},
            {"key": "tenant", "operator": "NotIn", "values": ["a"]},
        ]
    }
    assert causes("", "Pod", made) == []


def test_a_binding_names_a_node() -> None:
    assert [cause.field for cause in validate_binding({"target": {"kind": "Pod"}})] == ["target.kind", "target.name"]
    assert validate_binding({"target": {"kind": "Node", "name": "n"}}) == []
