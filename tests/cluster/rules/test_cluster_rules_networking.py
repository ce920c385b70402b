"""The rules of networking.k8s.io and discovery.k8s.io: each wrong field with the original's words."""

from typing import Any

import pytest
from rules_kit import causes, changed, created, defaulted, refused, updated

from boxship.cluster.objects.kinds import rules_of

GROUP = "networking.k8s.io"
SERVICE = {"service": {"name": "web", "port": {"number": 80}}}
INGRESS: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "d"},
    "spec": {
        "ingressClassName": "nginx",
        "rules": [
            {"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": SERVICE}]}}
        ],
        "tls": [{"hosts": ["*.example.com"], "secretName": "cert"}],
    },
}
PATH = "spec.rules.0.http.paths.0"
AT = "spec.rules[0].http.paths[0]"
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)

INGRESS_CASES = [
    ("spec", {}, "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
    (
        "spec.rules.0.host",
        "10.0.0.1",
        'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
    ),
    ("spec.rules.0.host", "A", f'spec.rules[0].host: Invalid value: "A": {SUBDOMAIN}'),
    ("spec.rules.0.http", {}, "spec.rules[0].http.paths: Required value"),
    (f"{PATH}.pathType", None, f"{AT}.pathType: Required value: pathType must be specified"),
    (
        f"{PATH}.pathType",
        "Glob",
        f'{AT}.pathType: Unsupported value: "Glob": supported values: "Exact", "ImplementationSpecific", "Prefix"',
    ),
    (f"{PATH}.path", "x", f'{AT}.path: Invalid value: "x": must be an absolute path'),
    (f"{PATH}.path", None, f'{AT}.path: Invalid value: "": must be an absolute path'),
    (f"{PATH}.path", "/a//b", f"{AT}.path: Invalid value: \"/a//b\": must not contain '//'"),
    (f"{PATH}.path", "/a/%2fb", f"{AT}.path: Invalid value: \"/a/%2fb\": must not contain '%2f'"),
    (f"{PATH}.path", "/a/..", f"{AT}.path: Invalid value: \"/a/..\": cannot end with '/..'"),
    (f"{PATH}.backend", {}, f'{AT}.backend: Invalid value: "": resource or service backend is required'),
    (
        f"{PATH}.backend.resource",
        {"kind": "K", "name": "n"},
        f'{AT}.backend: Invalid value: "": cannot set both resource and service backends',
    ),
    (f"{PATH}.backend", {"resource": {"kind": "K"}}, f"{AT}.backend.resource.name: Required value"),
    (f"{PATH}.backend.service.name", "", f"{AT}.backend.service.name: Required value"),
    (f"{PATH}.backend.service.port", {}, f"{AT}.backend: Required value: port name or number is required"),
    (
        f"{PATH}.backend.service.port",
        {"name": "http", "number": 80},
        f'{AT}.backend: Invalid value: "": cannot set both port name & port number',
    ),
    (
        f"{PATH}.backend.service.port.number",
        70000,
        f"{AT}.backend.service.port.number: Invalid value: 70000: must be between 1 and 65535, inclusive",
    ),
    (
        f"{PATH}.backend.service.port",
        {"name": "-x"},
        f'{AT}.backend.service.port.name: Invalid value: "-x": must not begin or end with a hyphen',
    ),
    ("spec.tls.0.secretName", "A", f'spec.tls[0].secretName: Invalid value: "A": {SUBDOMAIN}'),
    ("spec.ingressClassName", "A", f'spec.ingressClassName: Invalid value: "A": {SUBDOMAIN}'),
    (
        "metadata.annotations",
        {"kubernetes.io/ingress.class": "other"},
        'annotations.kubernetes.io/ingress.class: Invalid value: "other": must match `ingressClassName` when both are '
        "specified",
    ),
]


@pytest.mark.parametrize(("path", "value", "cause"), INGRESS_CASES)
def test_ingress(path: str, value: Any, cause: str) -> None:
    assert refused(GROUP, "Ingress", INGRESS) == []
    assert cause in refused(GROUP, "Ingress", changed(INGRESS, path, value))


@pytest.mark.parametrize("path", ["*.example.com", "b.example.com"])
def test_ingress_hosts(path: str) -> None:
    assert refused(GROUP, "Ingress", changed(INGRESS, "spec.rules.0.host", path)) == []


def test_ingress_status_is_not_the_clients() -> None:
    sent = changed(INGRESS, "status.loadBalancer.ingress", [{"ip": "1.2.3.4"}])
    assert created(GROUP, "Ingress", sent)["status"] == {"loadBalancer": {}}
    rules = rules_of(GROUP, "Ingress")
    found = rules.validate_status(
        {"status": {"loadBalancer": {"ingress": [{"ip": "x"}, {"hostname": "1.2.3.4"}, {"hostname": "A"}]}}}, {}
    )
    assert [cause.field for cause in found] == [
        "status.loadBalancer.ingress[0].ip",
        "status.loadBalancer.ingress[1].hostname",
        "status.loadBalancer.ingress[2].hostname",
    ]


def test_the_old_annotation_warns() -> None:
    marked = changed(INGRESS, "metadata.annotations", {"kubernetes.io/ingress.class": "nginx"})
    assert rules_of(GROUP, "Ingress").warnings(marked) == ()
    old = changed(marked, "spec.ingressClassName", None)
    (warning,) = rules_of(GROUP, "Ingress").warnings(old)
    assert warning == (
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    )


CLASS: dict[str, Any] = {
    "metadata": {"name": "nginx"},
    "spec": {"controller": "example.com/ingress", "parameters": {"kind": "K", "name": "n"}},
}
CLASS_CASES = [
    ("spec.controller", "", "spec.controller: Required value"),
    (
        "spec.controller",
        "x",
        'spec.controller: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")',
    ),
    ("spec.controller", "a.b/" + "c" * 250, "spec.controller: Too long: may not be more than 250 bytes"),
    ("spec.parameters.kind", None, "spec.parameters.kind: Required value"),
    ("spec.parameters.name", "a/b", "spec.parameters.name: Invalid value: \"a/b\": may not contain '/'"),
    (
        "spec.parameters.scope",
        "World",
        'spec.parameters.scope: Unsupported value: "World": supported values: "Cluster", "Namespace"',
    ),
    (
        "spec.parameters.scope",
        "Namespace",
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
    ),
    (
        "spec.parameters.namespace",
        "d",
        "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
    ),
]


@pytest.mark.parametrize(("path", "value", "cause"), CLASS_CASES)
def test_ingress_class(path: str, value: Any, cause: str) -> None:
    assert defaulted(GROUP, "IngressClass", CLASS)["spec"]["parameters"]["scope"] == "Cluster"
    assert refused(GROUP, "IngressClass", CLASS) == []
    assert cause in refused(GROUP, "IngressClass", changed(CLASS, path, value))


def test_the_controller_of_a_class_stays() -> None:
    new = changed(CLASS, "spec.controller", "example.com/other")
    assert updated(GROUP, "IngressClass", CLASS, new) == [
        'spec.controller: Invalid value: "example.com/other": field is immutable'
    ]


POLICY: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "d"},
    "spec": {
        "podSelector": {},
        "ingress": [
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 80}]},
        ],
    },
}
PORT, PEER = "spec.ingress.0.ports.0", "spec.ingress.0.from.0"
POLICY_CASES = [
    (
        f"{PORT}.protocol",
        "ICMP",
        'spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
    (
        f"{PORT}.port",
        0,
        "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
    ),
    (
        f"{PORT}.endPort",
        70,
        "spec.ingress[0].ports[0].endPort: Invalid value: 70: must be greater than or equal to `port`",
    ),
    (
        PORT,
        {"endPort": 70},
        "spec.ingress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is not specified",
    ),
    (
        PORT,
        {"endPort": 70, "port": "http"},
        "spec.ingress[0].ports[0].endPort: Invalid value: 70: may not be specified when `port` is non-numeric",
    ),
    (PEER, {}, "spec.ingress[0].from[0]: Required value: must specify a peer"),
    (
        f"{PEER}.podSelector",
        {"matchLabels": {"a": "b"}},
        "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer",
    ),
    (f"{PEER}.ipBlock.cidr", "", "spec.ingress[0].from[0].ipBlock.cidr: Required value"),
    (
        f"{PEER}.ipBlock.cidr",
        "10.0.0.0",
        'spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. '
        "10.9.8.0/24 or 2001:db8::/64)",
    ),
    (
        f"{PEER}.ipBlock.except",
        ["11.0.0.0/16"],
        'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`',
    ),
    (
        f"{PEER}.ipBlock.except",
        ["10.0.0.0/8"],
        'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`',
    ),
    (
        "spec.policyTypes",
        ["Both"],
        'spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"',
    ),
    (
        "spec.policyTypes",
        ["Ingress", "Egress", "Ingress"],
        'spec.policyTypes: Invalid value: ["Ingress","Egress","Ingress"]: may not specify more than two policyTypes',
    ),
]


@pytest.mark.parametrize(("path", "value", "cause"), POLICY_CASES)
def test_network_policy(path: str, value: Any, cause: str) -> None:
    assert refused(GROUP, "NetworkPolicy", POLICY) == []
    assert cause in refused(GROUP, "NetworkPolicy", changed(POLICY, path, value))


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ["Ingress"]),
        ({"egress": [{}]}, ["Ingress", "Egress"]),
        ({"egress": []}, ["Ingress"]),
        ({"policyTypes": ["Egress"]}, ["Egress"]),
    ],
)
def test_the_types_of_a_policy(spec: dict[str, Any], types: list[str]) -> None:
    assert defaulted(GROUP, "NetworkPolicy", {"spec": spec})["spec"]["policyTypes"] == types


