"""Webhooks: which writes they are asked about, what they may answer, and what happens when they do not."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cluster_admission_kit import PATHS, Known, named, resource_at, write

from boxship.cluster.api.admission import Attributes
from boxship.cluster.api.admission.chain import AdmissionChain
from boxship.cluster.api.admission.webhooks.calling import endpoint_of
from boxship.cluster.api.admission.webhooks.matching import find
from boxship.cluster.api.admission.webhooks.plugins import (
    MutatingAdmissionWebhook,
    Parts,
    ValidatingAdmissionWebhook,
)
from boxship.cluster.api.admission.webhooks.review import Wrong, answer
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, internal
from boxship.cluster.objects.patch import json_patch
from boxship.cluster.objects.resource import Resource
from boxship.errors import Unavailable
from boxship.transport.client import HttpClient
from boxship.transport.exchange import Reply, Request
from boxship.transport.listen import PlainAddress
from boxship.transport.server import Server

CONFIGURATIONS = "admissionregistration.k8s.io/v1"
Answers = Callable[[Object], Any]  # AdmissionRequest -> response without its uid, or Reply


class Hooks:
    """A server of webhooks: paths to functions; the requests that came."""

    def __init__(self) -> None:
        self.answers: dict[str, Answers] = {}
        self.asked: list[tuple[str, Object]] = []
        self.port = 0

    async def handle(self, request: Request) -> Reply:
        told = json.loads(await request.body(1 << 20))["request"]
        name = request.path.strip("/")
        self.asked.append((name, told))
        made = self.answers[name](told)
        if asyncio.iscoroutine(made):
            made = await made
        if isinstance(made, Reply):
            return made
        review = {
            "kind": "AdmissionReview",
            "apiVersion": "admission.k8s.io/v1",
            "response": {"uid": told["uid"], **made},
        }
        return Reply(200, {"Content-Type": "application/json"}, json.dumps(review).encode())

    def hook(self, name: str, answers: Answers, **fields: Any) -> Object:
        """The webhook's entry in a configuration; it is asked about config maps."""
        self.answers[name] = answers
        rules = [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}]
        config = {"url": f"http://127.0.0.1:{self.port}/{name}"}
        return {
            "name": name,
            "rules": rules,
            "clientConfig": config,
            "sideEffects": "None",
            "timeoutSeconds": 5,
            **fields,
        }


@asynccontextmanager
async def hooks() -> AsyncIterator[tuple[Hooks, Known, Parts]]:
    served = Hooks()
    server = Server(served.handle)
    await server.start([PlainAddress("127.0.0.1", 0)])
    served.port = server.addresses[0][1]
    client = HttpClient()
    known = Known().put("v1/namespaces", named("default", metadata={"labels": {"kind": "test"}}))

    async def convert(made: Object, resource: Resource) -> Object:
        return {**made, "apiVersion": resource.api_version}

    async def conditions(wanted: Any, attributes: Attributes, told: Object) -> bool:
        if wanted[0]["expression"] == "error":
            raise internal("a condition failed")
        return bool(wanted[0]["expression"] == "true")

    def others(resource: Resource) -> list[Resource]:
        return [each for each in PATHS.values() if each.storage == resource.storage and each.path != resource.path]

    def finish(made: Object, resource: Resource) -> Object:
        return made

    def patch(made: Object, operations: Any) -> Object:
        return json_patch(made, list(operations))

    try:
        yield served, known, Parts(known, client, others, convert, conditions, patch, finish)
    finally:
        await client.close()
        await server.stop()


def adds(key: str, value: str) -> Answers:
    operations = [{"op": "add", "path": f"/data/{key}", "value": value}]
    encoded = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda told: {"allowed": True, "patchType": "JSONPatch", "patch": encoded}


def configuration(name: str, *webhooks: Object) -> Object:
    return named(name, webhooks=list(webhooks))


def config_map(**data: str) -> Attributes:
    return write("v1/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", **named("c", "default"), "data": data})


