"""ConfigMaps and Secrets as volumes, plain and projected: names, modes, users, groups, and how they follow."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from conformance_kit import Space
from volume_cases import config_map, deleted, log, pod, said, secret, sleeper, started, until_said

pytestmark = pytest.mark.slow

Source = Callable[..., dict[str, Any]]


def _plain_map(name: str, **more: Any) -> dict[str, Any]:
    return {"configMap": {"name": name, **more}}


def _plain_secret(name: str, **more: Any) -> dict[str, Any]:
    return {"secret": {"secretName": name, **more}}


def _projected(kind: str) -> Source:
    def source(name: str, defaultMode: int | None = None, **more: Any) -> dict[str, Any]:
        modes = {} if defaultMode is None else {"defaultMode": defaultMode}
        return {"projected": {"sources": [{kind: {"name": name, **more}}], **modes}}

    return source


FORMS = [
    pytest.param(config_map, "configmaps", _plain_map, id="config-map"),
    pytest.param(config_map, "configmaps", _projected("configMap"), id="projected-config-map"),
    pytest.param(secret, "secrets", _plain_secret, id="secret"),
    pytest.param(secret, "secrets", _projected("secret"), id="projected-secret"),
]
SHOW = "cat {0}; stat -L -c ' %a %u %g' {0}"


# Covers: ConfigMap Volume, without mapping; ConfigMap Volume, without mapping, non-root user;
#   ConfigMap Volume, without mapping, volume mode set; ConfigMap Volume, with mapping;
#   ConfigMap Volume, with mapping, volume mode set; ConfigMap Volume, with mapping, non-root user;
#   ConfigMap Volume, multiple volume maps; Projected Volume, ConfigMap, volume mode default;
#   Projected Volume, ConfigMap, non-root user; Projected Volume, ConfigMap, volume mode 0400;
#   Projected Volume, ConfigMap, mapped; Projected Volume, ConfigMap, mapped, volume mode 0400;
#   Projected Volume, ConfigMap, mapped, non-root user; Projected Volume, ConfigMap, multiple volume paths;
#   Secrets Volume, default; Secrets Volume, volume mode 0440, fsGroup 1001 and uid 1000;
#   Secrets Volume, volume mode 0400; Secrets Volume, mapping; Secrets Volume, mapping, volume mode 0400;
#   Secrets Volume, mapping multiple volume paths; Projected Volume, Secrets, volume mode default;
#   Project Volume, Secrets, non-root, custom fsGroup; Projected Volume, Secrets, volume mode 0400;
#   Projected Volume, Secrets, mapped; Projected Volume, Secrets, mapped, volume mode 0400;
#   Projected Volume, Secrets, mapped, multiple paths.
@pytest.mark.parametrize(("make", "resource", "source"), FORMS)
def test_keys_are_files(space: Space, make: Any, resource: str, source: Source) -> None:
    make(space, "words", {"one": "eins", "two": "zwei"})
    mapped = [{"key": "one", "path": "far/away/uno"}]
    strict = [{"key": "one", "path": "far/away/uno", "mode": 0o400}]
    user, group = {"runAsUser": 1000}, {"runAsUser": 1000, "fsGroup": 1001}
    place, away = SHOW.format("/v/one"), SHOW.format("/v/far/away/uno") + "; ls /v"
    found = said(
        space,
        pod("plain", place + "; ls /v", {"v": source("words")}),
        pod("mode", place, {"v": source("words", defaultMode=0o400)}),
        pod("user", place, {"v": source("words")}, securityContext=user),
        pod("group", place, {"v": source("words", defaultMode=0o440)}, securityContext=group),
        pod("mapped", away, {"v": source("words", items=mapped)}),
        pod("mapped-mode", away, {"v": source("words", items=strict)}),
        pod("mapped-user", away, {"v": source("words", items=mapped)}, securityContext=user),
        pod("twice", "cat /v/one /w/one", {"v": source("words"), "w": source("words")}),
        pod("both", place, {"v": source("words", defaultMode=0o640, items=[{"key": "one", "path": "one"}])}),
    )
    assert found == [
        "eins 644 0 0\none\ntwo\n",
        "eins 400 0 0\n",
        "eins 644 0 0\n",
        "eins 440 0 1001\n",
        "eins 644 0 0\nfar\n",
        "eins 400 0 0\nfar\n",
        "eins 644 0 0\nfar\n",
        "einseins",
        "eins 640 0 0\n",
    ]


# Covers: ConfigMap Volume, create, update and delete; ConfigMap Volume, update;
#   Projected Volume, ConfigMap, create, update and delete; Projected Volume, ConfigMap, update;
#   Secrets Volume, create, update and delete; Projected Volume, Secrets, create, update delete.
@pytest.mark.parametrize(("make", "resource", "source"), FORMS)
def test_volumes_follow_their_objects(space: Space, make: Any, resource: str, source: Source) -> None:
    for name in ("changes", "goes"):
        make(space, name, {"one": "eins", "two": "zwei"})
    optional = {name: source(name, optional=True) for name in ("comes", "goes")}
    started(space, sleeper("reader", {**optional, "changes": source("changes")}))
    assert space.shell("reader", "cat /goes/one /changes/one; ls /comes") == "einseins"
    make(space, "comes", {"one": "nun"})
    field = "stringData" if make is secret else "data"
    space.patched(f"{resource}/changes", {field: {"one": "uno", "three": "drei"}})
    assert space.request("DELETE", f"{resource}/goes").status == 200
    until_said(space, "reader", "cat /comes/one /changes/one /changes/three; ls /goes", "^nununodrei$")
    space.patched(f"{resource}/changes", [{"op": "remove", "path": "/data/two"}], "application/json-patch+json")
    until_said(space, "reader", "ls /changes", "^one\nthree\n$")


# Covers: ConfigMap Volume, text data, binary data.
def test_bytes_that_are_no_text(space: Space) -> None:
    data = bytes(range(256))
    config_map(space, "both", {"text": "Wörter"}, binaryData={"dump.bin": base64.b64encode(data).decode()})
    found = said(space, pod("reader", "cat /v/text; echo; base64 -w0 /v/dump.bin", {"v": _plain_map("both")}))
    assert found == [f"Wörter\n{base64.b64encode(data).decode()}"]


# Covers: Secrets Volume, volume mode default, secret with same name in different namespace.
def test_a_secret_of_the_pods_own_namespace(space: Space) -> None:
    other = Space(space.cluster, f"{space.name}-other")
    space.cluster.kubectl("create", "namespace", other.name)
    try:
        secret(other, "words", {"one": "theirs", "more": "x"})
        secret(space, "words", {"one": "ours"})
        found = said(space, pod("reader", "ls /v; " + SHOW.format("/v/one"), {"v": _plain_secret("words")}))
        assert found == ["one\nours 644 0 0\n"]
    finally:
        space.cluster.kubectl("delete", "namespace", other.name, "--wait=false")


# Covers: ConfigMap Volume, immutability; Secrets Volume, immutability.
@pytest.mark.parametrize(("make", "resource"), [(config_map, "configmaps"), (secret, "secrets")])
def test_what_is_immutable_stays(space: Space, make: Any, resource: str) -> None:
    at = f"{resource}/words"
    made = make(space, "words", {"one": "eins"})
    value = {"configmaps": "uno", "secrets": base64.b64encode(b"uno").decode()}[resource]
    made = space.replaced(at, {**made, "data": {"one": value}})
    made = space.replaced(at, {**made, "immutable": True})
    for change, field in (
        ({"data": {"one": value + value}}, "data"),
        ({"data": {"one": value, "two": value}}, "data"),
        ({"immutable": False}, "immutable"),
        ({"immutable": None}, "immutable"),
    ):
        refused = space.request("PUT", at, {**made, **change})
        assert refused.status == 422, (change, refused)
        message = refused.object["message"]
        assert f"{field}: Forbidden: field is immutable when `immutable` is set" in message
    labelled = space.patched(at, {"metadata": {"labels": {"kept": "yes"}}})
    assert (labelled["metadata"]["labels"], labelled["data"], labelled["immutable"]) == (
        {"kept": "yes"},
        {"one": value},
        True,
    )
    assert space.request("DELETE", at).status == 200
    assert space.is_gone(at)


# Beyond the list: an immutable one is read, too, a new one of its name counts for new pods alone.
def test_pods_read_what_is_immutable(space: Space) -> None:
    config_map(space, "words", {"one": "eins"}, immutable=True)
    assert said(space, pod("first", "cat /v/one", {"v": _plain_map("words")})) == ["eins"]
    assert space.request("DELETE", "configmaps/words").status == 200
    config_map(space, "words", {"one": "uno"})
    assert said(space, pod("second", "cat /v/one", {"v": _plain_map("words")})) == ["uno"]


# Beyond the list: what is missing and not optional holds the pod, says so, and lets it go on when it comes.
@pytest.mark.parametrize(("make", "resource", "source"), FORMS)
def test_a_pod_waits_for_what_is_missing(space: Space, make: Any, resource: str, source: Source) -> None:
    kind = {"configmaps": "configmap", "secrets": "secret"}[resource]
    make(space, "there", {"one": "eins"})
    items = [{"key": "none", "path": "none"}]
    space.made("pods", pod("no-object", "cat /v/one", {"v": source("absent")}))
    space.made("pods", pod("no-key", "cat /v/none", {"v": source("there", items=items)}))
    space.made("pods", pod("optional", "ls /v", {"v": source("there", items=items, optional=True)}))

    def told(name: str) -> str:
        return " ".join(one["message"] for one in space.events(f"--field-selector=involvedObject.name={name}"))

    space.until(lambda: f'{kind} "absent" not found' in told("no-object"), "the event names what is missing")
    space.until(lambda: "non-existent" in told("no-key"), "the event names the key")
    space.until_phase("optional", "Succeeded")
    assert {space.phase(name) for name in ("no-object", "no-key")} == {"Pending"}
    make(space, "absent", {"one": "eins"})
    field = "stringData" if make is secret else "data"
    space.patched(f"{resource}/there", {field: {"none": "null"}})
    for name, text in (("no-object", "eins"), ("no-key", "null")):
        space.until_phase(name, "Succeeded")
        assert log(space, name) == text


# Beyond the list: a map of nearly 1 MiB and one with many keys come whole, and follow whole.
def test_large_maps(space: Space) -> None:
    text = "x" * 900_000
    config_map(space, "large", {"one": text})
    config_map(space, "many", {f"key-{number}": str(number) for number in range(800)})
    started(space, sleeper("reader", {"large": _plain_map("large"), "many": _plain_map("many")}))
    assert space.shell("reader", "wc -c < /large/one; ls /many | wc -l").split() == ["900000", "800"]
    space.patched("configmaps/large", {"data": {"one": text + "y", "two": "z"}})
    until_said(space, "reader", "cat /large/one /large/two | wc -c", "^900002$")
    too_large = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "too"}, "data": {"one": "x" * 1_050_000}}
    refused = space.request("POST", "configmaps", too_large)
    assert refused.status == 422 and "may not be more than 1048576 bytes" in refused.object["message"], refused
    deleted(space, "reader")
