"""Services, configuration, namespaces: what is filled in, what is refused, what may change."""

import base64
from typing import Any

import pytest
from rules_kit import causes, changed, created, defaulted, refused, updated

from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds import rules_of

SERVICE: dict[str, Any] = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}}}
NO_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_plain_service() -> None:
    assert created("", "Service", SERVICE) == {
        "metadata": {"name": "web"},
        "spec": {
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            "selector": {"app": "web"},
            "sessionAffinity": "None",
            "type": "ClusterIP",
            "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"type": "NodePort"}, {"externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"}),
        (
            {"type": "LoadBalancer"},
            {
                "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster",
                "allocateLoadBalancerNodePorts": True,
            },
        ),
        ({"externalIPs": ["1.2.3.4"]}, {"externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster"}),
        ({"type": "ExternalName", "externalName": "a.b"}, {"internalTrafficPolicy": None}),
        ({"sessionAffinity": "ClientIP"}, {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}}),
        ({"sessionAffinity": "None", "sessionAffinityConfig": {}}, {"sessionAffinityConfig": None}),
    ],
)
def test_defaults_of_services(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    made = defaulted("", "Service", {"spec": spec})["spec"]
    assert {key: made.get(key) for key in expected} == expected


SERVICES: list[tuple[str, Any, list[str]]] = [
    ("spec.ports", [], ["spec.ports: Required value"]),
    (
        "spec.type",
        "x",
        [
            'spec.type: Unsupported value: "x": supported values: "ClusterIP", "ExternalName", "LoadBalancer", '
            '"NodePort"'
        ],
    ),
    (
        "spec.ports",
        [{"port": 0}],
        [
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    ),
    (
        "spec.ports",
        [{"port": 80}, {"port": 81}],
        [
            "spec.ports[0].name: Required value",
            "spec.ports[1].name: Required value",
        ],
    ),
    (
        "spec.ports",
        [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}],
        ['spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}'],
    ),
    (
        "spec.ports",
        [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}],
        ['spec.ports[1].name: Duplicate value: "a"'],
    ),
    (
        "spec.ports",
        [{"port": 80, "protocol": "ICMP"}],
        ['spec.ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"'],
    ),
    (
        "spec.ports",
        [{"port": 80, "targetPort": "a b"}],
        [
            'spec.ports[0].targetPort: Invalid value: "a b": must contain only alpha-numeric characters (a-z, 0-9), '
            "and hyphens (-)"
        ],
    ),
    (
        "spec.ports",
        [{"port": 80, "nodePort": 30000}],
        ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    ),
    ("spec.clusterIP", "1.2.3", [f'spec.clusterIPs[0]: Invalid value: "1.2.3": {NO_IP}']),
    ("spec.clusterIP", "010.0.0.1", ['spec.clusterIPs[0]: Invalid value: "010.0.0.1": must not have leading 0s']),
    (
        "spec.ipFamilies",
        ["IPv5", "IPv4", "IPv4"],
        [
            'spec.ipFamilies[0]: Unsupported value: "IPv5": supported values: "IPv4", "IPv6"',
            'spec.ipFamilies[2]: Duplicate value: "IPv4"',
        ],
    ),
    (
        "spec.externalIPs",
        ["x", "127.0.0.1", "169.254.0.1", "0.0.0.0", "224.0.0.1"],
        [
            f'spec.externalIPs[0]: Invalid value: "x": {NO_IP}',
            'spec.externalIPs[1]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
            'spec.externalIPs[2]: Invalid value: "169.254.0.1": may not be in the link-local range '
            "(169.254.0.0/16, fe80::/10)",
            'spec.externalIPs[3]: Invalid value: "0.0.0.0": may not be unspecified (0.0.0.0)',
            'spec.externalIPs[4]: Invalid value: "224.0.0.1": may not be in the link-local multicast range '
            "(224.0.0.0/24, ff02::/10)",
        ],
    ),
    (
        "spec.sessionAffinity",
        "x",
        ['spec.sessionAffinity: Unsupported value: "x": supported values: "ClientIP", "None"'],
    ),
    (
        "spec.externalTrafficPolicy",
        "Local",
        ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
    ),
    (
        "spec.loadBalancerClass",
        "a/b",
        ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
    ),
    (
        "spec.loadBalancerSourceRanges",
        ["10.0.0.0/33"],
        [
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
            'spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.0/33": must be a valid CIDR value, '
            "(e.g. 10.9.8.0/24 or 2001:db8::/64)",
        ],
    ),
    (
        "spec.healthCheckNodePort",
        30000,
        [
            "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' and "
            "`externalTrafficPolicy` is 'Local'"
        ],
    ),
    (
        "spec.trafficDistribution",
        "x",
        [
            'spec.trafficDistribution: Unsupported value: "x": supported values: "PreferClose", "PreferSameNode", '
            '"PreferSameZone"'
        ],
    ),
    ("spec", {"type": "ExternalName"}, ["spec.externalName: Required value"]),
    (
        "spec",
        {"type": "ExternalName", "externalName": "a.example.", "clusterIPs": ["None"]},
        ["spec.clusterIPs: Forbidden: may not be set for ExternalName services"],
    ),
    ("spec", {"clusterIP": "None"}, []),
    (
        "spec",
        {"type": "NodePort", "clusterIP": "None"},
        ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), SERVICES)