async def test_mutating_webhooks_see_what_others_did() -> None:
    async with hooks() as (served, known, parts):
        known.put(
            f"{CONFIGURATIONS}/mutatingwebhookconfigurations",
            configuration("b", served.hook("second", adds("b", "2"))),
            configuration("a", served.hook("first", adds("a", "1"), reinvocationPolicy="IfNeeded")),
        )
        attributes = config_map(x="0")
        await AdmissionChain([MutatingAdmissionWebhook(parts)]).admit(attributes)
        assert attributes.object is not None and attributes.object["data"] == {"x": "0", "a": "1", "b": "2"}
        assert [name for name, _ in served.asked] == ["first", "second", "first"]  # the first looks again, as it asked
        told = served.asked[0][1]
        assert told["operation"] == "CREATE" and told["resource"] == {
            "group": "",
            "version": "v1",
            "resource": "configmaps",
        }
        assert told["userInfo"]["username"] == "alice" and told["namespace"] == "default" and told["name"] == "c"
        assert told["object"]["data"] == {"x": "0"} and told["oldObject"] is None and told["dryRun"] is False
        assert served.asked[1][1]["object"]["data"] == {"x": "0", "a": "1"}


async def test_validating_webhooks_refuse_and_warn() -> None:
    async with hooks() as (served, known, parts):
        no = {"allowed": False, "status": {"code": 409, "reason": "Conflict", "message": "not today"}}
        known.put(
            f"{CONFIGURATIONS}/validatingwebhookconfigurations",
            configuration("a", served.hook("fine", lambda told: {"allowed": True, "warnings": ["be careful"]})),
            configuration(
                "b", served.hook("strict", lambda told: no if "bad" in told["object"]["data"] else {"allowed": True})
            ),
        )
        plugin = ValidatingAdmissionWebhook(parts)
        fine = config_map(x="0")
        await plugin.validate(fine)
        assert fine.request.warn == ["be careful"]
        with pytest.raises(Failure) as refused:
            await plugin.validate(config_map(bad="1"))
        assert (refused.value.code, refused.value.reason) == (409, "Conflict")
        assert str(refused.value) == 'admission webhook "strict" denied the request: not today'


async def test_webhooks_that_do_not_answer() -> None:
    async with hooks() as (served, known, parts):
        path = f"{CONFIGURATIONS}/validatingwebhookconfigurations"
        never = asyncio.Event()

        async def slow(told: Object) -> Any:
            await never.wait()

        wrong: list[tuple[Answers, str]] = [
            (lambda told: Reply(500, {}, b"broken"), "the server answered 500: broken"),
            (lambda told: Reply(200, {}, b"{}"), "there is no response"),
            (lambda told: {"allowed": True, "uid": "another"}, "expected response.uid="),
            (lambda told: {"allowed": True, "patch": "e30=", "patchType": "JSONPatch"}, "may not patch"),
            (slow, r'Post "http:.*hook\?timeout=1s": context deadline exceeded'),
        ]
        for answers, text in wrong:
            hook = served.hook("hook", answers, timeoutSeconds=1 if answers is slow else 5)
            known.objects[path] = [configuration("a", hook)]
            with pytest.raises(Failure, match=f'failed calling webhook "hook": .*{text}') as failed:
                await ValidatingAdmissionWebhook(parts).validate(config_map())
            assert failed.value.code == 500
        known.objects[path] = [configuration("a", {**hook, "failurePolicy": "Ignore"})]
        open_again = config_map()
        await ValidatingAdmissionWebhook(parts).validate(open_again)
        assert "failed-open.validating.webhook.admission.k8s.io/a" in open_again.request.notes
        never.set()