def test_ports_of_a_policy_are_tcp() -> None:
    port = defaulted(GROUP, "NetworkPolicy", POLICY)["spec"]["ingress"][0]["ports"][0]
    assert port == {"port": 80, "protocol": "TCP"}


def test_ambiguous_ranges_warn() -> None:
    blurred = changed(POLICY, f"{PEER}.ipBlock.cidr", "10.0.0.1/8")
    (warning,) = rules_of(GROUP, "NetworkPolicy").warnings(blurred)
    assert warning == (
        'spec.ingress[0].from[0].ipBlock.cidr: CIDR value "10.0.0.1/8" is ambiguous in this context (should be '
        '"10.0.0.0/8" or "10.0.0.1/32"?)'
    )


def ranges(*cidrs: str) -> dict[str, Any]:
    return {"metadata": {"name": "r"}, "spec": {"cidrs": list(cidrs)}}


@pytest.mark.parametrize(
    ("cidrs", "cause"),
    [
        ((), "spec.cidrs: Required value: at least one CIDR required"),
        (("10.0.0.0/24",) * 3, "may only hold up to 2 values"),
        (
            ("10.0.0.1/24",),
            'spec.cidrs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length',
        ),
        (("010.0.0.0/24",), "must be a valid CIDR value"),
        (("2001:DB8::/64",), 'must be in canonical form ("2001:db8::/64")'),
        (("10.0.0.0/24", "10.1.0.0/24"), "may specify no more than one IP for each IP family"),
    ],
)
def test_service_ranges(cidrs: tuple[str, ...], cause: str) -> None:
    assert any(cause in found for found in refused(GROUP, "ServiceCIDR", ranges(*cidrs)))


