"""The priority levels and flow schemas of every cluster (kubernetes.io, "API Priority and Fairness"; read back from a
stock 1.36 server)."""

from typing import Any

from boxship.cluster.objects import Object

API_VERSION = "flowcontrol.apiserver.k8s.io/v1"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
USER, NAMESPACE = "ByUser", "ByNamespace"


def _object(kind: str, name: str, spec: dict[str, Any]) -> Object:
    metadata = {"name": name, "annotations": {AUTOUPDATE: "true"}}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _level(name: str, shares: int, lendable: int, queues: int = 0, hand: int = 0) -> Object:
    response: dict[str, Any] = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": 50}
        response = {"type": "Queue", "queuing": queuing}
    limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}
    return _object("PriorityLevelConfiguration", name, {"type": "Limited", "limited": limited})


def _schema(
    name: str, level: str, precedence: int, subjects: list[Object], rule: dict[str, Any], flows: str = ""
) -> Object:
    spec: dict[str, Any] = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": subjects, **rule}],
    }
    if flows:
        spec["distinguisherMethod"] = {"type": flows}
    return _object("FlowSchema", name, spec)


def _group(name: str) -> Object:
    return {"kind": "Group", "group": {"name": name}}


def _user(name: str) -> Object:
    return {"kind": "User", "user": {"name": name}}


def _account(name: str) -> Object:
    return {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": name}}


def _resources(verbs: str, groups: str, resources: str, *, cluster: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
        "namespaces": ["*"],
    }
    if cluster:
        found["clusterScope"] = True
    return found


ANYTHING = {
    "resourceRules": [_resources("*", "*", "*")],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}
PROBES = {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]}
LEASES = {"resourceRules": [_resources("get create update", "coordination.k8s.io", "leases", cluster=False)]}
ENDPOINTS = {
    "resourceRules": [
        _resources("get create update", "core", "endpoints", cluster=False),
        _resources("get create update", "discovery.k8s.io", "endpointslices", cluster=False),
    ]
}
NODE_STATE = {
    "resourceRules": [
        _resources("*", "core", "nodes nodes/status"),
        _resources("*", "coordination.k8s.io", "leases", cluster=False),
    ]
}
EVERYBODY = [_group("system:unauthenticated"), _group("system:authenticated")]
CONTROLLERS, SCHEDULER = _user("system:kube-controller-manager"), _user("system:kube-scheduler")
ENDPOINT_ACCOUNTS = [_account(f"{name}-controller") for name in ("endpoint", "endpointslice", "endpointslicemirroring")]
EXEMPT = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}

LEVELS: tuple[Object, ...] = (
    _object("PriorityLevelConfiguration", "exempt", EXEMPT),
    _level("system", 30, 33, 64, 6),
    _level("node-high", 40, 25, 64, 6),
    _level("leader-election", 10, 0, 16, 4),
    _level("workload-high", 40, 50, 128, 6),
    _level("workload-low", 100, 90, 128, 6),
    _level("global-default", 20, 50, 128, 6),
    _level("catch-all", 5, 0),
)
SCHEMAS: tuple[Object, ...] = (
    _schema("exempt", "exempt", 1, [_group("system:masters")], ANYTHING),
    _schema("probes", "exempt", 2, EVERYBODY, PROBES),
    _schema("system-leader-election", "leader-election", 100, [CONTROLLERS, SCHEDULER], LEASES, USER),
    _schema("endpoint-controller", "workload-high", 150, ENDPOINT_ACCOUNTS, ENDPOINTS, USER),
    _schema("workload-leader-election", "leader-election", 200, [_account("*")], LEASES, USER),
    _schema("system-node-high", "node-high", 400, [_group("system:nodes")], NODE_STATE, USER),
    _schema("system-nodes", "system", 500, [_group("system:nodes")], ANYTHING, USER),
    _schema("kube-controller-manager", "workload-high", 800, [CONTROLLERS], ANYTHING, NAMESPACE),
    _schema("kube-scheduler", "workload-high", 800, [SCHEDULER], ANYTHING, NAMESPACE),
    _schema("kube-system-service-accounts", "workload-high", 900, [_account("*")], ANYTHING, NAMESPACE),
    _schema("service-accounts", "workload-low", 9000, [_group("system:serviceaccounts")], ANYTHING, USER),
    _schema("global-default", "global-default", 9900, EVERYBODY, ANYTHING, USER),
    _schema("catch-all", "catch-all", 10000, EVERYBODY, ANYTHING, USER),
)
