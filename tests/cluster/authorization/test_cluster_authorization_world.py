"""Rights over stored roles: granted ones hold at once, nobody gives away what he has not, nodes see what is theirs."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from world_kit import World, running_world

from boxship.cluster.api.authorization import mirror as mirroring
from boxship.cluster.api.authorization.mirror import Mirror
from boxship.cluster.api.authorization.nodes import Nodes
from boxship.cluster.api.authorization.offers import Offers
from boxship.cluster.api.gate import Gate, Visit
from boxship.cluster.api.request import Ask, Request, Stream, User
from boxship.cluster.api.storage import Storage, Unsealed, encode, key_of, prefix_of
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import built_in
from boxship.cluster.objects.failure import Failure
from boxship.store import Delete, Put
from boxship.store.memory import MemoryStore

together = pytest.mark.asyncio(loop_scope="module")  # on the loop of the module's world
RBAC = "rbac.authorization.k8s.io"
ROLES, BINDINGS = f"{RBAC}/v1/roles", f"{RBAC}/v1/rolebindings"
NODE = User("system:node:one", ("system:nodes", "system:authenticated"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running_world(tmp_path_factory.mktemp("world"), with_controllers=False) as running:
        create = running.client.create
        await create(ROLES, "default", role("reading", ("get", "", "pods")))
        await create(BINDINGS, "default", binding("joe", "ClusterRole", "system:aggregate-to-admin", "joe"))
        await create(BINDINGS, "default", binding("joe2", "Role", "reading", "joe"))
        yield running


def user(name: str, *groups: str) -> User:
    return User(name, (*groups, "system:authenticated"))


def role(name: str, *rules: tuple[str, str, str]) -> Object:
    made = [
        {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
        for verbs, group, resources in rules
    ]
    return {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": name}, "rules": made}


def binding(name: str, kind: str, target: str, who: str) -> Object:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": target},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": who}],
    }


async def test_one_that_cannot_be_read_counts_for_nothing_and_keeps_no_other_from_being_known() -> None:
    store = MemoryStore()
    resource = built_in(RBAC, "v1", "roles")
    assert resource is not None
    for name, value in (("a", b"\x00 not JSON"), ("b", b'{"metadata":{"name":"b"}}'), ("c", b"[]")):
        await store.commit(Put(key_of(resource, "n", name), value))
    told: list[tuple[str, bool]] = []
    mirror = Mirror(
        Storage(store, Unsealed()), (resource,), lambda _, __, name, object: told.append((name, bool(object)))
    )
    await mirror.load()
    assert told == [("a", False), ("b", True), ("c", False)]


async def test_what_is_gone_is_forgotten_also_where_only_one_kind_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring, "GONE_LIMIT", 3)
    store = MemoryStore()
    storage = Storage(store, Unsealed())
    told: list[tuple[str, bool]] = []
    resources = [resource for plural in ("pods", "nodes") if (resource := built_in("", "v1", plural))]
    mirror = Mirror(storage, resources, lambda _, __, name, object: told.append((name, object is not None)))
    names = [f"p{number}" for number in range(12)]
    await mirror.load()
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(mirror.follow())
        for name in names:
            key = key_of(resources[0], "n", name)
            await store.commit(Put(key, encode({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}})))
            await store.commit(Delete(key))
        async with asyncio.timeout(20.0):
            while len(told) < 2 * len(names):
                await asyncio.sleep(0)
        following.cancel()
    assert told == [(name, there) for name in names for there in (True, False)]
    assert len(mirror._gone[prefix_of(resources[0])]) <= 4


@together
async def test_a_granted_right_holds_at_once(world: World) -> None:
    ask = Ask(user("grete"), "get", resource="pods", namespace="default")
    assert not (await world.authorizer.authorize(ask)).allowed
    await world.client.create(BINDINGS, "default", binding("grete", "Role", "reading", "grete"))
    assert (await world.authorizer.authorize(ask)).allowed
    await world.client.delete(BINDINGS, "default", "grete")
    await world.authorizer._mirror.refresh()
    with pytest.raises(Failure) as refused:
        await world.authorizer.check(ask)
    assert 'the Role "reading" or the ClusterRole "' in str(refused.value)


@together
async def test_nobody_gives_away_what_he_has_not(world: World) -> None:
    joe = world.client_of(user("joe"))
    await joe.create(ROLES, "default", role("same", ("get", "", "pods")))
    with pytest.raises(Failure) as refused:
        await joe.create(ROLES, "default", role("more", ("get list", "", "pods"), ("get", "", "secrets")))
    assert str(refused.value) == (
        'roles.rbac.authorization.k8s.io "more" is forbidden: user "joe" (groups=["system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}'
    )
    with pytest.raises(Failure, match="not currently held"):
        await joe.create(BINDINGS, "default", binding("x", "ClusterRole", "cluster-admin", "joe"))
    with pytest.raises(Failure, match=r'clusterroles\.rbac\.authorization\.k8s\.io "nobody" not found'):
        await joe.create(BINDINGS, "default", binding("x", "ClusterRole", "nobody", "joe"))
    await joe.create(BINDINGS, "default", binding("y", "Role", "same", "jack"))
    with pytest.raises(Failure, match="not currently held"):
        await joe.patch(ROLES, "default", "same", {"rules": role("", ("*", "*", "*"))["rules"]})


@together
async def test_bind_and_escalate_are_rights_of_their_own(world: World) -> None:
    rules = [
        {"verbs": ["bind"], "apiGroups": [RBAC], "resources": ["clusterroles"], "resourceNames": ["edit"]},
        {"verbs": ["escalate"], "apiGroups": [RBAC], "resources": ["roles"]},
    ]
    made = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": "granting"}, "rules": rules}
    await world.client.create(ROLES, "default", made)
    await world.client.create(BINDINGS, "default", binding("anna", "Role", "granting", "anna"))
    anna = world.client_of(user("anna"))
    await anna.create(BINDINGS, "default", binding("by-anna", "ClusterRole", "edit", "jack"))
    with pytest.raises(Failure, match="not currently held"):
        await anna.create(BINDINGS, "default", binding("by-anna2", "ClusterRole", "system:aggregate-to-edit", "jack"))
    await anna.create(ROLES, "default", role("by-anna", ("*", "*", "*")))


@together
async def test_who_may_only_change_makes_nothing(world: World) -> None:
    maps, leases = "v1/configmaps", "coordination.k8s.io/v1/leases"
    rules = (("get update patch", "", "configmaps"), ("get update patch", "coordination.k8s.io", "leases"))
    await world.client.create(ROLES, "default", role("changing", *rules))
    await world.client.create(BINDINGS, "default", binding("carl", "Role", "changing", "carl"))
    carl = world.client_of(user("carl"))
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}, "data": {"a": "b"}}
    with pytest.raises(Failure, match='User "carl" cannot create resource "configmaps"') as refused:
        await carl.apply(maps, "default", "mine", made, manager="carl")
    assert refused.value.code == 403
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "default"}}
    with pytest.raises(Failure, match='User "carl" cannot create resource "leases"'):
        await carl.update(leases, lease)
    await world.client.create(maps, "default", made)
    assert (await carl.apply(maps, "default", "mine", {**made, "data": {"a": "c"}}, manager="carl"))["data"]
    await world.client.create(ROLES, "default", role("making", ("create", "", "configmaps")))
    await world.client.create(BINDINGS, "default", binding("carl2", "Role", "making", "carl"))
    assert await carl.apply(maps, "default", "other", {**made, "metadata": {"name": "other"}}, manager="carl")


@together
async def test_only_masters_gather_cluster_roles(world: World) -> None:
    made = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "gathering"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    }
    with pytest.raises(Failure, match="must have cluster-admin privileges to use the aggregationRule"):
        await world.client_of(user("joe")).create(f"{RBAC}/v1/clusterroles", "", made)
    await world.client.create(f"{RBAC}/v1/clusterroles", "", made)


def pod(name: str, node: str, secret: str) -> Object:
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": node,
            "serviceAccountName": "default",
            "containers": [],
            "volumes": [
                {"name": "a", "secret": {"secretName": secret}},
                {"name": "b", "persistentVolumeClaim": {"claimName": "c"}},
            ],
        },
    }


def told(nodes: Nodes, resource: Any, namespace: str, name: str, object: Object | None) -> None:
    nodes._told(resource, namespace, name, object)


@together
async def test_a_node_sees_what_its_pods_need(world: World) -> None:
    nodes = Nodes(world.storage)
    pods, volumes = world.catalog.at("v1/pods"), world.catalog.at("v1/persistentvolumes")
    told(nodes, pods, "default", "web", pod("web", "one", "key"))
    told(nodes, pods, "default", "other", pod("other", "two", "theirs"))
    claim = {"namespace": "default", "name": "c"}
    csi = {"nodeStageSecretRef": {"namespace": "kube-system", "name": "disk"}}
    told(nodes, volumes, "", "v", {"spec": {"claimRef": claim, "csi": csi}})

    def allowed(verb: str, resource: str, namespace: str, name: str, **more: str) -> bool:
        return nodes.decide("one", Ask(NODE, verb, resource=resource, namespace=namespace, name=name, **more)).allowed

    assert allowed("get", "secrets", "default", "key")
    assert allowed("watch", "secrets", "default", "key")
    assert not allowed("get", "secrets", "default", "theirs")
    assert not allowed("list", "secrets", "default", "")
    assert not allowed("update", "secrets", "default", "key")
    assert allowed("get", "secrets", "kube-system", "disk")
    assert allowed("get", "persistentvolumes", "", "v")
    assert allowed("create", "serviceaccounts", "default", "default", subresource="token")
    assert not allowed("create", "serviceaccounts", "other", "default", subresource="token")
    assert allowed("get", "pods", "default", "web")
    assert not allowed("get", "pods", "default", "other")
    assert allowed("list", "pods", "", "", field_selector="spec.nodeName=one")
    assert not allowed("list", "pods", "", "")
    assert allowed("patch", "nodes", "", "one", subresource="status")
    assert allowed("update", "leases", "kube-node-lease", "one", group="coordination.k8s.io")
    assert not allowed("update", "leases", "kube-node-lease", "two", group="coordination.k8s.io")
    told(nodes, pods, "default", "web", None)
    assert not allowed("get", "secrets", "default", "key")
    assert not allowed("get", "secrets", "kube-system", "disk")


def ingress(chosen: str | None, *secrets: str) -> Object:
    spec: Object = {"tls": [{"secretName": secret} for secret in secrets]}
    return {
        "metadata": {"namespace": "n", "name": "i"},
        "spec": spec | ({"ingressClassName": chosen} if chosen else {}),
    }


def ingress_class(controller: str, *, default: bool = False) -> Object:
    annotations = {"ingressclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {"metadata": {"name": "ours", "annotations": annotations}, "spec": {"controller": controller}}


def test_nodes_see_the_secrets_of_the_ingresses_that_they_serve_alone() -> None:
    offers = Offers()
    offers.told_ingress(("n", "a"), ingress("ours", "one", "both"))
    offers.told_ingress(("n", "b"), ingress("theirs", "two", "both"))
    offers.told_ingress(("n", "c"), ingress(None, "plain"))

    def seen() -> set[str]:
        return {name for name in ("one", "two", "both", "plain") if offers.has(("n", name))}

    assert seen() == set() and offers.has(("kube-system", "boxship-ingress"))
    offers.told_class("ours", ingress_class("boxship.io/ingress"))
    assert seen() == {"one", "both"}
    offers.told_class("ours", ingress_class("boxship.io/ingress", default=True))
    assert seen() == {"one", "both", "plain"} and not offers.has(("other", "one"))
    offers.told_ingress(("n", "a"), ingress("ours", "one"))
    assert seen() == {"one", "plain"}
    offers.told_ingress(("n", "c"), None)
    offers.told_class("ours", ingress_class("example.com/other"))
    assert seen() == set()
    offers.told_ingress(("n", "a"), None)
    offers.told_ingress(("n", "b"), None)
    assert not offers._counts and not offers._named


class Shown:
    """Implements gate.Authentication: whatever is shown is the node."""

    async def authenticate(self, headers: Mapping[str, list[str]], certificate: bytes | None) -> User:
        return NODE

    async def impersonate(self, user: User, headers: Mapping[str, list[str]], authorizer: Any) -> User:
        return user


async def watching(world: World) -> AsyncIterator[bytes]:
    """The node's watch of services, through the gate."""
    resource = world.catalog.at("v1/services")
    assert resource is not None

    async def complete(request: Request) -> Request:
        return request

    gate = Gate(world.api, Shown(), world.authorizer)
    asked = Request(NODE, "watch", resource, warn=[], notes={})
    reply = await gate.perform(Visit("a", "GET", "/api/v1/services", {}), asked, "watch", complete)
    assert isinstance(reply, Stream)
    return reply.events


