"""Fields of the pod as files: Downward API volumes, alone and as a part of projected ones."""

from collections.abc import Callable
from typing import Any

import pytest
from conformance_kit import Space
from volume_cases import Manifest, config_map, pod, said, secret, sleeper, started, until_said, until_told

from boxship.cluster.objects.quantity import parse

pytestmark = pytest.mark.slow

Source = Callable[..., dict[str, Any]]
AMOUNTS = ("limits.cpu", "requests.cpu", "limits.memory", "requests.memory")


def _alone(items: list[Manifest], **more: Any) -> Manifest:
    return {"downwardAPI": {"items": items, **more}}


def _projected(items: list[Manifest], **more: Any) -> Manifest:
    return {"projected": {"sources": [{"downwardAPI": {"items": items}}], **more}}


BOTH = pytest.mark.parametrize("source", [_alone, _projected], ids=["alone", "projected"])


def _field(path: str, **more: Any) -> Manifest:
    return {"path": path.rpartition(".")[2], "fieldRef": {"fieldPath": path}, **more}


def _amounts(**divisors: str) -> list[Manifest]:
    return [
        {
            "path": one,
            "resourceFieldRef": {"containerName": "c", "resource": one}
            | ({"divisor": divisors[one.rpartition(".")[2]]} if divisors else {}),
        }
        for one in AMOUNTS
    ]