def test_a_second_family_may_be_added_to_a_range() -> None:
    one, two = ranges("10.0.0.0/24"), ranges("10.0.0.0/24", "fd00::/64")
    assert updated(GROUP, "ServiceCIDR", one, two) == []
    assert updated(GROUP, "ServiceCIDR", two, one) == ['spec.cidrs: Invalid value: ["10.0.0.0/24"]: field is immutable']
    other = updated(GROUP, "ServiceCIDR", one, ranges("10.1.0.0/24"))
    assert other == ['spec.cidrs[0]: Invalid value: "10.1.0.0/24": field is immutable']


ADDRESS = {
    "metadata": {"name": "10.0.0.1"},
    "spec": {"parentRef": {"resource": "services", "name": "s", "namespace": "d"}},
}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("10.0.0.1", ""),
        ("2001:db8::1", ""),
        ("x", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        ("010.0.0.1", "must not have leading 0s"),
        ("2001:DB8::1", 'must be in canonical form ("2001:db8::1")'),
    ],
)
def test_names_of_addresses(name: str, why: str) -> None:
    check = rules_of(GROUP, "IPAddress").validate_name
    assert check is not None and check(name) == why


def test_the_parent_of_an_address() -> None:
    assert refused(GROUP, "IPAddress", ADDRESS) == []
    assert refused(GROUP, "IPAddress", changed(ADDRESS, "spec.parentRef", None)) == ["spec.parentRef: Required value"]
    assert refused(GROUP, "IPAddress", changed(ADDRESS, "spec.parentRef", {})) == [
        "spec.parentRef.resource: Required value",
        "spec.parentRef.name: Required value",
    ]
    moved = updated(GROUP, "IPAddress", ADDRESS, changed(ADDRESS, "spec.parentRef.name", "t"))
    assert moved[0].startswith("spec.parentRef: Invalid value") and moved[0].endswith("field is immutable")


