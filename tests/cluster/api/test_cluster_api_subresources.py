"""Subresources and what is not stored."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from cluster_api_kit import APPLY, JSON, JSON_PATCH, Asker, running

from boxship.cluster.api.request import Answer, Body, User, View
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure

PODS = "v1/pods"
BUDGETS = "policy/v1/poddisruptionbudgets"


class FakeReviews:
    async def answer(self, user: User, review: Object) -> Object:
        return {**review, "status": {"allowed": user.name == "admin"}}


class FakeTokens:
    async def issue(self, namespace: str, name: str, request: Object) -> Object:
        return {**request, "status": {"token": f"{namespace}/{name}"}}


@pytest.fixture
async def asker() -> AsyncIterator[Asker]:
    async with running(reviews=FakeReviews(), tokens=FakeTokens()) as asker:
        yield asker


async def refused(code: int, text: str, asking: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await asking
    assert caught.value.code == code, str(caught.value)
    assert text in str(caught.value)
    return caught.value


async def post(asker: Asker, path: str, name: str, object: Object, namespace: str = "default") -> Any:
    return await asker.ask("create", path, namespace, name, body=Body(JSON, msgspec.json.encode(object)))


def pod(name: str, **spec: Any) -> Object:
    containers = [{"name": "c", "image": "i"}]
    return {"metadata": {"name": name, "labels": {"app": "a"}}, "spec": {"containers": containers, **spec}}


def deployment(name: str) -> Object:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a:1"}]}}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels}, "template": template}}


async def test_scale(asker: Asker) -> None:
    path = "apps/v1/deployments"
    await asker.create(path, "default", deployment("a"))
    scale = await asker.get(f"{path}/scale", "default", "a")
    assert (scale["kind"], scale["spec"]["replicas"], scale["status"]["selector"]) == ("Scale", 1, "app=a")
    scale["spec"]["replicas"] = 4
    changed = await asker.update(f"{path}/scale", "default", scale)
    assert changed["spec"]["replicas"] == 4
    await refused(409, "the object has been modified", asker.update(f"{path}/scale", "default", scale))
    operations = [{"op": "replace", "path": "/spec/replicas", "value": 2}]
    await asker.patch(f"{path}/scale", "default", "a", operations, JSON_PATCH)
    stored = await asker.get(path, "default", "a")
    assert (stored["spec"]["replicas"], stored["metadata"]["generation"]) == (2, 3)
    await refused(422, "spec.replicas", asker.patch(f"{path}/scale", "default", "a", {"spec": {"replicas": -1}}))
    table = await asker.get(f"{path}/scale", "default", "a", view=View("table"))
    assert table["rows"][0]["cells"][0] == "a"
    applied = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 7}}
    await refused(409, "conflict", asker.patch(f"{path}/scale", "default", "a", applied, APPLY, field_manager="m"))
    made = await asker.patch(f"{path}/scale", "default", "a", applied, APPLY, field_manager="m", force=True)
    assert made["spec"]["replicas"] == 7
    entries = (await asker.get(path, "default", "a"))["metadata"]["managedFields"]
    assert {"manager": "m", "operation": "Apply", "subresource": "scale"}.items() <= entries[0].items()
    entries = stored["metadata"]["managedFields"]
    assert any(entry.get("subresource") == "scale" for entry in entries)


async def test_bindings(asker: Asker) -> None:
    await asker.create(PODS, "default", pod("a"))
    await asker.patch(f"{PODS}/status", "default", "a", {"status": {"nominatedNodeName": "n1"}})
    binding = {"metadata": {"name": "a", "annotations": {"k": "v"}}, "target": {"kind": "Node", "name": "n1"}}
    done = await post(asker, f"{PODS}/binding", "a", binding)
    assert (done["kind"], done["status"]) == ("Status", "Success")
    bound = await asker.get(PODS, "default", "a")
    assert bound["spec"]["nodeName"] == "n1" and bound["metadata"]["annotations"] == {"k": "v"}
    assert bound["status"]["conditions"][0]["type"] == "PodScheduled" and "nominatedNodeName" not in bound["status"]
    text = 'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n1"'
    await refused(409, text, post(asker, f"{PODS}/binding", "a", binding))
    await refused(422, "target.name: Required value", post(asker, f"{PODS}/binding", "a", {"target": {"name": ""}}))
    await asker.create(PODS, "default", pod("b"))
    await asker.create("v1/bindings", "default", {"metadata": {"name": "b"}, "target": {"name": "n2"}})
    assert (await asker.get(PODS, "default", "b"))["spec"]["nodeName"] == "n2"
    await refused(404, 'pods "none" not found', post(asker, f"{PODS}/binding", "none", {"target": {"name": "n"}}))


async def ready_pod(asker: Asker, name: str) -> None:
    await asker.create(PODS, "default", pod(name, nodeName="n"))
    conditions = [{"type": "Ready", "status": "True"}]
    status = {"status": {"phase": "Running", "conditions": conditions}}
    await asker.patch(f"{PODS}/status", "default", name, status)


async def test_evictions_ask_the_budget(asker: Asker) -> None:
    for name in ("a", "b", "c"):
        await ready_pod(asker, name)
    selector = {"matchLabels": {"app": "a"}}
    await asker.create(
        BUDGETS, "default", {"metadata": {"name": "p"}, "spec": {"minAvailable": 2, "selector": selector}}
    )
    eviction = {"metadata": {"name": "a"}}
    failure = await refused(429, "Cannot evict pod as it would", post(asker, f"{PODS}/eviction", "a", eviction))
    assert failure.retry_after == 10 and "still being processed" in failure.causes[0].message
    status = {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2}
    status |= {"expectedPods": 3}
    await asker.patch(f"{BUDGETS}/status", "default", "p", {"status": status})
    assert (await post(asker, f"{PODS}/eviction", "a", eviction))["status"] == "Success"
    budget = (await asker.get(BUDGETS, "default", "p"))["status"]
    assert budget["disruptionsAllowed"] == 0 and list(budget["disruptedPods"]) == ["a"]
    assert (await asker.get(PODS, "default", "a"))["metadata"]["deletionTimestamp"]
    failure = await refused(429, "", post(asker, f"{PODS}/eviction", "b", {"metadata": {"name": "b"}}))
    assert failure.causes[0].message == "The disruption budget p needs 2 healthy pods and has 3 currently"
    assert failure.causes[0].reason == "DisruptionBudget"
    await asker.create(PODS, "default", pod("pending"))
    old = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "pending"}}
    await post(asker, f"{PODS}/eviction", "pending", {**old, "deleteOptions": {"dryRun": ["All"]}})
    await asker.get(PODS, "default", "pending")
    await post(asker, f"{PODS}/eviction", "pending", old)
    await refused(404, "", asker.get(PODS, "default", "pending"))
    await refused(404, "", post(asker, f"{PODS}/eviction", "none", {"metadata": {"name": "none"}}))


async def test_status_and_certificate_requests(asker: Asker) -> None:
    path = "certificates.k8s.io/v1/certificatesigningrequests"
    spec = {"request": CSR, "signerName": "example.com/x", "usages": ["client auth"], "username": "mallory"}
    made = await asker.create(path, "", {"metadata": {"name": "r"}, "spec": spec})
    assert made["spec"]["username"] == "admin" and made["spec"]["groups"] == ["system:masters"]
    approved = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}}
    await refused(422, "may not add", asker.patch(f"{path}/status", "", "r", approved))
    done = await asker.patch(f"{path}/approval", "", "r", approved)
    assert done["status"]["conditions"][0]["lastTransitionTime"] == "2026-11-22T12:00:00Z"
    await refused(422, "may not remove", asker.patch(f"{path}/approval", "", "r", {"status": {"conditions": []}}))


async def test_parts_of_pods(asker: Asker) -> None:
    await asker.create(PODS, "default", pod("a", nodeName="n"))
    debugger = {"spec": {"ephemeralContainers": [{"name": "d", "image": "i"}]}}
    changed = await asker.patch(f"{PODS}/ephemeralcontainers", "default", "a", debugger)
    assert [each["name"] for each in changed["spec"]["ephemeralContainers"]] == ["d"]
    image = {"spec": {"containers": [{"name": "c", "image": "new"}]}}
    await asker.patch(PODS, "default", "a", image, "application/strategic-merge-patch+json")
    assert (await asker.get(PODS, "default", "a"))["spec"]["containers"][0]["image"] == "new"


async def test_reviews_and_tokens(asker: Asker) -> None:
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    answer = await asker.api.perform(
        asker.request(
            "create",
            "authorization.k8s.io/v1/selfsubjectaccessreviews",
            body=Body(JSON, msgspec.json.encode(review)),
        )
    )
    assert isinstance(answer, Answer) and answer.code == 201
    assert msgspec.json.decode(answer.body)["status"] == {"allowed": True}
    await asker.create("v1/serviceaccounts", "default", {"metadata": {"name": "sa"}})
    token = await post(asker, "v1/serviceaccounts/token", "sa", {"spec": {"expirationSeconds": 3600}})
    assert token["status"]["token"] == "default/sa" and token["kind"] == "TokenRequest"
    short = post(asker, "v1/serviceaccounts/token", "sa", {"spec": {"expirationSeconds": 60}})
    await refused(422, "may not specify a duration less than 10 minutes", short)


async def test_what_a_node_would_answer(asker: Asker) -> None:
    await asker.create(PODS, "default", pod("a"))
    await refused(400, "pod a does not have a host assigned", asker.get(f"{PODS}/log", "default", "a"))
    await asker.create(PODS, "default", pod("b", nodeName="n"))
    await refused(503, "no node agent answers for pods/log on n", asker.get(f"{PODS}/log", "default", "b"))
    await refused(503, "no node agent", asker.ask("connect", f"{PODS}/exec", "default", "b"))
    await refused(404, 'pods "c" not found', asker.ask("connect", f"{PODS}/exec", "default", "c"))
    assert (await asker.list("v1/componentstatuses"))["items"] == []


CSR = (
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlJQk56Q0IzZ0lCQURBaU1SRXdEd1lEVlFRS0RBaHpZVzF3YkdWeWMzRU5NQXNHQTFV"
    "RUF3d0VibUZ0WlRCWgotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K"
)
