"""Objects between the versions of their kind: by name alone, and by a webhook that may not do everything."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from boxship.cluster.api.custom.conversion import Converter
from boxship.cluster.objects import Object
from boxship.cluster.objects.custom.types import root_type
from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.schema import builtin
from boxship.transport.client import HttpClient
from boxship.transport.exchange import Reply, Request
from boxship.transport.listen import PlainAddress
from boxship.transport.server import Server

METADATA = builtin.load(None).definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
TEXT = {"type": "string"}
TYPES = {
    "example.com/v1": root_type({"type": "object", "properties": {"host": TEXT, "port": TEXT}}, METADATA),
    "example.com/v2": root_type(
        {"type": "object", "properties": {"address": TEXT, "mode": {**TEXT, "default": "fast"}}}, METADATA
    ),
}
Answers = Callable[[Object], Any]  # ConversionRequest → response without its uid, or Reply


class Nothing:
    """A Lookup that finds nothing."""

    async def get(self, resource: str, namespace: str, name: str) -> None:
        return None

    async def list(self, resource: str, namespace: str = "") -> list[Object]:
        return []


class Hook:
    """A server that converts as it is told to."""

    def __init__(self) -> None:
        self.answers: Answers = well
        self.asked: list[Object] = []
        self.converter: Converter

    async def handle(self, request: Request) -> Reply:
        review = json.loads(await request.body(1 << 20))
        self.asked.append(review["request"])
        made = self.answers(review["request"])
        if isinstance(made, Reply):
            return made
        response = {"uid": review["request"]["uid"], "result": {"status": "Success"}, **made}
        answer = {"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": response}
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())


def well(request: Object) -> Any:
    """As it should be: v1's host and port are v2's address."""
    converted = []
    for object in request["objects"]:
        made = {**object, "apiVersion": request["desiredAPIVersion"], "address": f"{object['host']}:{object['port']}"}
        converted.append(made)
    return {"convertedObjects": converted}


def spoiled(**changes: Any) -> Answers:
    def answer(request: Object) -> Any:
        made = well(request)
        for object in made["convertedObjects"]:
            for path, value in changes.items():
                first, _, second = path.partition("__")
                if second:
                    object[first] = {**object[first], second: value}
                else:
                    object[first] = value
        return made

    return answer


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    served = Hook()
    server = Server(served.handle)
    await server.start([PlainAddress("127.0.0.1", 0)])
    client = HttpClient()
    config = {"url": f"http://127.0.0.1:{server.addresses[0][1]}/convert"}
    webhook = {"clientConfig": config, "conversionReviewVersions": ["v1"]}
    spec = {"names": {"kind": "Place"}, "conversion": {"strategy": "Webhook", "webhook": webhook}}
    served.converter = Converter(spec, TYPES, client, Nothing())
    try:
        yield served
    finally:
        await client.close()
        await server.stop()


def place(name: str = "a") -> Object:
    metadata = {"name": name, "namespace": "default", "uid": "u", "labels": {"x": "y"}, "finalizers": ["f/f"]}
    return {"apiVersion": "example.com/v1", "kind": "Place", "metadata": metadata, "host": "h", "port": "1"}


async def test_by_name_alone() -> None:
    client = HttpClient()
    converter = Converter({"names": {"kind": "Place"}, "conversion": {"strategy": "None"}}, TYPES, client, Nothing())
    before = place()
    (made,) = await converter.convert([before], "example.com/v2")
    assert made == {"apiVersion": "example.com/v2", "kind": "Place", "metadata": before["metadata"], "mode": "fast"}
    assert before == place()
    await client.close()


async def test_by_webhook(hook: Hook) -> None:
    made = await hook.converter.convert([place("a"), place("b")], "example.com/v2")
    assert [(each["metadata"]["name"], each["address"], each["mode"]) for each in made] == [
        ("a", "h:1", "fast"),
        ("b", "h:1", "fast"),
    ]
    assert all("host" not in each for each in made)
    (asked,) = hook.asked
    assert asked["desiredAPIVersion"] == "example.com/v2"
    assert [each["metadata"]["name"] for each in asked["objects"]] == ["a", "b"]


async def test_who_is_there_already_is_not_asked_for(hook: Hook) -> None:
    there = {"apiVersion": "example.com/v2", "kind": "Place", "metadata": {"name": "c"}, "address": "x"}
    made = await hook.converter.convert([there, place()], "example.com/v2")
    assert [each["address"] for each in made] == ["x", "h:1"]
    assert len(hook.asked[0]["objects"]) == 1


async def test_a_webhook_may_change_labels_and_annotations_only(hook: Hook) -> None:
    hook.answers = spoiled(metadata__labels={"x": "z"}, metadata__finalizers=[], metadata__annotations={"n": "m"})
    (made,) = await hook.converter.convert([place()], "example.com/v2")
    assert made["metadata"]["labels"] == {"x": "z"}
    assert made["metadata"]["annotations"] == {"n": "m"}
    assert made["metadata"]["finalizers"] == ["f/f"]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (lambda _: Reply(500, {}, b"no"), "the server answered 500: no"),
        (lambda _: Reply(200, {}, b"no json"), "unexpected response"),
        (lambda _: Reply(200, {}, b'{"response":[]}'), "unexpected response"),
        (lambda _: {"uid": "other"}, "expected response.uid="),
        (lambda _: {"result": {"status": "Failure", "message": "I will not"}}, "I will not"),
        (lambda _: {"convertedObjects": []}, "expected 1 converted objects, got 0"),
        (lambda _: {"convertedObjects": ["x"]}, "it has no metadata"),
        (
            spoiled(apiVersion="example.com/v3"),
            "invalid groupVersion (expected example.com/v2, received example.com/v3)",
        ),
        (spoiled(kind="Other"), "invalid kind (expected Place, received Other)"),
        (spoiled(metadata__name="b"), "invalid name (expected a, received b)"),
        (spoiled(metadata__uid="w"), "invalid uid (expected u, received w)"),
        (spoiled(metadata__labels={"x": 1}), "labels must be texts"),
    ],
)
async def test_what_a_webhook_does_wrong_is_said(hook: Hook, answers: Answers, why: str) -> None:
    hook.answers = answers
    with pytest.raises(Failure) as refused:
        await hook.converter.convert([place()], "example.com/v2")
    assert refused.value.code == 500
    assert "conversion webhook for example.com/v1, Kind=Place failed: " in str(refused.value)
    assert why in str(refused.value)
