"""Pods: what is refused and with which words."""

from typing import Any

import pytest
from pods_rules_kit import CONTAINER, LABEL, C, P, pod
from rules_kit import refused

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