# Covers: DownwardAPI volume, pod name; DownwardAPI volume, volume mode 0400; DownwardAPI volume, file mode 0400;
#   DownwardAPI volume, CPU limits; DownwardAPI volume, CPU request; DownwardAPI volume, memory limits;
#   DownwardAPI volume, memory request; DownwardAPI volume, CPU limit, default node allocatable;
#   DownwardAPI volume, memory limit, default node allocatable; Projected Volume, DownwardAPI, pod name;
#   Projected Volume, DownwardAPI, volume mode 0400; Projected Volume, DownwardAPI, CPU limits;
#   Projected Volume, DownwardAPI, CPU request; Projected Volume, DownwardAPI, memory limits;
#   Projected Volume, DownwardAPI, memory request; Projected Volume, DownwardAPI, CPU limit, node allocatable;
#   Projected Volume, DownwardAPI, memory limit, node allocatable.
@BOTH
def test_fields_are_files(space: Space, source: Source) -> None:
    show = "cat /v/name; stat -L -c ' %a %u %g' /v/name"
    amounts = "cd /v; cat limits.cpu; echo; cat requests.cpu; echo; cat limits.memory; echo; cat requests.memory"
    limits = {"limits": {"cpu": "1250m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}}
    name, strict = _field("metadata.name"), _field("metadata.name", mode=0o400)
    user = {"runAsUser": 1000, "fsGroup": 1001}
    found = said(
        space,
        pod("plain", show, {"v": source([name])}),
        pod("mode", show, {"v": source([name], defaultMode=0o400)}),
        pod("item-mode", show, {"v": source([strict])}),
        pod("group", show, {"v": source([name], defaultMode=0o440)}, securityContext=user),
        pod("whole", amounts, {"v": source(_amounts())}, container={"resources": limits}),
        pod("divided", amounts, {"v": source(_amounts(cpu="1m", memory="1Mi"))}, container={"resources": limits}),
        pod("node", amounts, {"v": source(_amounts(cpu="1m", memory="1"))}),
    )
    assert found[:6] == [
        "plain 644 0 0\n",
        "mode 400 0 0\n",
        "item-mode 400 0 0\n",
        "group 440 0 1001\n",
        "2\n1\n67108864\n33554432",
        "1250\n250\n64\n32",
    ]
    node = space.pod("node")["spec"]["nodeName"]
    allocatable = space.get("node", node)[0]["status"]["allocatable"]
    cores, memory = parse(allocatable["cpu"]).nanos // 10**6, parse(allocatable["memory"]).value
    assert found[6] == f"{cores}\n0\n{memory}\n0"


# Covers: DownwardAPI volume, update label; DownwardAPI volume, update annotations;
#   Projected Volume, DownwardAPI, update labels; Projected Volume, DownwardAPI, update annotation.
@BOTH
def test_labels_and_annotations_follow(space: Space, source: Source) -> None:
    items = [_field("metadata.labels"), _field("metadata.annotations"), _field("metadata.labels['app']")]
    items[2]["path"] = "app"
    made = sleeper("reader", {"v": source(items)})
    made["metadata"] |= {"labels": {"app": "one", "b": "2"}, "annotations": {"note": 'say "hi"'}}
    started(space, made)
    assert space.shell("reader", "cat /v/labels; echo; cat /v/app") == 'app="one"\nb="2"\none'
    assert 'note="say \\"hi\\""' in space.shell("reader", "cat /v/annotations")
    space.patched("pods/reader", {"metadata": {"labels": {"app": "two", "c": "3"}, "annotations": {"more": "x"}}})
    until_said(space, "reader", "cat /v/labels; echo; cat /v/app", '^app="two"\nb="2"\nc="3"\ntwo$')
    until_said(space, "reader", "cat /v/annotations", 'more="x"\nnote=')


# Covers: Projected Volume, multiple projections.
def test_everything_in_one_folder(space: Space) -> None:
    config_map(space, "words", {"one": "eins"})
    secret(space, "keys", {"token": "sesame"})
    sources = [
        {"configMap": {"name": "words", "items": [{"key": "one", "path": "maps/one"}]}},
        {"secret": {"name": "keys", "items": [{"key": "token", "path": "keys/token", "mode": 0o400}]}},
        {"downwardAPI": {"items": [_field("metadata.name"), *_amounts(cpu="1m", memory="1Mi")]}},
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 700, "audience": "vault"}},
    ]
    limits = {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m", "memory": "32Mi"}}
    script = (
        "cd /v; cat maps/one keys/token name; for each in *.*; do echo; cat $each; done; echo;"
        "stat -L -c %a maps/one keys/token; cut -d. -f2 token | tr _- /+ | base64 -d 2>/dev/null; true"
    )
    made = pod("reader", script, {"v": {"projected": {"sources": sources}}}, container={"resources": limits})
    found = said(space, made)[0].splitlines()
    assert found[:7] == ["einssesamereader", "500", "64", "250", "32", "644", "400"]
    assert '"aud":["vault"]' in found[7] and f"system:serviceaccount:{space.name}:default" in found[7]


# Beyond the list: two sources that claim one path are refused, as is a field that no file may show.
def test_what_cannot_be_projected_is_refused(space: Space) -> None:
    words = [{"configMap": {"name": one, "items": [{"key": "a", "path": "same"}]}} for one in ("words", "more")]
    refused = space.request("POST", "pods", pod("one", "true", {"v": {"projected": {"sources": words}}}))
    assert refused.status == 422 and "conflicting duplicate paths" in refused.object["message"], refused
    for path, why in (("spec.nodeName", "spec.nodeName"), ("status.podIP", "status.podIP"), ("metadata.x", "x")):
        refused = space.request("POST", "pods", pod("one", "true", {"v": _alone([_field(path)])}))
        assert refused.status == 422 and why in refused.object["message"], refused
    for path in ("../up", "/absolute", "..up", "a/../b"):
        items = [{**_field("metadata.name"), "path": path}]
        refused = space.request("POST", "pods", pod("one", "true", {"v": _alone(items)}))
        assert refused.status == 422 and "path" in refused.object["message"], (path, refused)


# Beyond the list: a projected volume waits for each of its parts, and names the one that is missing.
def test_a_projection_names_what_is_missing(space: Space) -> None:
    config_map(space, "words", {"one": "eins"})
    sources = [{"configMap": {"name": "words"}}, {"secret": {"name": "absent"}}]
    space.made("pods", pod("reader", "cat /v/one /v/token", {"v": {"projected": {"sources": sources}}}))
    until_told(space, "reader", 'FailedMount MountVolume.SetUp failed for volume "v" : secret "absent" not found')
    secret(space, "absent", {"token": "sesame"})
    space.until_phase("reader", "Succeeded")
