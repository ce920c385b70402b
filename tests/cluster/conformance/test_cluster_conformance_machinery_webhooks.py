"""Admission webhooks that run in the cluster: what they are asked about, may refuse, may change, and may not."""

import concurrent.futures
import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conformance_kit import Space
from control_kit import Answer
from hooks_kit import CONFIGURATIONS, Hooks, serving_hooks
from nodes_kit import Cluster

pytestmark = pytest.mark.slow

JSON_PATCH = "application/json-patch+json"
CONDITION = {"name": "not-me", "expression": "object.metadata.name != 'skip-me'"}
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def hooks(suite: Cluster) -> Iterator[Hooks]:
    with serving_hooks(suite, "hooks-admission") as served:
        yield served


def new_map(space: Space, data: dict[str, str] | None = None, name: str = "", **metadata: Any) -> Answer:
    chosen = name or f"map-{next(_numbers)}"
    return space.request("POST", "configmaps", {"metadata": {"name": chosen, **metadata}, "data": data or {}})


def says(answer: Answer, text: str) -> bool:
    """The request was refused, and that is why."""
    return answer.status >= 400 and text in answer.object["message"]


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    box = {"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "600"]}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [box]}
    return {"metadata": {"name": name, **metadata}, "spec": spec}


# Covers: Admission webhook, discovery document.
def test_the_group_of_webhooks_is_discovered(suite: Cluster) -> None:
    groups = {each["name"]: each for each in suite.control.request("GET", "/apis").object["groups"]}
    versions = [each["groupVersion"] for each in groups["admissionregistration.k8s.io"]["versions"]]
    assert "admissionregistration.k8s.io/v1" in versions
    own = suite.control.request("GET", "/apis/admissionregistration.k8s.io").object
    assert {"groupVersion": "admissionregistration.k8s.io/v1", "version": "v1"} in own["versions"]
    names = {each["name"] for each in suite.control.request("GET", CONFIGURATIONS).object["resources"]}
    assert {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} <= names


# Covers: Admission webhook, deny create.
def test_what_does_not_comply_is_refused(space: Space, hooks: Hooks) -> None:
    selector = {
        "matchLabels": {"kubernetes.io/metadata.name": space.name},
        "matchExpressions": [{"key": "skip", "operator": "NotIn", "values": ["yes"]}],
    }
    operations, hanging = ["CREATE", "UPDATE"], {"key": "verdict", "values": ["hang"]}
    short: dict[str, Any] = {"timeoutSeconds": 1, "name": "hang.hooks.example.com"}
    both: list[tuple[str, dict[str, Any]]] = [("NotIn", {}), ("In", short)]
    rules = [
        hooks.webhook(
            "/judge",
            "pods",
            "configmaps",
            operations=operations,
            namespaceSelector=selector,
            objectSelector={"matchExpressions": [{**hanging, "operator": operator}]},
            **more,
        )
        for operator, more in both
    ]
    with hooks.configured("Validating", f"{space.name}-judge", rules):
        refused = space.request("POST", "pods", pod("bad", labels={"verdict": "no"}))
        text = 'admission webhook "judge.hooks.example.com" denied the request: the Pod contains unwanted data'
        assert says(refused, text)
        began = time.monotonic()
        hung = space.request("POST", "pods", pod("hanging", labels={"verdict": "hang"}))
        assert says(hung, "deadline") and 1 <= time.monotonic() - began < 30
        assert hung.object["message"].startswith(
            'Internal error occurred: failed calling webhook "hang.hooks.example.com": failed to call webhook: Post '
            f'"https://hooks.{hooks.namespace}.svc:443/judge?timeout=1s": '
        )
        assert says(new_map(space, {"verdict": "no"}), "the ConfigMap contains unwanted data")
        assert new_map(space, {"verdict": "yes"}, "good").status == 201
        whole = space.read("configmaps/good") | {"data": {"verdict": "no"}}
        assert says(space.request("PUT", "configmaps/good", whole), "unwanted data")
        headers = {"Content-Type": "application/merge-patch+json"}
        changed = space.request("PATCH", "configmaps/good", {"data": {"verdict": "no"}}, headers)
        assert says(changed, "unwanted data")
        assert "unwanted data" in space.refusal("create", "configmap", "bad", "--from-literal=verdict=no")
        assert space.is_gone("pods/bad") and space.is_gone("pods/hanging") and space.is_gone("configmaps/bad")
        space.cluster.kubectl("label", "namespace", space.name, "skip=yes")
        assert new_map(space, {"verdict": "no"}).status == 201


# Covers: Admission webhook, deny attach.
def test_attaching_is_refused(space: Space, hooks: Hooks) -> None:
    space.made("pods", pod("web"))
    space.until_phase("web", "Running")
    rules = [hooks.webhook("/deny", "pods/attach", only=space.name, operations=["CONNECT"])]
    with hooks.configured("Validating", f"{space.name}-attach", rules):
        said = space.refusal("attach", "web", "-i", "-c", "c", timeout=30)
        assert 'admission webhook "deny.hooks.example.com" denied the request: CONNECT is not wanted' in said
        assert space.shell("web", "echo exec is no attach") == "exec is no attach\n"


# Covers: Admission webhook, ordered mutation; Admission webhook, mutation with defaulting;
# Mutating Admission webhook, mutating webhook excluding object with specific name.
def test_objects_are_changed_in_order_and_completed_afterwards(space: Space, hooks: Hooks) -> None:
    rules = [hooks.webhook(path, "configmaps", only=space.name) for path in ("/first", "/second")]
    with hooks.configured("Mutating", f"{space.name}-maps", rules):
        assert new_map(space, {"start": "yes"}).object["data"] == {"start": "yes", "first": "yes", "second": "yes"}
        assert new_map(space, {"other": "yes"}).object["data"] == {"other": "yes"}
    with hooks.configured("Mutating", f"{space.name}-pods", [hooks.webhook("/sidecar", "pods", only=space.name)]):
        (added,) = space.made("pods", pod("web"))["spec"]["initContainers"]
        assert (added["name"], added["terminationMessagePolicy"]) == ("added-by-webhook", "File")
        assert added["terminationMessagePath"] == "/dev/termination-log"
        assert [each["mountPath"] for each in added["volumeMounts"]] == [
            "/var/run/secrets/kubernetes.io/serviceaccount"
        ]
    space.until_ready("web")
    assert space.pod("web")["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    rules = [hooks.webhook("/first", "configmaps", only=space.name, matchConditions=[CONDITION])]
    with hooks.configured("Mutating", f"{space.name}-named", rules):
        assert new_map(space, {"start": "yes"}, "skip-me").object["data"] == {"start": "yes"}
        assert new_map(space, {"start": "yes"}).object["data"] == {"start": "yes", "first": "yes"}


# Covers: Admission webhook, update mutating webhook; Admission webhook, update validating webhook.
@pytest.mark.parametrize("kind", ["Mutating", "Validating"])
def test_a_changed_configuration_is_obeyed(space: Space, hooks: Hooks, kind: str) -> None:
    path = "/first" if kind == "Mutating" else "/judge"
    rules = [hooks.webhook(path, "configmaps", only=space.name, operations=["CREATE"])]
    control = space.cluster.control

    def asked() -> bool:
        """Whether the webhook had its way with a new config map."""
        answer = new_map(space, {"start": "yes", "verdict": "no"})
        return says(answer, "unwanted data") if kind == "Validating" else "first" in answer.object["data"]

    with hooks.configured(kind, f"{space.name}-changing", rules) as place:
        assert asked()
        whole = control.request("GET", place).object
        whole["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
        assert control.request("PUT", place, whole).status == 200
        assert not asked()
        change = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
        assert control.request("PATCH", place, change, {"Content-Type": JSON_PATCH}).status == 200
        assert asked()


# Covers: Admission webhook, list mutating webhooks; Admission webhook, list validating webhooks.
@pytest.mark.parametrize("kind", ["Mutating", "Validating"])
def test_configurations_are_listed_and_deleted_together(space: Space, hooks: Hooks, kind: str) -> None:
    path = "/first" if kind == "Mutating" else "/judge"
    plural = f"{CONFIGURATIONS}/{kind.lower()}webhookconfigurations"
    selected = f"{plural}?labelSelector=of={space.name}"
    control = space.cluster.control
    for number in range(10):
        rules = [hooks.webhook(path, "configmaps", only=space.name)]
        metadata = {"name": f"{space.name}-{number}", "labels": {"of": space.name}}
        assert control.request("POST", plural, {"metadata": metadata, "webhooks": rules}).status == 201
    assert len(control.request("GET", selected).object["items"]) == 10
    asked = new_map(space, {"start": "yes", "verdict": "no"})
    assert says(asked, "unwanted data") if kind == "Validating" else asked.object["data"]["first"] == "yes"
    assert control.request("DELETE", selected).status == 200
    assert control.request("GET", selected).object["items"] == []
    data = {"start": "yes", "verdict": "no"}
    assert new_map(space, data).object["data"] == data


# Covers: Mutating Admission webhook, create and update mutating webhook configuration with matchConditions;
# Validating Admission webhook, create and update validating webhook configuration with matchConditions;
# Mutating Admission webhook, reject mutating webhook configurations with invalid matchConditions;
# Validating Admission webhook, reject validating webhook configurations with invalid matchConditions.
@pytest.mark.parametrize("kind", ["Mutating", "Validating"])
def test_conditions_are_kept_and_compiled(space: Space, hooks: Hooks, kind: str) -> None:
    control = space.cluster.control
    rules = [hooks.webhook("/deny", "configmaps", only=space.name, matchConditions=[CONDITION])]
    with hooks.configured(kind, f"{space.name}-conditions", rules) as place:
        whole = control.request("GET", place).object
        assert whole["webhooks"][0]["matchConditions"] == [CONDITION]
        more = [CONDITION, {"name": "not-i", "expression": "object.metadata.name != 'skip-i'"}]
        whole["webhooks"][0]["matchConditions"] = more
        assert control.request("PUT", place, whole).status == 200
        assert control.request("GET", place).object["webhooks"][0]["matchConditions"] == more
    wrong = {"name": "wrong", "expression": "... [] bad expression"}
    rules = [hooks.webhook("/deny", "configmaps", only=space.name, matchConditions=[wrong])]
    plural = f"{CONFIGURATIONS}/{kind.lower()}webhookconfigurations"
    answer = control.request("POST", plural, {"metadata": {"name": f"{space.name}-wrong"}, "webhooks": rules})
    assert says(answer, "compilation failed") and answer.status == 422
    assert control.request("GET", f"{plural}/{space.name}-wrong").status == 404


# Covers: Admission webhook, admission control not allowed on webhook configuration objects.
def test_configurations_themselves_are_out_of_reach(space: Space, hooks: Hooks) -> None:
    of_these = [f"admissionregistration.k8s.io/v1/{kind}webhookconfigurations" for kind in ("validating", "mutating")]
    control = space.cluster.control
    with (
        hooks.configured("Validating", f"{space.name}-deny", [hooks.webhook("/deny", *of_these)]),
        hooks.configured("Mutating", f"{space.name}-label", [hooks.webhook("/label", *of_these)]),
    ):
        for kind in ("Mutating", "Validating"):
            rules = [hooks.webhook("/first", "configmaps", only="nowhere")]
            with hooks.configured(kind, f"{space.name}-tried", rules, {"kept": "as-it-was"}) as place:
                assert control.request("GET", place).object["metadata"]["labels"] == {"kept": "as-it-was"}
                assert control.request("DELETE", place).status == 200
                assert control.request("GET", place).status == 404


# Covers: Admission webhook, fail closed.
def test_without_an_authority_nothing_is_let_pass(space: Space, hooks: Hooks) -> None:
    config = hooks.config("/judge")
    del config["caBundle"]
    rules = [hooks.webhook("/judge", "configmaps", only=space.name, clientConfig=config, failurePolicy="Fail")]
    with hooks.configured("Validating", f"{space.name}-closed", rules):
        assert says(new_map(space, name="one"), 'failed calling webhook "judge.hooks.example.com"')
    rules[0]["failurePolicy"] = "Ignore"
    with hooks.configured("Validating", f"{space.name}-open", rules):
        assert new_map(space, name="one").status == 201


# Covers: Admission webhook, honor timeout.
def test_time_outs_are_kept(space: Space, hooks: Hooks) -> None:
    """The webhook takes 2.5 s. Four configurations, each for the config maps of a label, are tried side by side."""
    cases: dict[str, dict[str, Any]] = {
        "fail": {"timeoutSeconds": 1, "failurePolicy": "Fail"},
        "ignore": {"timeoutSeconds": 1, "failurePolicy": "Ignore"},
        "long": {"timeoutSeconds": 10, "failurePolicy": "Fail"},
        "default": {"failurePolicy": "Fail"},
    }

    def tried(case: str) -> tuple[Answer, float]:
        selector = {"matchLabels": {"case": case}}
        rules = [hooks.webhook("/slow", "configmaps", only=space.name, objectSelector=selector, **cases[case])]
        with hooks.configured("Validating", f"{space.name}-{case}", rules):
            began = time.monotonic()
            return new_map(space, labels={"case": case}), time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        found = dict(zip(cases, pool.map(tried, cases), strict=True))
    assert says(found["fail"][0], "deadline exceeded")
    assert [found[case][0].status for case in ("ignore", "long", "default")] == [201, 201, 201]
    assert all(found[case][1] >= 2.5 for case in ("long", "default"))


# Covers: Admission webhook, deny custom resource definition.
def test_definitions_are_refused(space: Space, hooks: Hooks) -> None:
    selector = {"matchLabels": {"of": space.name}}
    resource = "apiextensions.k8s.io/v1/customresourcedefinitions"
    rules = [hooks.webhook("/deny", resource, operations=["CREATE"], objectSelector=selector)]
    with hooks.configured("Validating", f"{space.name}-definitions", rules):
        answer = space.cluster.control.request(
            "POST",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            {
                "metadata": {"name": "crates.hooked.example.com", "labels": {"of": space.name}},
                "spec": {
                    "group": "hooked.example.com",
                    "scope": "Namespaced",
                    "names": {"plural": "crates", "kind": "Crate"},
                    "versions": [
                        {
                            "name": "v1",
                            "served": True,
                            "storage": True,
                            "schema": {"openAPIV3Schema": {"type": "object"}},
                        }
                    ],
                },
            },
        )
        assert says(answer, "denied the request: CREATE is not wanted") and answer.status == 403
    assert space.cluster.control.request("GET", "/apis/hooked.example.com").status == 404
