"""What a container is told by variables: secrets, values made of others, parts of volumes that they name."""

import json
from typing import Any

import pytest
from conformance_kit import Space
from containers_kit import begin, outputs, pod, until_waiting

pytestmark = pytest.mark.slow

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"data-1": "value-1"}}


# Covers: Secrets, pod environment field; Secrets, pod environment from source.
def test_secrets_in_variables(space: Space) -> None:
    one = {"name": "SECRET_DATA", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "data-1"}}}
    sources = [{"secretRef": {"name": "keys"}}, {"prefix": "p-", "secretRef": {"name": "keys"}}]
    absent = [{"secretRef": {"name": "nothing", "optional": True}}]
    begin(space, SECRET)
    said = outputs(
        space,
        pod("one", "env", {"env": [one]}),
        pod("all", "", {"command": ["env"], "envFrom": sources}),
        pod("none", "env", {"envFrom": absent}),
    )
    assert "SECRET_DATA=value-1" in said["one"].splitlines()
    assert {"data-1=value-1", "p-data-1=value-1"} <= set(said["all"].splitlines())
    assert "value-1" not in said["none"]


# Covers: Secrets, with empty-key; Secret patching.
def test_secrets_by_the_api(space: Space) -> None:
    refused = space.request("POST", "secrets", {**SECRET, "stringData": {"": "value"}})
    assert refused.status == 422 and refused.object["reason"] == "Invalid"
    labelled = {**SECRET, "metadata": {"name": "mine", "labels": {"testsecret": space.name}}}
    space.made("secrets", labelled)
    query = f"?labelSelector=testsecret={space.name}"
    everywhere = space.cluster.control.request("GET", f"/api/v1/secrets{query}").object["items"]
    assert [one["metadata"]["name"] for one in everywhere] == ["mine"]
    change = {"metadata": {"labels": {"testsecret": "changed"}}, "data": {"key": "dmFsdWUx"}}
    patched = space.patched("secrets/mine", change, "application/strategic-merge-patch+json")
    assert patched["data"] == {"data-1": "dmFsdWUtMQ==", "key": "dmFsdWUx"}
    assert patched["metadata"]["labels"] == {"testsecret": "changed"}
    assert space.request("DELETE", "secrets?labelSelector=testsecret=changed").status == 200
    assert space.is_gone("secrets/mine")


# Covers: Environment variables, expansion; Environment variables, command expansion;
# Environment variables, command argument expansion.
def test_values_made_of_others(space: Space) -> None:
    composed = [{"name": "FOO", "value": "foo-value"}, {"name": "BAR", "value": "bar-value"}]
    composed.append({"name": "FOOBAR", "value": "$(FOO);;$(BAR)"})
    literal = {"name": "LITERAL", "value": "$$(FOO) $(NOBODY)"}
    script = 'TEST_VAR=wrong echo "$(TEST_VAR)"'
    asked = [{"name": "TEST_VAR", "value": "test-value"}]
    said = outputs(
        space,
        pod("composed", "env", {"env": [*composed, literal]}),
        pod("command", "", {"command": ["sh", "-c", script], "env": asked}),
        pod("arguments", "", {"command": ["sh", "-c"], "args": [script], "env": asked}),
    )
    assert {"FOOBAR=foo-value;;bar-value", "LITERAL=$(FOO) $(NOBODY)"} <= set(said["composed"].splitlines())
    assert said["command"] == said["arguments"] == "test-value\n"


