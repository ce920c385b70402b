"""The OpenAPI documents: whole, consistent, the same bytes for the same hash, and custom kinds in them at once."""

import json
from pathlib import Path
from typing import Any

import pytest

from boxship.cluster.objects.catalog import GROUP_VERSIONS, RESOURCES
from boxship.cluster.objects.openapi.definitions import OBJECT_META, references
from boxship.cluster.objects.openapi.documents import Documents, custom_kind
from boxship.cluster.objects.openapi.gnostic import TABLE
from boxship.cluster.objects.resource import Resource, Subresource
from boxship.wire.protobuf import Limits, decode

METHODS = {"get", "put", "post", "patch", "delete"}
WIDGETS = Resource(
    group="example.com",
    version="v1",
    kind="Widget",
    plural="widgets",
    singular="widget",
    namespaced=True,
    storage="example.com/widgets",
    storage_version="example.com/v1",
    subresources={"status": Subresource(("get", "patch", "update"))},
    custom=True,
)
SCHEMA = {
    "type": "object",
    "description": "A widget.",
    "properties": {
        "metadata": {"$ref": OBJECT_META},
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "minimum": 1, "default": 3},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "name": {"type": "string", "nullable": True, "enum": ["a", "b"]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
    },
    "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Widget"}],
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


def operations(document: Any) -> dict[tuple[str, str], Any]:
    return {
        (path, method): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


async def third(documents: Documents, path: str) -> Any:
    found = await documents.v3(path, False)
    assert found is not None
    return json.loads(found[0])


async def test_every_resource_is_described(cache: Path) -> None:
    documents = Documents(cache)
    index = json.loads((await documents.v3_index())[0])["paths"]
    for group, versions in GROUP_VERSIONS.items():
        for version in versions:
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            found = await documents.v3(path, False)
            assert found is not None
            assert index[path] == {"serverRelativeURL": f"/openapi/v3/{path}?hash={found[1]}"}
            document = json.loads(found[0])
            schemas = document["components"]["schemas"]
            names = {name.rpartition("/")[2] for name in references(document)}
            assert names <= set(schemas)
            known = {(each["kind"]) for schema in schemas.values() for each in schema.get(GVK, ())}
            actions = {
                (value[GVK]["kind"], value["x-kubernetes-action"])
                for value in operations(document).values()
                if GVK in value
            }
            for resource in RESOURCES:
                if (resource.group, resource.version) != (group, version):
                    continue
                assert resource.kind in known
                for verb in resource.verbs:
                    action = {"create": "post", "update": "put"}.get(verb, verb)
                    assert verb == "watch" or (resource.kind, action) in actions, (resource.path, verb)


GVK = "x-kubernetes-group-version-kind"


async def test_patches_say_that_they_validate(cache: Path) -> None:
    for path in ("api/v1", "apis/apps/v1"):
        found = operations(await third(Documents(cache), path))
        patches = [value for (place, method), value in found.items() if method == "patch" and "proxy" not in place]
        assert patches
        for patch in patches:
            assert {"dryRun", "fieldManager", "fieldValidation", "force"} <= {
                each["name"] for each in patch["parameters"]
            }
            assert "application/apply-patch+yaml" in patch["requestBody"]["content"]


async def test_identifiers_are_the_originals(cache: Path) -> None:
    found = operations(await third(Documents(cache), "api/v1"))
    namespaced = "/api/v1/namespaces/{namespace}"
    expected = {
        ("/api/v1/pods", "get"): "listCoreV1PodForAllNamespaces",
        (f"{namespaced}/pods", "get"): "listCoreV1NamespacedPod",
        (f"{namespaced}/pods", "post"): "createCoreV1NamespacedPod",
        (f"{namespaced}/pods", "delete"): "deleteCoreV1CollectionNamespacedPod",
        (f"{namespaced}/pods/{{name}}", "put"): "replaceCoreV1NamespacedPod",
        (f"{namespaced}/pods/{{name}}/status", "patch"): "patchCoreV1NamespacedPodStatus",
        (f"{namespaced}/pods/{{name}}/eviction", "post"): "createCoreV1NamespacedPodEviction",
        (f"{namespaced}/pods/{{name}}/exec", "get"): "connectCoreV1GetNamespacedPodExec",
        (f"{namespaced}/pods/{{name}}/log", "get"): "readCoreV1NamespacedPodLog",
        (f"{namespaced}/pods/{{name}}/proxy/{{path}}", "put"): "connectCoreV1PutNamespacedPodProxyWithPath",
        (f"{namespaced}/serviceaccounts/{{name}}/token", "post"): "createCoreV1NamespacedServiceAccountToken",
        ("/api/v1/nodes/{name}", "get"): "readCoreV1Node",
    }
    assert {place: found[place]["operationId"] for place in expected} == expected
    identifiers = [value["operationId"] for value in found.values()]
    assert len(identifiers) == len(set(identifiers))


async def test_version_2_says_the_same_in_both_forms(cache: Path) -> None:
    documents = Documents(cache)
    text, known = await documents.v2(False)
    binary, same = await documents.v2(True)
    assert known == same
    document = json.loads(text)
    names = {name.rpartition("/")[2] for name in references(document)}
    assert names <= set(document["definitions"])
    message = decode(TABLE, "Document", binary, Limits(values=2_000_000))
    assert [each["name"] for each in message["definitions"]["additional_properties"]] == list(document["definitions"])
    assert [each["name"] for each in message["paths"]["path"]] == list(document["paths"])
    pod = next(each for each in message["definitions"]["additional_properties"] if each["name"].endswith("core.v1.Pod"))
    extensions = {each["name"]: json.loads(each["value"]["yaml"]) for each in pod["value"]["vendor_extension"]}
    assert extensions[GVK] == [{"group": "", "kind": "Pod", "version": "v1"}]


async def test_bytes_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await Documents(cache).v3("apis/apps/v1", False)
    monkeypatch.setattr("boxship.cluster.objects.openapi.documents.load", lambda: pytest.fail("made again"))
    assert await Documents(cache).v3("apis/apps/v1", False) == first


async def test_without_a_folder_everything_is_there_too() -> None:
    documents = Documents(None)
    assert await documents.v3("apis/batch/v1", False) == await documents.v3("apis/batch/v1", False)
    assert (await documents.v2(True))[0]


async def test_what_is_not_served_is_not_there(cache: Path) -> None:
    documents = Documents(cache)
    for path in ("apis/example.com/v1", "apis/apps/v2", "api", "apis", "x/y", "../../etc/passwd", "api/../v1"):
        assert await documents.v3(path, False) is None


async def test_custom_kinds_come_and_go(cache: Path) -> None:
    documents = Documents(cache)
    before = [(await documents.v3_index())[1], (await documents.v2(False))[1]]
    documents.replace([custom_kind(WIDGETS, SCHEMA)])
    index = json.loads((await documents.v3_index())[0])["paths"]
    found = await documents.v3("apis/example.com/v1", False)
    assert found is not None
    assert index["apis/example.com/v1"]["serverRelativeURL"].endswith(f"?hash={found[1]}")
    document = json.loads(found[0])
    schemas = document["components"]["schemas"]
    assert schemas["com.example.v1.Widget"]["properties"]["metadata"] == {"$ref": f"#/components/schemas/{OBJECT_META}"}
    listed = schemas["com.example.v1.WidgetList"]["properties"]
    ordinary = (await third(documents, "api/v1"))["components"]["schemas"]["io.k8s.api.core.v1.ConfigMapList"][
        "properties"
    ]
    assert listed["apiVersion"]["description"] == ordinary["apiVersion"]["description"]
    assert "/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/status" in document["paths"]

    second = json.loads((await documents.v2(False))[0])
    spec = second["definitions"]["com.example.v1.Widget"]["properties"]["spec"]["properties"]
    assert spec["size"] == {"type": "integer", "minimum": 1, "default": 3}
    assert spec["port"] == {"x-kubernetes-int-or-string": True}
    assert spec["free"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert "type" not in spec["name"]
    assert "io.k8s.api.core.v1.Pod" in second["definitions"]
    message = decode(TABLE, "Document", (await documents.v2(True))[0], Limits(values=2_000_000))
    named = {each["name"] for each in message["definitions"]["additional_properties"]}
    assert {"com.example.v1.Widget", "io.k8s.api.core.v1.Pod"} <= named

    documents.replace([custom_kind(WIDGETS, {**SCHEMA, "description": "Another."})])
    changed = await documents.v3("apis/example.com/v1", False)
    assert changed is not None
    assert changed[1] != found[1]
    assert b"Another." in changed[0]
    documents.replace([])
    assert await documents.v3("apis/example.com/v1", False) is None
    assert [(await documents.v3_index())[1], (await documents.v2(False))[1]] == before


async def test_closed_sets_of_texts_are_listed_in_version_3(cache: Path) -> None:
    schemas = (await third(Documents(cache), "api/v1"))["components"]["schemas"]
    pod = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert pod["restartPolicy"]["enum"] == ["Always", "Never", "OnFailure"]
    claim = schemas["io.k8s.api.core.v1.PersistentVolumeClaimSpec"]["properties"]
    assert claim["accessModes"]["items"]["enum"] == [
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOnce",
        "ReadWriteOncePod",
    ]
    second = json.loads((await Documents(cache).v2(False))[0])["definitions"]
    assert "enum" not in second["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"]
