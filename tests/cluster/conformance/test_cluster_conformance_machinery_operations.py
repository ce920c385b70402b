"""Every verb of the kinds by which the API itself is governed, and policies at work."""

from typing import Any

import pytest
from conformance_kit import Space
from watching_kit import watching

pytestmark = pytest.mark.slow

MERGE = {"Content-Type": "application/merge-patch+json"}
FLOWS, POLICIES = "flowcontrol.apiserver.k8s.io", "admissionregistration.k8s.io"
NONE_RULE = {"apiGroups": ["none.example.com"], "apiVersions": ["*"], "operations": ["*"], "resources": ["nothings"]}
MATCH = {"resourceRules": [NONE_RULE]}
FLOW = {
    "priorityLevelConfiguration": {"name": "global-default"},
    "matchingPrecedence": 9999,
    "distinguisherMethod": {"type": "ByUser"},
    "rules": [
        {
            "subjects": [{"kind": "User", "user": {"name": "nobody-of-the-suite"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }
    ],
}
LEVEL = {"type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}}
POLICY = {"matchConstraints": MATCH, "validations": [{"expression": "object.spec.replicas <= 100", "message": "many"}]}
BINDING = {"policyName": "nothing.example.com", "validationActions": ["Deny"]}
MUTATION = {
    "matchConstraints": MATCH,
    "reinvocationPolicy": "Never",
    "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}],
}


# Covers: Priority and Fairness FlowSchema API; Priority and Fairness PriorityLevelConfiguration API;
# ValidatingAdmissionPolicy API; ValidatingAdmissionPolicyBinding API.
@pytest.mark.parametrize(
    ("group", "plural", "spec", "has_status"),
    [
        (FLOWS, "flowschemas", FLOW, True),
        (FLOWS, "prioritylevelconfigurations", LEVEL, True),
        (POLICIES, "validatingadmissionpolicies", POLICY, True),
        (POLICIES, "validatingadmissionpolicybindings", BINDING, False),
        (POLICIES, "mutatingadmissionpolicies", MUTATION, False),
        (POLICIES, "mutatingadmissionpolicybindings", {"policyName": "nothing.example.com"}, False),
    ],
)
def test_every_verb(space: Space, group: str, plural: str, spec: dict[str, Any], has_status: bool) -> None:
    control, place = space.cluster.control, f"/apis/{group}/v1/{plural}"
    selector = f"of={space.name}"
    names = [f"{space.name}-{letter}" for letter in "abc"]

    groups = {each["name"]: each["versions"] for each in control.request("GET", "/apis").object["groups"]}
    one = {"groupVersion": f"{group}/v1", "version": "v1"}
    assert one in groups[group] and one in control.request("GET", f"/apis/{group}").object["versions"]
    resources = {each["name"]: each for each in control.request("GET", f"/apis/{group}/v1").object["resources"]}
    assert not resources[plural]["namespaced"]
    assert (f"{plural}/status" in resources) == has_status

    for name in names:
        body = {"metadata": {"name": name, "labels": {"of": space.name}}, "spec": spec}
        made = control.request("POST", place, body)
        assert made.status == 201, made.body
        assert made.object["metadata"]["uid"] and made.object["spec"].keys() >= spec.keys()
    first = f"{place}/{names[0]}"
    assert control.request("GET", first).object["metadata"]["name"] == names[0]
    listed = control.request("GET", f"{place}?labelSelector={selector}").object
    assert [each["metadata"]["name"] for each in listed["items"]] == names

    since = listed["metadata"]["resourceVersion"]
    with watching(space.cluster, place, labelSelector=selector, resourceVersion=since) as seen:
        patched = control.request("PATCH", first, {"metadata": {"annotations": {"patched": "yes"}}}, MERGE)
        assert patched.object["metadata"]["annotations"] == {"patched": "yes"}
        assert patched.object["metadata"].get("generation", 1) == 1

        def updated() -> bool:
            whole = control.request("GET", first).object
            whole["metadata"]["annotations"]["updated"] = "yes"
            return control.request("PUT", first, whole).status == 200

        space.until(updated, "nobody else writes it meanwhile")
        if has_status:
            written_status(space, first, plural)
        assert control.request("DELETE", first).status == 200
        assert control.request("GET", first).status == 404
        space.until(lambda: ("DELETED", names[0]) in seen.told, "the end is told")
        changed = [each["object"]["metadata"]["annotations"] for each in seen.events if each["type"] == "MODIFIED"]
        assert {"patched": "yes"} in changed and {"patched": "yes", "updated": "yes"} in changed
    assert control.request("DELETE", f"{place}?labelSelector={selector}").status == 200
    assert control.request("GET", f"{place}?labelSelector={selector}").object["items"] == []


def written_status(space: Space, place: str, plural: str) -> None:
    """By a patch and by an update, and nothing else of the object with it."""
    control = space.cluster.control
    kinds = {"flowschemas": "Dangling"}
    condition = {"type": kinds.get(plural, "Noted"), "status": "False", "reason": "ByPatch", "message": "m"}
    stamp = {"lastTransitionTime": "2026-01-01T00:00:00Z"}
    found = control.request("PATCH", f"{place}/status", {"status": {"conditions": [{**condition, **stamp}]}}, MERGE)
    assert found.status == 200, found.body
    assert "ByPatch" in {each["reason"] for each in found.object["status"]["conditions"]}

    def replaced() -> bool:
        whole = control.request("GET", f"{place}/status").object
        whole["status"]["conditions"] = [{**condition, **stamp, "reason": "ByUpdate"}]
        answer = control.request("PUT", f"{place}/status", whole)
        return answer.status == 200 and answer.object["status"]["conditions"][0]["reason"] == "ByUpdate"

    space.until(replaced, "nobody else writes the status meanwhile")


# Covers: ValidatingAdmissionPolicy.
@pytest.mark.parametrize("by_variables", [False, True], ids=["plain", "variables"])
def test_deployments_are_judged_by_a_policy(space: Space, by_variables: bool) -> None:
    control, name = space.cluster.control, f"{space.name}-replicas"
    rule = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
    spec: dict[str, Any] = {"matchConstraints": {"resourceRules": [rule]}}
    if by_variables:
        spec["variables"] = [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"},
        ]
        spec["validations"] = [
            {"expression": "variables.replicas > 1", "messageExpression": "'too few: ' + string(variables.replicas)"},
            {"expression": "variables.oddReplicas", "message": "an even number"},
        ]
        good, bad = 3, {1: "too few: 1", 2: "an even number"}
    else:
        spec["validations"] = [{"expression": "object.spec.replicas > 1"}, {"expression": "object.spec.replicas < 4"}]
        good, bad = (
            2,
            {1: "failed expression: object.spec.replicas > 1", 4: "failed expression: object.spec.replicas < 4"},
        )
    labels = {"app": "web"}
    box = {"name": "c", "image": "busybox"}
    pod = {"metadata": {"labels": labels}, "spec": {"nodeSelector": {"no-node": "has-this"}, "containers": [box]}}

    def created(replicas: int) -> Any:
        wanted = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
        return space.request("POST", "apps/v1/deployments", {"metadata": {"name": f"web-{replicas}"}, "spec": wanted})

    root = f"/apis/{POLICIES}/v1"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": space.name}}
    binding = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}}
    try:
        made = control.request(
            "POST", f"{root}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec}
        )
        assert made.status == 201, made.body
        body = {"metadata": {"name": name}, "spec": binding}
        assert control.request("POST", f"{root}/validatingadmissionpolicybindings", body).status == 201
        for replicas, why in bad.items():
            refused = created(replicas)
            assert refused.status == 422, refused.body
            text = f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {why}"
            assert text in refused.object["message"]
        assert created(good).status == 201
        headers = {"Content-Type": "application/merge-patch+json"}
        changed = space.request("PATCH", f"apps/v1/deployments/web-{good}", {"spec": {"replicas": 1}}, headers)
        assert changed.status == 422 and f"ValidatingAdmissionPolicy '{name}'" in changed.object["message"]
        for action in ("Warn", "Audit"):
            change = {"spec": {"validationActions": [action]}}
            assert (
                control.request("PATCH", f"{root}/validatingadmissionpolicybindings/{name}", change, MERGE).status
                == 200
            )
            answer = created({"Warn": 1, "Audit": 2 if by_variables else 4}[action])
            assert answer.status == 201
            assert ("Warning" in answer.headers) == (action == "Warn")
    finally:
        control.request("DELETE", f"{root}/validatingadmissionpolicybindings/{name}")
        control.request("DELETE", f"{root}/validatingadmissionpolicies/{name}")


def test_expressions_are_checked_and_mutations_carried_out(space: Space) -> None:
    """Beyond the list: what does not fit the types is told in the policy's status; policies may change objects."""
    control, name, root = space.cluster.control, f"{space.name}-typed", f"/apis/{POLICIES}/v1"
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.spec.replicas > '1'"}, {"expression": "object.spec.maxRetries < 4"}],
    }
    made = control.request("POST", f"{root}/validatingadmissionpolicies", {"metadata": {"name": name}, "spec": spec})
    assert made.status == 201
    place = f"{root}/validatingadmissionpolicies/{name}"
    try:
        space.until(
            lambda: control.request("GET", place).object.get("status", {}).get("observedGeneration") == 1,
            "it is checked",
        )
        warnings = control.request("GET", place).object["status"]["typeChecking"]["expressionWarnings"]
        assert [each["fieldRef"] for each in warnings] == [f"spec.validations[{index}].expression" for index in (0, 1)]
        assert all("apps/v1, Kind=Deployment" in each["warning"] for each in warnings)
        assert "undefined field 'maxRetries'" in warnings[1]["warning"]
    finally:
        control.request("DELETE", place)

    maps = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    labelled = "Object{metadata: Object.metadata{labels: {'set-by': variables.who}}}"
    spec = {
        "matchConstraints": {"resourceRules": [maps]},
        "reinvocationPolicy": "Never",
        "variables": [{"name": "who", "expression": "'a-' + 'policy'"}],
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": labelled}}],
    }
    selector = {"matchLabels": {"kubernetes.io/metadata.name": space.name}}
    binding = {"policyName": name, "matchResources": {"namespaceSelector": selector}}
    try:
        for plural, body in (("mutatingadmissionpolicies", spec), ("mutatingadmissionpolicybindings", binding)):
            made = control.request("POST", f"{root}/{plural}", {"metadata": {"name": name}, "spec": body})
            assert made.status == 201, made.body
        found = space.made("configmaps", {"metadata": {"name": "one", "labels": {"own": "yes"}}})
        assert found["metadata"]["labels"] == {"own": "yes", "set-by": "a-policy"}
    finally:
        for plural in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
            control.request("DELETE", f"{root}/{plural}/{name}")