SLICE: dict[str, Any] = {
    "metadata": {"name": "s", "namespace": "d"},
    "addressType": "IPv4",
    "endpoints": [{"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "a"}]}}],
    "ports": [{"port": 80}],
}
SLICE_CASES = [
    ("addressType", None, "addressType: Required value"),
    ("addressType", "IP", 'addressType: Unsupported value: "IP": supported values: "FQDN", "IPv4", "IPv6"'),
    ("endpoints.0.addresses", [], "endpoints[0].addresses: Required value: must contain at least 1 address"),
    ("endpoints.0.addresses", ["10.0.0.1"] * 101, "endpoints[0].addresses: Too many: 101: must have at most 100 items"),
    (
        "endpoints.0.addresses.0",
        "127.0.0.1",
        'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range '
        "(127.0.0.0/8, ::1/128)",
    ),
    (
        "endpoints.0.addresses.0",
        "fd00::1",
        'endpoints[0].addresses[0]: Invalid value: "fd00::1": must be an IPv4 address',
    ),
    (
        "endpoints.0.hints.forZones",
        [{"name": "a"}, {"name": "a"}],
        'endpoints[0].hints.forZones[1].name: Duplicate value: "a"',
    ),
    ("ports", [{"port": 80}, {"port": 81}], 'ports[1].name: Duplicate value: ""'),
    (
        "ports.0.protocol",
        "ICMP",
        'ports[0].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
    ),
]


@pytest.mark.parametrize(("path", "value", "cause"), SLICE_CASES)
def test_endpoint_slice(path: str, value: Any, cause: str) -> None:
    group = "discovery.k8s.io"
    assert refused(group, "EndpointSlice", SLICE) == []
    assert cause in refused(group, "EndpointSlice", changed(SLICE, path, value))


def test_endpoint_slices_of_names() -> None:
    group = "discovery.k8s.io"
    named = changed(changed(SLICE, "addressType", "FQDN"), "endpoints.0.addresses", ["a.example.com", "alone"])
    assert refused(group, "EndpointSlice", named) == [
        'endpoints[0].addresses[1]: Invalid value: "alone": should be a domain with at least two segments separated by '
        "dots"
    ]
    assert updated(group, "EndpointSlice", SLICE, changed(named, "endpoints", [])) == [
        'addressType: Invalid value: "FQDN": field is immutable'
    ]
    ports = defaulted(group, "EndpointSlice", SLICE)["ports"]
    assert ports == [{"port": 80, "name": "", "protocol": "TCP"}]
    assert causes(group, "EndpointSlice", {**SLICE, "ports": ports}) == []


def test_labels_of_endpoint_slices_count() -> None:
    rules = rules_of("discovery.k8s.io", "EndpointSlice")
    old = changed(SLICE, "metadata.generation", 3)
    new = changed(old, "metadata.labels", {"kubernetes.io/service-name": "web"})
    rules.prepare_update(new, old)
    assert new["metadata"]["generation"] == 4
    same = changed(old, "metadata.annotations", {"a": "b"})
    rules.prepare_update(same, old)
    assert same["metadata"]["generation"] == 3