def by_expression(expression: str, *variables: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a container, and of its pod: a volume shown whole, and in part at /part."""
    mounts = [
        {"name": "work", "mountPath": "/whole"},
        {"name": "work", "mountPath": "/part", "subPathExpr": expression},
    ]
    return {"env": list(variables), "volumeMounts": mounts}, {"volumes": [{"name": "work", "emptyDir": {}}]}


NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
NOTE = {"name": "NOTE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['mysubpath']"}}}


# Covers: VolumeSubpathEnvExpansion, subpath expansion; VolumeSubpathEnvExpansion, subpath with absolute path;
# VolumeSubpathEnvExpansion, subpath with backticks.
def test_parts_of_volumes_by_expression(space: Space) -> None:
    wrong = {"absolute": "/tmp", "upwards": ".."}
    makes = {name: by_expression("$(WHERE)", {"name": "WHERE", "value": value}) for name, value in wrong.items()}
    begin(space, *(pod(name, "true", *fields) for name, fields in makes.items()))
    script = "test -d /whole/$POD_NAME && touch /part/file && ls /whole/$POD_NAME"
    assert outputs(space, pod("good", script, *by_expression("$(POD_NAME)", NAME))) == {"good": "file\n"}
    for name in wrong:
        until_waiting(space, name, "CreateContainerConfigError")
        until_told(space, name)


def until_told(space: Space, name: str) -> None:
    told = f"--field-selector=involvedObject.name={name},reason=Failed"
    space.until(lambda: space.events(told), "an event says why it does not start")


# Covers: VolumeSubpathEnvExpansion, subpath test writes; VolumeSubpathEnvExpansion, subpath ready from failed state.
def test_parts_that_annotations_name(space: Space) -> None:
    container, spec = by_expression("$(NOTE)/$(POD_NAME)", NAME, NOTE)
    stays = pod("stays", "exec sleep 600", container, spec)
    stays["metadata"]["annotations"] = {"mysubpath": "mypath"}
    fails = pod("fails", "exec sleep 600", *by_expression("$(NOTE)", NAME, NOTE))
    fails["metadata"]["annotations"] = {"notmysubpath": "mypath"}
    begin(space, stays, fails)
    until_waiting(space, "fails", "CreateContainerConfigError")
    space.until_ready("stays")
    space.shell("stays", "touch /part/test.log && test -f /whole/mypath/stays/test.log")
    for name in ("stays", "fails"):
        space.patched(f"pods/{name}", {"metadata": {"annotations": {"mysubpath": "mynewpath"}}})
    space.until_ready("fails")
    assert space.shell("fails", "touch /part/test.log; ls /whole/mynewpath") == "test.log\n"
    assert space.shell("stays", "ls /part; ls /whole") == "test.log\nmypath\n"
    assert space.pod("stays")["status"]["containerStatuses"][0]["restartCount"] == 0
    space.kubectl("delete", "pod", "stays", "fails", "--grace-period=1")


CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"


def runtime_class(space: Space, name: str, **more: Any) -> str:
    """Made, for this namespace alone by its name, which is returned."""
    found = f"{space.name}-{name}"
    made = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": found}, **more}
    answer = space.cluster.control.request("POST", CLASSES, {"handler": "crun", **made})
    assert answer.status == 201, answer
    return found


# Covers: Pod with the deleted RuntimeClass is rejected.; Pod with the non-existing RuntimeClass is rejected.;
# Can schedule a pod requesting existing RuntimeClass.; RuntimeClass Overhead field must be respected.
def test_classes_of_runtimes(space: Space) -> None:
    request = space.cluster.control.request
    deleted = runtime_class(space, "deleted")
    assert request("DELETE", f"{CLASSES}/{deleted}").status == 200
    for name in (deleted, f"{space.name}-nothing"):
        refused = space.request("POST", "pods", pod("refused", "true", spec={"runtimeClassName": name}))
        assert refused.status == 403, refused
        assert f'pod rejected: RuntimeClass "{name}" not found' in refused.object["message"]
    plain = runtime_class(space, "plain")
    costly = runtime_class(space, "costly", overhead={"podFixed": {"cpu": "10m", "memory": "1Mi"}})
    begin(
        space,
        pod("plain", "exec sleep 600", spec={"runtimeClassName": plain}),
        pod("costly", "exec sleep 600", spec={"runtimeClassName": costly}),
    )
    space.until_ready("plain", "costly")
    assert space.pod("costly")["spec"]["overhead"] == {"cpu": "10m", "memory": "1Mi"}
    assert "overhead" not in space.pod("plain")["spec"]
    wrong = pod("wrong", "true", spec={"runtimeClassName": costly, "overhead": {"cpu": "11m"}})
    refused = space.request("POST", "pods", wrong)
    assert refused.status == 403 and "doesn't match RuntimeClass's defined Overhead" in refused.object["message"]
    for name in (plain, costly):
        request("DELETE", f"{CLASSES}/{name}")


# Covers: RuntimeClass API.
def test_classes_by_the_api(space: Space) -> None:
    request = space.cluster.control.request
    groups = request("GET", "/apis").object["groups"]
    assert any(one["name"] == "node.k8s.io" for one in groups)
    assert [one["version"] for one in request("GET", "/apis/node.k8s.io").object["versions"]] == ["v1"]
    listed = request("GET", "/apis/node.k8s.io/v1").object["resources"]
    verbs = next(one["verbs"] for one in listed if one["name"] == "runtimeclasses")
    assert {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"} <= set(verbs)
    names = [
        runtime_class(space, str(number), metadata={"name": f"{space.name}-{number}", "labels": {"of": space.name}})
        for number in range(3)
    ]
    query = f"?labelSelector=of={space.name}"
    before = request("GET", CLASSES + query).object
    assert [one["metadata"]["name"] for one in before["items"]] == names
    one = f"{CLASSES}/{names[0]}"
    patched = request(
        "PATCH",
        one,
        {"metadata": {"annotations": {"patched": "yes"}}},
        {"Content-Type": "application/merge-patch+json"},
    )
    assert patched.object["metadata"]["annotations"] == {"patched": "yes"}
    updated = {**patched.object, "metadata": {**patched.object["metadata"], "annotations": {"updated": "yes"}}}
    assert request("PUT", one, updated).object["metadata"]["annotations"] == {"updated": "yes"}
    assert request("PUT", one, {**request("GET", one).object, "handler": "other"}).status == 422
    assert request("DELETE", one).status == 200 and request("GET", one).status == 404
    assert request("DELETE", CLASSES + query).status == 200
    assert request("GET", CLASSES + query).object["items"] == []
    since = before["metadata"]["resourceVersion"]
    watched = request("GET", f"{CLASSES}{query}&watch=true&resourceVersion={since}&timeoutSeconds=1")
    told = [json.loads(line)["type"] for line in watched.body.splitlines()]
    assert told == ["MODIFIED", "MODIFIED", "DELETED", "DELETED", "DELETED"]


# What the list's neighbours ask for: a class says on which nodes its pods run, and what they tolerate there.
def test_classes_choose_nodes(space: Space) -> None:
    node = space.cluster.nodes[1].name
    key = f"{space.name}/kind"
    taint = {"key": key, "operator": "Equal", "value": "other", "effect": "NoSchedule"}
    chosen = runtime_class(space, "chosen", scheduling={"nodeSelector": {key: "other"}, "tolerations": [taint]})
    unknown = runtime_class(space, "unknown", handler="nothing")
    space.cluster.kubectl("label", "node", node, f"{key}=other")
    try:
        begin(
            space,
            pod("goes", "exec sleep 600", spec={"runtimeClassName": chosen}),
            pod("waits", "true", spec={"runtimeClassName": chosen, "nodeSelector": {"other": "label"}}),
            pod("unknown", "true", spec={"runtimeClassName": unknown}),
        )
        space.until_ready("goes")
        made = space.pod("goes")["spec"]
        assert made["nodeName"] == node and made["nodeSelector"] == {key: "other"} and taint in made["tolerations"]
        assert space.pod("waits")["spec"]["nodeSelector"] == {key: "other", "other": "label"}
        against = pod("against", "true", spec={"runtimeClassName": chosen, "nodeSelector": {key: "mine"}})
        refused = space.request("POST", "pods", against)
        assert refused.status == 403 and f"runtimeClass.scheduling.nodeSelector[{key}]" in refused.object["message"]
        told = "--field-selector=involvedObject.name=unknown,reason=FailedCreatePodSandBox"
        space.until(
            lambda: any('no runtime for "nothing"' in one["message"] for one in space.events(told)), "it is told"
        )
    finally:
        space.cluster.kubectl("label", "node", node, f"{key}-")
        for name in (chosen, unknown):
            space.cluster.control.request("DELETE", f"{CLASSES}/{name}")
