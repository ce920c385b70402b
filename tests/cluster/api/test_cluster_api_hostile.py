"""Whatever is sent, the answer is an object or a Failure; never an error without a Status, never a half-made object."""

import random
from typing import Any

import msgspec
import pytest
from cluster_api_kit import APPLY, JSON, JSON_PATCH, MERGE, STRATEGIC, Asker, StillClock, running, schemas

from boxship.cluster.api.request import Body, View
from boxship.cluster.api.services import ServiceAddresses
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.resource import Resource
from boxship.cluster.objects.schema.types import Form, Type
from boxship.store.memory import MemoryStore

REQUESTS = 4000
NAMES = ("a", "b", "default")
WORDS = ("", "a", "default", "A_b", "x" * 70, "1", "-1", "None", "*", "Always", "TCP", "a.b/c", "NodePort", "::1")
WORDS += ("10.96.0.7", "10.0.0.0/8", "/x", "../y", "é", "v1", "apps/v1", "Pod", "{{", "$(X)", "a=b", "system:x")
SCALARS: dict[Form, tuple[Any, ...]] = {
    Form.INTEGER: (0, 1, -1, 80, 70000, 2**31, -(2**63)),
    Form.NUMBER: (0, 1.5, -1),
    Form.BOOLEAN: (True, False),
    Form.INT_OR_STRING: (0, 1, "50%", "x", "", -5),
    Form.QUANTITY: ("1", "100m", "1Gi", "-1", "x", 5, "1e3"),
    Form.TIME: ("2020-01-01T00:00:00Z", "x", None),
    Form.MICRO_TIME: ("2020-01-01T00:00:00.000000Z",),
    Form.BYTES: ("", "YQ==", "!"),
    Form.STRING: WORDS,
}
OPERATIONS = ("add", "remove", "replace", "test", "move", "nothing")
PATHS = ("/spec", "/metadata/labels", "/spec/x/0", "", "/status", "/metadata", "/metadata/uid", "x")


def some(chance: random.Random, type_: Type, depth: int = 0) -> Any:
    """A value of about this type."""
    if depth > 7 or chance.random() < 0.01:
        return chance.choice((None, 1, "x", [], {}, [{}]))
    if type_.choices and chance.random() < 0.7:
        return chance.choice(type_.choices)
    if type_.form is Form.OBJECT:
        names = [name for name in type_.required if name in type_.fields and chance.random() < 0.9]
        names += chance.sample(list(type_.fields), min(len(type_.fields), chance.randrange(4)))
        return {name: some(chance, type_.fields[name], depth + 1) for name in names}
    if type_.form in (Form.MAP, Form.LIST):
        items = [some(chance, type_.items, depth + 1) if type_.items else "x" for _ in range(chance.randrange(3))]
        return items if type_.form is Form.LIST else {chance.choice(WORDS): item for item in items}
    return chance.choice(SCALARS.get(type_.form, (None, 1, "x", [], {"a": [1]})))


def some_object(chance: random.Random, resource: Resource, name: str) -> Object:
    object: Object = some(chance, schemas().type_of(resource.group, resource.version, resource.kind))
    if not isinstance(object, dict):
        object = {}
    metadata = object.get("metadata")
    kept = metadata if isinstance(metadata, dict) and chance.random() < 0.3 else {}
    return {**object, "metadata": {**kept, "name": name}, "apiVersion": resource.api_version, "kind": resource.kind}


async def ask_something(asker: Asker, chance: random.Random, resource: Resource) -> None:
    name, namespace = chance.choice(NAMES), "default" if resource.namespaced else ""
    verb = chance.choice(("create", "create", "update", "patch", "patch", "delete", "get", "list"))
    part = chance.choice(("", "", "", *resource.subresources)) if verb in ("update", "patch", "get") else ""
    options: dict[str, Any] = {}
    body = None
    if verb in ("create", "update"):
        body = Body(JSON, msgspec.json.encode(some_object(chance, resource, name)))
    elif verb == "patch":
        kind = chance.choice((MERGE, STRATEGIC, JSON_PATCH, APPLY))
        patch: Any = some_object(chance, resource, name)
        if kind == JSON_PATCH:
            value = chance.choice((1, "x", {}, [], None, {"a": "b"}))
            patch = [{"op": chance.choice(OPERATIONS), "path": chance.choice(PATHS), "value": value}]
        if kind == APPLY:
            options = {"field_manager": chance.choice("mn"), "force": chance.random() < 0.5}
        body = Body(kind, msgspec.json.encode(patch))
    elif verb == "list":
        options["view"] = View(chance.choice(("whole", "table", "metadata")))
        options["limit"] = chance.choice((0, 1))
    path = f"{resource.path}/{part}" if part else resource.path
    await asker.ask(verb, path, namespace, "" if verb in ("create", "list") else name, body=body, **options)


@pytest.mark.parametrize("seed", [1, 2])
async def test_objects_of_every_kind_with_anything_in_them(seed: int) -> None:
    store, chance = MemoryStore(), random.Random(seed)
    addresses = ServiceAddresses(store, "10.96.0.0/20", StillClock())
    async with running(store, companions={"services/specs": addresses}) as asker:
        resources = [resource for resource in asker.api.catalog.all() if resource.stored]
        worked = 0
        for _ in range(REQUESTS):
            resource = chance.choice(resources)
            before = await store.revision()
            try:
                await ask_something(asker, chance, resource)
                worked += 1
            except Failure as failure:
                assert failure.code < 500 or failure.code in (501, 503) or "resourceVersion should not" in str(failure)
                assert await store.revision() == before or failure.code == 409
        assert worked > REQUESTS // 10


@pytest.mark.parametrize("media_type", [JSON, "application/yaml", "application/vnd.kubernetes.protobuf"])
async def test_bytes_that_mean_nothing(media_type: str) -> None:
    chance = random.Random(3)
    beginnings = (b"", b"{", b"k8s\0", b'{"metadata":', b"a: &a [*a]", b"[", b"\xff\xfe", b"---\n", b'"')
    async with running() as asker:
        for number in range(150):
            data = chance.choice(beginnings) + chance.randbytes(chance.randrange(40))
            with pytest.raises(Failure) as caught:
                await asker.ask("create", "v1/configmaps", "default", body=Body(media_type, data))
            assert 400 <= caught.value.code < 500, (number, data)
        assert await asker.store.revision() == 0
