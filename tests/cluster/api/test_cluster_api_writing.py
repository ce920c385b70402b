"""Creates, updates, patches and applies."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from cluster_api_kit import APPLY, JSON, JSON_PATCH, STRATEGIC, Asker, config_map, running

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.drafts import PlainChain
from boxship.cluster.api.request import Answer, Body
from boxship.cluster.api.storage import encode
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.store import Entry, Put
from boxship.store.memory import MemoryStore

PATH = "v1/configmaps"


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    async with running() as asker:
        yield asker


def deployment(name: str, replicas: int = 1) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name}, "spec": spec}


async def refused(code: int, text: str, asking: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await asking
    assert caught.value.code == code, str(caught.value)
    assert text in str(caught.value)
    return caught.value


async def test_what_the_server_says_of_a_new_object(asker: Asker) -> None:
    sent = config_map("a", uid="x", creationTimestamp="2001-01-01T00:00:00Z", generation=7, selfLink="/x")
    sent["metadata"]["deletionTimestamp"] = "2001-01-01T00:00:00Z"
    made = (await asker.create(PATH, "default", sent))["metadata"]
    assert made["uid"] != "x" and made["creationTimestamp"] == "2026-11-22T12:00:00Z"
    assert not {"generation", "selfLink", "deletionTimestamp"} & set(made)
    assert made["namespace"] == "default"
    (entry,) = made["managedFields"]
    assert (entry["manager"], entry["operation"], entry["apiVersion"]) == ("test", "Update", "v1")
    await refused(
        500,
        "resourceVersion should not be set on objects to be created",
        asker.create(PATH, "default", config_map("b", resourceVersion="1")),
    )


async def test_owners_are_named_once_and_a_name_is_free_when_its_object_is_gone(asker: Asker) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    sent = config_map("a", ownerReferences=[owner, owner], finalizers=["example.com/x"])
    request = asker.request("create", PATH, "default", body=Body(JSON, msgspec.json.encode(sent)))
    await asker.api.perform(request)
    assert "duplicate UID(s) observed: u" in request.warn[0]
    assert (await asker.get(PATH, "default", "a"))["metadata"]["ownerReferences"] == [owner]
    await asker.delete(PATH, "default", "a")
    text = 'object is being deleted: configmaps "a" already exists'
    await refused(409, text, asker.create(PATH, "default", config_map("a")))


async def test_names(asker: Asker) -> None:
    made = await asyncio.gather(
        *(asker.create(PATH, "default", {"metadata": {"generateName": "a-"}}) for _ in range(20))
    )
    names = {each["metadata"]["name"] for each in made}
    assert len(names) == 20 and all(name.startswith("a-") and len(name) == 7 for name in names)
    text = "metadata.name: Required value: name or generateName is required"
    await refused(422, text, asker.create(PATH, "default", {"metadata": {}}))
    await refused(422, 'metadata.name: Invalid value: "A_"', asker.create(PATH, "default", config_map("A_")))


async def test_bodies_for_other_places_are_refused(asker: Asker) -> None:
    made = await asker.create(PATH, "default", config_map("a"))
    text = "the API version in the data (v2) does not match the expected API version (v1)"
    await refused(400, text, asker.create(PATH, "default", {**made, "apiVersion": "v2"}))
    text = "the namespace of the provided object does not match the namespace sent on the request"
    await refused(400, text, asker.create(PATH, "other", made))
    body = Body(JSON, msgspec.json.encode(made))
    text = "the name of the object (a) does not match the name on the URL (b)"
    await refused(400, text, asker.ask("update", PATH, "default", "b", body=body))
    text = 'Secret in version "v1" cannot be handled as a ConfigMap'
    await refused(400, text, asker.create(PATH, "default", {**config_map("c"), "kind": "Secret"}))
    nameless = Body(JSON, b'{"metadata":{}}')
    text = "the name of the object (a based on URL) was undeterminable: name must be provided"
    await refused(400, text, asker.ask("update", PATH, "default", "a", body=nameless))
    node = await asker.create("v1/nodes", "", {"metadata": {"name": "n", "namespace": "default"}})
    assert "namespace" not in node["metadata"]
    for data in (b"{", b"[]", b"null", b'"x"', b"", b"[" * 100_000, b"\xff"):
        await refused(400, "", asker.ask("create", PATH, "default", body=Body(JSON, data)))


async def test_unknown_and_doubled_fields(asker: Asker) -> None:
    data = b'{"metadata":{"name":"a"},"dta":{},"data":{"k":"1","k":"2"}}'
    strict = asker.ask("create", PATH, "default", body=Body(JSON, data), field_validation="Strict")
    await refused(400, 'unknown field "dta"', strict)
    request = asker.request("create", PATH, "default", body=Body(JSON, data))
    answer = await asker.api.perform(request)
    assert isinstance(answer, Answer) and answer.code == 201
    assert len(request.warn) == 2 and 'duplicate field "data.k"' in request.warn
    yaml = b"metadata: {name: b}\ndata: {k: v}\n"
    assert (await asker.ask("create", PATH, "default", body=Body("application/yaml", yaml)))["data"] == {"k": "v"}


async def test_versions_decide_races(asker: Asker) -> None:
    first = await asker.create(PATH, "default", config_map("a"))
    second = await asker.update(PATH, "default", {**first, "data": {"k": "1"}})
    text = 'Operation cannot be fulfilled on configmaps "a": the object has been modified'
    await refused(409, text, asker.update(PATH, "default", {**first, "data": {"k": "2"}}))
    await refused(409, text, asker.patch(PATH, "default", "a", {"metadata": {"resourceVersion": "1"}}))
    free = await asker.update(PATH, "default", config_map("a", {"k": "3"}))
    assert free["metadata"]["uid"] == second["metadata"]["uid"]
    await refused(409, "Precondition failed: UID in", asker.update(PATH, "default", config_map("a", uid="other")))
    await refused(404, 'configmaps "b" not found', asker.update(PATH, "default", config_map("b")))


async def test_what_changes_nothing_is_not_written(asker: Asker) -> None:
    made = await asker.create(PATH, "default", config_map("a", {"k": "1"}))
    asker.clock.forward(5)
    assert await asker.update(PATH, "default", made) == made
    assert await asker.patch(PATH, "default", "a", {"data": {"k": "1"}}) == made
    assert await asker.store.revision() == 1


async def test_what_a_client_leaves_out_again_changes_nothing(asker: Asker) -> None:
    sent = deployment("a")
    made = await asker.create("apps/v1/deployments", "default", sent)
    assert made["spec"]["template"]["spec"]["containers"][0]["resources"] == {} and made["status"] == {}
    again = await asker.update("apps/v1/deployments", "default", sent)
    assert again == made and await asker.store.revision() == 1
    applied = await asker.apply("apps/v1/deployments", "default", sent)
    assert applied["metadata"]["generation"] == 1
    assert await asker.apply("apps/v1/deployments", "default", sent) == applied


async def test_dry_runs_write_nothing(asker: Asker) -> None:
    tried = await asker.create(PATH, "default", config_map("a"), dry_run=True)
    assert tried["metadata"]["uid"] and await asker.store.revision() == 0
    assert "resourceVersion" not in tried["metadata"]
    await asker.create(PATH, "default", config_map("a"))
    await refused(409, "already exists", asker.create(PATH, "default", config_map("a"), dry_run=True))
    assert (await asker.patch(PATH, "default", "a", {"data": {"k": "v"}}, dry_run=True))["data"] == {"k": "v"}
    await asker.delete(PATH, "default", "a", dry_run=True)
    assert await asker.store.revision() == 1


async def test_what_patches_make_must_fit_the_schema(asker: Asker) -> None:
    path = "apps/v1/deployments"
    await asker.create(path, "default", deployment("a"))
    wrong = {"spec": {"replicas": "x", "paused": True}}
    text = 'patch: Invalid value: "map[spec:map[paused:true replicas:x]]": json: cannot unmarshal string into Go struct'
    await refused(422, text, asker.patch(path, "default", "a", wrong, STRATEGIC))
    misspelt = asker.patch(path, "default", "a", {"spec": {"replicaz": 1}}, field_validation="Strict")
    await refused(422, r'patch: Invalid value: "{\"spec\":{\"replicaz\":1}}": strict decoding error: unknown', misspelt)


async def test_patches(asker: Asker) -> None:
    await asker.create("apps/v1/deployments", "default", deployment("a"))
    two = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b:1"}]}}}}
    changed = await asker.patch("apps/v1/deployments", "default", "a", two, STRATEGIC)
    assert sorted(each["name"] for each in changed["spec"]["template"]["spec"]["containers"]) == ["a", "b"]
    assert changed["metadata"]["generation"] == 2
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    assert (await asker.patch("apps/v1/deployments", "default", "a", operations, JSON_PATCH))["spec"]["replicas"] == 3
    await refused(404, "", asker.patch(PATH, "default", "none", {}))
    await refused(400, "", asker.patch(PATH, "default", "none", {}, JSON_PATCH))
    await refused(415, "", asker.ask("patch", PATH, "default", "a", body=Body("text/plain", b"")))
    wrong = asker.patch("apps/v1/deployments", "default", "a", {"spec": {"replicas": "x"}})
    await refused(422, "", wrong)
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 4, "to": 1}]
    strange = asker.patch("apps/v1/deployments", "default", "a", operations, JSON_PATCH, field_validation="Strict")
    await refused(422, 'json patch unknown field "[0].to"', strange)


async def test_applies(asker: Asker) -> None:
    made = await asker.apply(PATH, "default", config_map("a", {"k": "1"}))
    assert made["metadata"]["managedFields"][0]["operation"] == "Apply"
    assert await asker.apply(PATH, "default", config_map("a", {"k": "1"})) == made
    failure = await refused(409, "conflict", asker.apply(PATH, "default", config_map("a", {"k": "2"}), "other"))
    assert failure.causes[0].reason == "FieldManagerConflict"
    taken = await asker.apply(PATH, "default", config_map("a", {"k": "2"}), "other", force=True)
    assert taken["data"] == {"k": "2"}
    gone = await asker.apply(PATH, "default", config_map("a"), "other")
    assert "k" not in gone.get("data", {})
    await refused(422, "fieldManager: Required value", asker.patch(PATH, "default", "a", config_map("a"), APPLY))
    text = "force: Forbidden: may not be specified for non-apply patch"
    await refused(422, text, asker.patch(PATH, "default", "a", {}, force=True))


async def test_many_patches_at_once_lose_nothing(asker: Asker) -> None:
    await asker.create(PATH, "default", config_map("a"))
    await asyncio.gather(*(asker.patch(PATH, "default", "a", {"data": {f"k{n}": "v"}}) for n in range(100)))
    assert len((await asker.get(PATH, "default", "a"))["data"]) == 100
    assert await asker.store.revision() == 101


async def test_the_generation_counts_changes_of_what_is_wanted(asker: Asker) -> None:
    path = "apps/v1/deployments"
    made = await asker.create(path, "default", deployment("a"))
    assert made["metadata"]["generation"] == 1
    labelled = await asker.patch(path, "default", "a", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 1
    status = await asker.patch(f"{path}/status", "default", "a", {"status": {"replicas": 1}, "spec": {"replicas": 9}})
    assert status["metadata"]["generation"] == 1 and status["status"]["replicas"] == 1
    assert status["spec"]["replicas"] == 1
    spec = await asker.patch(path, "default", "a", {"spec": {"replicas": 2}, "status": {"replicas": 7}})
    assert spec["metadata"]["generation"] == 2 and spec["status"]["replicas"] == 1


class Marks:
    """A plugin that leaves a mark, refuses one name, and remembers the order of calls."""

    name = "Marks"

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def admit(self, attributes: Attributes) -> None:
        self.calls.append(f"admit {attributes.operation}")
        if attributes.object is not None and attributes.request.resource.kind == "ConfigMap":
            attributes.object.setdefault("data", {})["mark"] = "1"

    async def validate(self, attributes: Attributes) -> None:
        self.calls.append(f"validate {attributes.operation}")
        if attributes.name == "bad":
            raise Failure(403, "Forbidden", "bad name")


async def test_admission_sees_every_write() -> None:
    marks = Marks()
    async with running(chain=PlainChain([marks])) as asker:
        made = await asker.create(PATH, "default", config_map("a"))
        assert made["data"] == {"mark": "1"}
        await asker.patch(PATH, "default", "a", {"data": {"mark": None, "k": "v"}})
        await asker.delete(PATH, "default", "a")
        await refused(403, "bad name", asker.create(PATH, "default", config_map("bad")))
        assert marks.calls[:6] == [
            f"{step} {operation}" for operation in ("CREATE", "UPDATE", "DELETE") for step in ("admit", "validate")
        ]


async def test_verbs_that_a_resource_has_not(asker: Asker) -> None:
    await refused(405, "", asker.ask("deletecollection", "v1/namespaces"))
    request = asker.request("get", PATH, "default", "a")
    unknown = msgspec.structs.replace(request, subresource="nothing")
    await refused(404, "the server could not find the requested resource", asker.api.perform(unknown))


class Behind(MemoryStore):
    """A store whose quick looks are answered from what was there before the last `keep`."""

    def __init__(self) -> None:
        super().__init__()
        self.copy: dict[str, Entry | None] = {}

    async def keep(self, key: str) -> None:
        self.copy[key] = await super().get(key)

    async def get(self, key: str, *, fresh: bool = True) -> Entry | None:
        return self.copy[key] if not fresh and key in self.copy else await super().get(key)


async def test_a_copy_that_is_behind_decides_nothing() -> None:
    store = Behind()
    async with running(store) as asker:
        key = "/registry/configmaps/default/a"
        await store.keep(key)
        first = await asker.create(PATH, "default", config_map("a", {"k": "1"}))
        assert (await asker.patch(PATH, "default", "a", {"data": {"n": "1"}}))["data"] == {"k": "1", "n": "1"}
        await asker.delete(PATH, "default", "a")
        await asker.create(PATH, "default", config_map("a", {"k": "1"}))
        await store.keep(key)
        second = await asker.update(PATH, "default", config_map("a", {"k": "2"}))
        assert (await asker.update(PATH, "default", config_map("a", {"k": "1"})))["data"] == {"k": "1"}
        await refused(409, "has been modified", asker.update(PATH, "default", second))
        await store.keep(key)
        held = await asker.patch(PATH, "default", "a", {"metadata": {"finalizers": ["example.com/x"]}})
        await asker.delete(PATH, "default", "a")
        going = await asker.get(PATH, "default", "a")
        assert going["metadata"]["deletionTimestamp"] and held["metadata"]["uid"] != first["metadata"]["uid"]
        await store.keep(key)
        await asker.patch(PATH, "default", "a", {"metadata": {"finalizers": None}})
        await refused(404, "not found", asker.delete(PATH, "default", "a"))
        await refused(404, "not found", asker.patch(PATH, "default", "a", {"data": {"k": "3"}}))


async def test_an_update_need_not_mend_what_it_does_not_touch(asker: Asker) -> None:
    spec = {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "externalIPs": ["127.0.0.1"]}
    spec |= {"type": "ClusterIP", "clusterIP": "None", "clusterIPs": ["None"], "sessionAffinity": "None"}
    metadata = {"name": "old", "namespace": "default", "uid": "u", "creationTimestamp": "2020-01-01T00:00:00Z"}
    stored = {"kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}
    await asker.store.commit(Put("/registry/services/specs/default/old", encode(stored)))
    labelled = await asker.patch("v1/services", "default", "old", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["labels"] == {"a": "b"} and labelled["spec"]["externalIPs"] == ["127.0.0.1"]
    with pytest.raises(Failure, match=r"spec\.externalIPs\[0\]: Invalid value"):
        await asker.patch("v1/services", "default", "old", {"spec": {"externalIPs": ["127.0.0.2"]}})