@together
async def test_a_removed_node_may_do_nothing(world: World) -> None:
    services = Ask(NODE, "list", resource="services")
    watch = await watching(world)
    assert b'"name":"kubernetes"' in await anext(watch)
    other = Ask(User("system:node:two", NODE.groups), "list", resource="services")
    assert (await world.authorizer.authorize(services)).allowed
    removed = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "boxship-removed-nodes"}}
    await world.client.create("v1/configmaps", "kube-system", {**removed, "data": {"one": "stolen"}})
    await world.client.create("v1/configmaps", "default", {**removed, "data": {"two": "not the place for it"}})
    await world.authorizer._mirror.refresh()
    await world.client.patch("v1/services", "default", "kubernetes", {"metadata": {"labels": {"new": "one"}}})
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(watch), 20)
    for verb, resource in (("list", "services"), ("get", "nodes"), ("create", "certificatesigningrequests")):
        group = "certificates.k8s.io" if verb == "create" else ""
        with pytest.raises(Failure, match=r'node "one" was removed from the cluster$'):
            await world.authorizer.check(Ask(NODE, verb, group, resource=resource, name="one"))
    assert (await world.authorizer.authorize(other)).allowed
    await world.client.delete("v1/configmaps", "kube-system", "boxship-removed-nodes")
    assert (await world.authorizer.authorize(services)).allowed