async def test_whom_a_webhook_is_asked_about() -> None:
    async with hooks() as (served, known, parts):
        path = f"{CONFIGURATIONS}/validatingwebhookconfigurations"
        plugin = ValidatingAdmissionWebhook(parts)

        async def is_asked(attributes: Attributes, **fields: Any) -> bool:
            known.objects[path] = [configuration("a", served.hook("hook", lambda told: {"allowed": True}, **fields))]
            before = len(served.asked)
            await plugin.validate(attributes)
            return len(served.asked) > before

        labelled = config_map()
        assert labelled.object is not None
        labelled.object["metadata"]["labels"] = {"app": "web"}
        assert await is_asked(labelled, objectSelector={"matchLabels": {"app": "web"}})
        assert not await is_asked(labelled, objectSelector={"matchLabels": {"app": "db"}})
        assert await is_asked(labelled, namespaceSelector={"matchLabels": {"kind": "test"}})
        assert not await is_asked(labelled, namespaceSelector={"matchLabels": {"kind": "other"}})
        assert await is_asked(labelled, matchConditions=[{"name": "m", "expression": "true"}])
        assert not await is_asked(labelled, matchConditions=[{"name": "m", "expression": "false"}])
        assert not await is_asked(
            labelled, matchConditions=[{"name": "m", "expression": "error"}], failurePolicy="Ignore"
        )
        with pytest.raises(Failure, match="a condition failed"):
            await is_asked(labelled, matchConditions=[{"name": "m", "expression": "error"}])
        dry = config_map()
        dry.dry_run = True
        assert await is_asked(dry)
        with pytest.raises(Failure, match='admission webhook "hook" does not support dry run'):
            await is_asked(dry, sideEffects="Unknown")
        everything = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]
        itself = write(path, named("w", webhooks=[]))
        assert not await is_asked(itself, rules=everything)  # the way to take a broken webhook away


@pytest.mark.parametrize(
    ("rule", "path", "subresource", "fits"),
    [
        ({"resources": ["pods"]}, "v1/pods", "", True),
        ({"resources": ["pods"]}, "v1/pods", "status", False),
        ({"resources": ["pods/status"]}, "v1/pods", "status", True),
        ({"resources": ["pods/*"]}, "v1/pods", "", True),
        ({"resources": ["*"]}, "v1/pods", "status", False),
        ({"resources": ["*/*"]}, "v1/pods", "status", True),
        ({"resources": ["*/scale"]}, "v1/pods", "status", False),
        ({"operations": ["UPDATE"]}, "v1/pods", "", False),
        ({"apiGroups": ["apps"]}, "v1/pods", "", False),
        ({"scope": "Cluster"}, "v1/pods", "", False),
        ({"scope": "Namespaced"}, "v1/pods", "", True),
        ({"scope": "Cluster"}, "v1/namespaces", "", True),
        ({"resourceNames": ["other"]}, "v1/pods", "", False),
    ],
)
def test_rules(rule: Object, path: str, subresource: str, fits: bool) -> None:
    whole = {"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], **rule}
    attributes = write(path, named("p"), subresource=subresource)
    assert (find([whole], attributes, "Exact", lambda resource: []) is not None) == fits


def test_rules_for_another_version() -> None:
    rules = [{"operations": ["*"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["*"]}]
    old, new = (
        resource_at("autoscaling/v1/horizontalpodautoscalers"),
        resource_at("autoscaling/v2/horizontalpodautoscalers"),
    )
    attributes = write(new.path, named("h"))
    match = find(rules, attributes, "Equivalent", lambda resource: [old])
    assert match is not None and match.resource is old
    assert find(rules, attributes, "Exact", lambda resource: [old]) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"response": 1}', b'{"response": {"uid": "u", "patch": "?"}}'])
def test_answers_that_are_none(data: bytes) -> None:
    with pytest.raises(Wrong):
        answer(data, "u", may_patch=True)


async def test_endpoints_of_a_service() -> None:
    service = named("s", "n", spec={"ports": [{"name": "https", "port": 443}, {"name": "other", "port": 80}]})
    part = named("s-1", "n", metadata={"labels": {"kubernetes.io/service-name": "s"}})
    part["ports"] = [{"name": "https", "port": 8443}]
    part["endpoints"] = [
        {"addresses": ["10.0.0.1"]},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": True}},
    ]
    known = Known().put("v1/services", service).put("discovery.k8s.io/v1/endpointslices", part)
    assert {await endpoint_of(known, "n", "s", 443) for _ in range(4)} == {("10.0.0.1", 8443), ("10.0.0.3", 8443)}
    for name, port, text in (("s", 80, "no endpoints available"), ("s", 1, "no service port 1"), ("t", 1, "not found")):
        with pytest.raises(Unavailable, match=text):
            await endpoint_of(known, "n", name, port)