def test_services_that_are_refused(path: str, value: Any, expected: list[str]) -> None:
    made = created("", "Service", changed(SERVICE, path, value))
    if made["spec"].get("clusterIP") and not made["spec"].get("clusterIPs"):
        made["spec"]["clusterIPs"] = [made["spec"]["clusterIP"]]  # the API does this before it allots
    assert causes("", "Service", made) == expected


def test_a_services_address_stays() -> None:
    old = changed(SERVICE, "spec.clusterIP", "10.0.0.1")
    old["spec"]["clusterIPs"] = ["10.0.0.1"]
    new = copied(old)
    new["spec"].update({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]})
    assert updated("", "Service", old, old) == []
    assert updated("", "Service", old, new) == [
        'spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'
    ]
    new["spec"].update({"clusterIP": "", "clusterIPs": []})
    assert updated("", "Service", old, new) == [
        "spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset"
    ]


def test_what_a_type_had_goes_with_it() -> None:
    rules = rules_of("", "Service")
    old = created("", "Service", changed(SERVICE, "spec.type", "LoadBalancer"))
    old["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    new = copied(old)
    new["spec"]["type"] = "ClusterIP"
    rules.default(new)
    rules.prepare_update(new, old)
    assert "externalTrafficPolicy" not in new["spec"]
    assert new["status"] == {"loadBalancer": {}}


CONFIGS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "ConfigMap",
        {"data": {"a b": "x"}},
        [
            "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' "
            "or "
            "'.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        ],
    ),
    (
        "ConfigMap",
        {"data": {"a": "x"}, "binaryData": {"a": "eA=="}},
        ['data[a]: Invalid value: "a": duplicate of key present in binaryData'],
    ),
    ("ConfigMap", {"data": {"a": "x" * (1024 * 1024 + 1)}}, ["[]: Too long: may not be more than 1048576 bytes"]),
    ("ConfigMap", {"data": {"..": "x"}}, ["data[..]: Invalid value: \"..\": must not be '..'"]),
    ("Secret", {"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
    ("Secret", {"type": "kubernetes.io/dockerconfigjson"}, ["data[.dockerconfigjson]: Required value"]),
    ("Secret", {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{}"}}, []),
    (
        "Secret",
        {"type": "kubernetes.io/basic-auth"},
        [
            "data[username]: Required value",
            "data[password]: Required value",
        ],
    ),
    ("Secret", {"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required value"]),
    (
        "Secret",
        {"type": "kubernetes.io/service-account-token"},
        ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    ),
    (
        "Secret",
        {"data": {"a": encoded("x" * (1024 * 1024 + 1))}},
        ["data: Too long: may not be more than 1048576 bytes"],
    ),
]


@pytest.mark.parametrize(("kind", "object", "expected"), CONFIGS)
def test_configuration_that_is_refused(kind: str, object: dict[str, Any], expected: list[str]) -> None:
    assert refused("", kind, object) == expected


def test_string_data_becomes_data() -> None:
    made = defaulted("", "Secret", {"data": {"a": encoded("old")}, "stringData": {"a": "new", "b": "é"}})
    assert made == {"data": {"a": encoded("new"), "b": encoded("é")}, "type": "Opaque"}


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_what_is_immutable_stays(kind: str) -> None:
    old = {"metadata": {"name": "x"}, "immutable": True, "data": {"a": "eA=="}}
    assert updated("", kind, old, old) == []
    assert updated("", kind, old, {**old, "data": {"a": "eQ=="}}) == [
        "data: Forbidden: field is immutable when `immutable` is set"
    ]
    assert updated("", kind, old, {**old, "immutable": None}) == [
        "immutable: Forbidden: field is immutable when `immutable` is set"
    ]
    free = {**old, "immutable": None}
    assert updated("", kind, free, {**free, "data": {"a": "eQ=="}}) == []


def test_a_secrets_type_stays() -> None:
    assert updated("", "Secret", {"type": "a/b"}, {"type": "a/c"}) == ['type: Invalid value: "a/c": field is immutable']


def test_namespaces() -> None:
    made = created("", "Namespace", {"metadata": {"name": "team"}})
    assert made == {
        "metadata": {"name": "team", "labels": {"kubernetes.io/metadata.name": "team"}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    rules = rules_of("", "Namespace")
    new = copied(made)
    new["spec"]["finalizers"] = []
    rules.prepare_update(new, made)
    assert new["spec"]["finalizers"] == ["kubernetes"]
    assert rules.fields(made) == {"status.phase": "Active"}
    (cause,) = rules.validate_status({"status": {"phase": "Terminating"}}, made)
    assert cause.message == "Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    assert refused("", "Namespace", {"metadata": {"name": "a"}, "spec": {"finalizers": ["mine"]}}) == [
        'spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'
    ]