@together
async def test_a_nodes_first_question_is_answered_from_the_store(world: World) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}}
    await world.client.create("v1/secrets", "default", secret)
    ask = Ask(NODE, "get", resource="secrets", namespace="default", name="key")
    assert not (await world.authorizer.authorize(ask)).allowed
    with pytest.raises(Failure, match='no relationship found between node "one" and this object'):
        await world.authorizer.check(ask)
    made = {**pod("p", "one", "key"), "apiVersion": "v1"}
    made["spec"] = {**made["spec"], "containers": [{"name": "a", "image": "x"}]}
    await world.itself.create("v1/pods", "default", made)
    assert (await world.authorizer.authorize(ask)).allowed
    assert (await world.authorizer.authorize(Ask(NODE, "get", resource="nodes", name="one"))).allowed


@together
async def test_reviews_say_the_same(world: World) -> None:
    spec = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}, "user": "joe"}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = await world.client.create("authorization.k8s.io/v1/subjectaccessreviews", "", review)
    assert answer["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "joe2/default" of Role "reading" to User "joe"',
    }
    own = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}}
    path = "authorization.k8s.io/v1/selfsubjectrulesreviews"
    rules = (await world.client_of(user("joe")).create(path, "", own))["status"]
    assert {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]} in rules["resourceRules"]
    assert rules["incomplete"] is False
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await world.client_of(user("joe", "team")).create("authentication.k8s.io/v1/selfsubjectreviews", "", who)
    assert answer["status"]["userInfo"] == {"username": "joe", "groups": ["team", "system:authenticated"]}


@together
async def test_the_anonymous_may_look_at_our_health_alone(world: World) -> None:
    nobody = User("system:anonymous", ("system:unauthenticated",))
    admin = {**binding("anybody", "ClusterRole", "cluster-admin", "system:anonymous"), "kind": "ClusterRoleBinding"}
    await world.client.create(f"{RBAC}/v1/clusterrolebindings", "", admin)
    await world.authorizer._mirror.refresh()
    assert world.authorizer.decide(Ask(nobody, "get", path="/readyz")).allowed
    refused = Ask(nobody, "get", resource="pods")
    decision = await world.authorizer.authorize(refused)
    assert not decision.allowed
    assert world.authorizer.refusal(refused, decision).code == 401
