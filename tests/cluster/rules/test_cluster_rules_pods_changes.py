"""Pods: what may change, what subresources change, and what is said to the client."""

from typing import Any

import pytest
from pods_rules_kit import CONTAINER, LABEL, POD, C, P, pod
from rules_kit import causes, changed, created, updated

from boxship.cluster.objects.copies import copied
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.kinds.core_pod_updates import SUBRESOURCES, validate_binding


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


PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


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


def test_a_gated_pod_gets_an_affinity_for_nodes_and_no_other() -> None:
    old = pod("spec.schedulingGates", [{"name": "wait"}])

    def requiring(*values: str) -> dict[str, Any]:
        term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": [value]} for value in values]}
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}

    chosen = changed(old, "spec.affinity", requiring("a"))
    assert updated("", "Pod", old, chosen) == []
    assert updated("", "Pod", chosen, changed(chosen, "spec.affinity", requiring("a", "b"))) == []
    (told,) = updated("", "Pod", chosen, changed(chosen, "spec.affinity", requiring("b")))
    assert told.endswith("only additions are allowed (no mutations or deletions)")
    near = {"podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": {"topologyKey": "zone"}}]}}
    (told,) = updated("", "Pod", old, changed(old, "spec.affinity", {**requiring("a"), **near}))
    assert told.startswith("spec: Forbidden: pod updates may not change fields other than")


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
    limited = pod(C + "resources", {"limits": {"memory": "2Gi"}})
    _, found = subresource("resize", limited, changed(limited, C + "resources.limits.memory", "1Gi"))
    assert found == []  # its node looks whether it can do with less
    whole = pod("spec.resources", {"requests": {"cpu": "1", "memory": "1Gi"}})
    new, found = subresource("resize", whole, changed(whole, "spec.resources.requests.cpu", "2"))
    assert (found, new["spec"]["resources"]["requests"]["cpu"]) == ([], "2")
    _, found = subresource("resize", whole, changed(whole, "spec.resources.requests", {"cpu": "1"}))
    assert found == ["spec.resources.requests: Forbidden: resource requests cannot be removed"]
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
