"""Namespaces, accounts, cluster roles, token secrets, signing requests, quotas, and what is kept for a time only."""

import base64
import datetime
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from world_kit import World, eventually, running_world

from boxship.cluster.api.request import User
from boxship.cluster.controllers.ages import EventAges, expiry_of, last_of
from boxship.cluster.controllers.authorities import published
from boxship.cluster.controllers.certificates import RESOURCE as REQUESTS
from boxship.cluster.controllers.certificates import end_of, life_of, refusal
from boxship.cluster.controllers.clusterroles import gathered
from boxship.cluster.controllers.namespaces import Left, told
from boxship.cluster.controllers.quotas import resources_for
from boxship.cluster.objects import Object
from boxship.cluster.objects.catalog import RESOURCES
from boxship.pki import keys
from boxship.pki.cluster_requests import SigningRequest, read_request

together = pytest.mark.asyncio(loop_scope="module")  # on the loop of the module's world
RBAC = "rbac.authorization.k8s.io/v1"
NOW = "2026-11-22T12:00:00Z"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running_world(tmp_path_factory.mktemp("world")) as running:
        yield running


async def namespace(world: World, name: str) -> Object:
    made = await world.client.create(
        "v1/namespaces", "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    )
    await eventually(lambda: world.found("v1/serviceaccounts", name, "default"))
    return made


@together
async def test_a_namespace_gets_its_account_and_the_authority(world: World) -> None:
    await namespace(world, "fresh")
    found = await eventually(lambda: world.found("v1/configmaps", "fresh", "kube-root-ca.crt"))
    assert found["data"] == {"ca.crt": world.authority.ca_pem.decode()}
    await world.client.delete("v1/serviceaccounts", "fresh", "default")
    await eventually(lambda: world.found("v1/serviceaccounts", "fresh", "default"))
    patch = {"data": {"ca.crt": "forged", "more": "x"}}
    await world.client.patch("v1/configmaps", "fresh", "kube-root-ca.crt", patch)

    async def put_right() -> bool:
        again = await world.client.get("v1/configmaps", "fresh", "kube-root-ca.crt")
        return bool(again["data"] == found["data"])

    await eventually(put_right)


@together
async def test_a_deleted_namespace_is_emptied_and_goes(world: World) -> None:
    await namespace(world, "short")
    for index in range(3):
        await world.config_map(f"c{index}", namespace="short")
    await world.client.delete("v1/namespaces", "", "short")

    async def is_gone() -> bool:
        return await world.found("v1/namespaces", "", "short") is None

    await eventually(is_gone)
    assert await world.names("v1/configmaps", "short") == set()


@together
async def test_what_keeps_a_namespace_is_told(world: World) -> None:
    await namespace(world, "kept")
    await world.config_map("held", namespace="kept", finalizers=["example.test/held"])
    await world.client.delete("v1/namespaces", "", "kept")

    async def conditions() -> dict[str, Object]:
        found = await world.client.get("v1/namespaces", "", "kept")
        return {one["type"]: one for one in found["status"].get("conditions") or ()}

    found = await eventually(conditions)
    assert found["NamespaceContentRemaining"]["status"] == "True"
    assert found["NamespaceContentRemaining"]["message"] == (
        "Some resources are remaining: configmaps. has 1 resource instances"
    )
    assert found["NamespaceFinalizersRemaining"]["message"] == (
        "Some content in the namespace has finalizers remaining: example.test/held in 1 resource instances"
    )
    await world.client.patch("v1/configmaps", "kept", "held", {"metadata": {"finalizers": None}})

    async def is_gone() -> bool:
        return await world.found("v1/namespaces", "", "kept") is None

    await eventually(is_gone)


def test_conditions_change_only_where_something_did() -> None:
    empty = Left({}, {})
    first = told({"metadata": {}, "status": {}}, empty, NOW)
    assert first is not None and {one["status"] for one in first} == {"False"}
    namespace: Object = {"metadata": {}, "status": {"conditions": first}}
    assert told(namespace, empty, "later") is None
    second = told(namespace, Left({}, {}, ("pods: no",)), "later")
    assert second is not None
    changed = [one for one in second if one["lastTransitionTime"] == "later"]
    assert [one["type"] for one in changed] == ["NamespaceDeletionContentFailure"]


@together
async def test_cluster_roles_are_gathered(world: World) -> None:
    rules = [{"verbs": ["get"], "apiGroups": ["example.test"], "resources": ["widgets"]}]
    role = {
        "apiVersion": RBAC,
        "kind": "ClusterRole",
        "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": rules,
    }
    await world.client.create(f"{RBAC}/clusterroles", "", role)

    async def gathered_by(name: str) -> bool:
        found = await world.client.get(f"{RBAC}/clusterroles", "", name)
        return rules[0] in (found.get("rules") or ())

    for name in ("view", "edit", "admin"):
        await eventually(lambda name=name: gathered_by(name))  # type: ignore[misc]
    await world.client.delete(f"{RBAC}/clusterroles", "", "widgets")

    async def lost() -> bool:
        return not await gathered_by("admin")

    await eventually(lost)


def test_rules_are_gathered_once_and_in_order() -> None:
    def role(name: str, label: str, *rules: Any) -> Object:
        return {"metadata": {"name": name, "labels": {label: "true"}}, "rules": list(rules)}

    whole = {"metadata": {"name": "w"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "true"}}]}}
    roles = [role("c", "x", 3, 1), role("a", "x", 1, 2), role("b", "y", 4), whole]
    assert gathered(whole, roles) == [1, 2, 3]


@together
async def test_a_token_secret_is_filled_and_goes_with_its_account(world: World) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}}
    made = await world.client.create("v1/serviceaccounts", "default", account)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "robot-token", "annotations": {"kubernetes.io/service-account.name": "robot"}},
    }
    await world.client.create("v1/secrets", "default", secret)

    async def token() -> str:
        found = await world.client.get("v1/secrets", "default", "robot-token")
        return base64.b64decode((found.get("data") or {}).get("token", "")).decode()

    text = await eventually(token)
    user, _ = await world.authenticator.review(text)
    assert (user.name, user.uid) == ("system:serviceaccount:default:robot", made["metadata"]["uid"])
    await world.client.delete("v1/serviceaccounts", "default", "robot")

    async def is_gone() -> bool:
        return await world.found("v1/secrets", "default", "robot-token") is None

    await eventually(is_gone)


def signing_request(name: str, group: str, *hosts: str) -> bytes:
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), False)
    key = keys.new_key()
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)  # type: ignore[arg-type]


async def ask(world: World, name: str, signer: str, request: bytes, usages: list[str], user: User) -> None:
    made = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {"request": base64.b64encode(request).decode(), "signerName": signer, "usages": usages},
    }
    await world.client_of(user).create(REQUESTS, "", made)


@together
async def test_a_node_renews_its_own_certificate(world: World) -> None:
    binding = {
        "apiVersion": RBAC,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "renewing"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}],
    }
    await world.client.create(f"{RBAC}/clusterrolebindings", "", binding)
    node = User("system:node:one", ("system:nodes", "system:authenticated"))
    signer, usages = "kubernetes.io/kube-apiserver-client-kubelet", ["digital signature", "client auth"]
    await ask(world, "own", signer, signing_request("system:node:one", "system:nodes"), usages, node)
    await ask(world, "other", signer, signing_request("system:node:two", "system:nodes"), usages, node)

    async def certificate() -> str:
        found = await world.client.get(REQUESTS, "", "own")
        return str((found.get("status") or {}).get("certificate", ""))

    made = x509.load_pem_x509_certificate(base64.b64decode(await eventually(certificate)))
    identity = world.authority.clients.identify(made.public_bytes(Encoding.DER), datetime.datetime.now(datetime.UTC))
    assert (identity.name, identity.groups) == ("system:node:one", ("system:nodes",))
    other = await world.client.get(REQUESTS, "", "other")
    assert not (other.get("status") or {}).get("conditions")


@together
async def test_a_request_that_a_signer_refuses_fails_with_the_reason(world: World) -> None:
    request = signing_request("jane", "team")
    await ask(world, "wrong", "kubernetes.io/kubelet-serving", request, ["digital signature", "server auth"], User("x"))
    found = await world.client.get(REQUESTS, "", "wrong")
    condition = {"type": "Approved", "status": "True", "reason": "Test", "message": ""}
    await world.client.update(REQUESTS, {**found, "status": {"conditions": [condition]}}, subresource="approval")

    async def failed() -> str:
        again = await world.client.get(REQUESTS, "", "wrong")
        conditions = again["status"].get("conditions") or ()
        return next((str(one["message"]) for one in conditions if one["type"] == "Failed"), "")

    assert await eventually(failed) == "subject organization is not system:nodes"


@pytest.mark.parametrize(
    ("signer", "name", "group", "hosts", "usages", "why"),
    [
        ("kube-apiserver-client", "jane", "team", (), ["client auth"], ""),
        ("kube-apiserver-client", "jane", "team", (), ["server auth"], "usages did not match"),
        (
            "kube-apiserver-client-kubelet",
            "system:node:a",
            "system:nodes",
            (),
            ["digital signature", "client auth"],
            "",
        ),
        ("kube-apiserver-client-kubelet", "a", "system:nodes", (), ["digital signature", "client auth"], "common name"),
        ("kube-apiserver-client-kubelet", "system:node:a", "system:nodes", ("h",), ["client auth"], "DNS"),
        ("kubelet-serving", "system:node:a", "system:nodes", (), ["server auth"], "DNS or IP"),
        ("kubelet-serving", "system:node:a", "system:nodes", ("h",), ["digital signature", "server auth"], ""),
        ("legacy-unknown", "jane", "team", ("h",), ["any"], ""),
    ],
)
def test_what_signers_refuse(
    signer: str, name: str, group: str, hosts: tuple[str, ...], usages: list[str], why: str
) -> None:
    asked: SigningRequest = read_request(signing_request(name, group, *hosts))
    found = refusal(f"kubernetes.io/{signer}", asked, usages)
    assert why in found if why else not found


def test_how_long_requests_and_certificates_last() -> None:
    hour, day = datetime.timedelta(hours=1), datetime.timedelta(days=1)
    begin = datetime.datetime.fromisoformat(NOW)
    request: Object = {"metadata": {"creationTimestamp": NOW}, "status": {}}
    assert end_of(request) == begin + day
    denied = [{"type": "Denied", "status": "True", "lastUpdateTime": "2026-11-22T13:00:00Z"}]
    assert end_of({**request, "status": {"conditions": denied}}) == begin + 2 * hour
    approved = [{"type": "Approved", "status": "True", "lastUpdateTime": NOW}]
    assert end_of({**request, "status": {"conditions": approved}}) == begin + day
    assert end_of({**request, "status": {"conditions": approved, "certificate": "x"}}) == begin + hour
    assert life_of({}) == 365 * day
    assert life_of({"expirationSeconds": 1}).total_seconds() == 600
    assert life_of({"expirationSeconds": 7200}) == 2 * hour


@together
async def test_the_usage_of_a_quota_follows_deletions_and_limits(world: World) -> None:
    await namespace(world, "counted")
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "q"},
        "spec": {"hard": {"configmaps": "5", "count/deployments.apps": "1"}},
    }
    await eventually(lambda: world.found("v1/configmaps", "counted", "kube-root-ca.crt"))
    await world.client.create("v1/resourcequotas", "counted", quota)
    used = await eventually(lambda: usage(world, {"configmaps": "1", "count/deployments.apps": "0"}))
    assert used
    await world.config_map("one", namespace="counted")
    await eventually(lambda: usage(world, {"configmaps": "2", "count/deployments.apps": "0"}))
    await world.client.delete("v1/configmaps", "counted", "one")
    await eventually(lambda: usage(world, {"configmaps": "1", "count/deployments.apps": "0"}))
    await world.client.patch("v1/resourcequotas", "counted", "q", {"spec": {"hard": {"secrets": "2"}}})
    await eventually(lambda: usage(world, {"configmaps": "1", "count/deployments.apps": "0", "secrets": "0"}))


async def usage(world: World, wanted: dict[str, str]) -> bool:
    found = await world.client.get("v1/resourcequotas", "counted", "q")
    return bool((found.get("status") or {}).get("used") == wanted)


def test_which_resources_a_quota_counts() -> None:
    hard = [
        "requests.cpu",
        "count/jobs.batch",
        "services.nodeports",
        "gold.storageclass.storage.k8s.io/requests.storage",
    ]
    found = {resource.qualified for resource in resources_for(hard, RESOURCES)}
    assert found == {"pods", "jobs.batch", "services", "persistentvolumeclaims"}
    assert [one.qualified for one in resources_for(["count/nothing.example"], RESOURCES)] == []


@together
async def test_old_events_go(world: World) -> None:
    for name, happened in (("old", "2026-11-22T10:00:00Z"), ("young", "2026-11-22T11:30:00Z")):
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": "default"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "x"},
            "lastTimestamp": happened,
            "reason": "Test",
            "type": "Normal",
        }
        await world.client.create("v1/events", "default", event)
    after = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=30)
    ages = EventAges(world.client, lambda: after)
    assert (await ages.reconcile("")) is not None
    assert {"old", "young"} <= await world.names("v1/events")  # made just now, so they are young
    later = after + datetime.timedelta(minutes=31)
    await EventAges(world.client, lambda: later).reconcile("")
    assert not {"old", "young"} & await world.names("v1/events")


def test_when_events_and_tokens_end() -> None:
    event: Object = {"metadata": {"creationTimestamp": NOW}, "series": {"lastObservedTime": "2026-11-22T12:30:00.1Z"}}
    assert last_of(event).minute == 30
    assert expiry_of({"data": {}}) is None
    text = base64.b64encode(NOW.encode()).decode()
    assert expiry_of({"data": {"expiration": text}}) == datetime.datetime.fromisoformat(NOW)
    assert expiry_of({"data": {"expiration": "bm8="}}) == datetime.datetime.fromtimestamp(0, datetime.UTC)


@together
async def test_a_bootstrap_token_goes_when_it_is_over(world: World) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef"},
        "stringData": {
            "token-id": "abcdef",
            "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true",
            "expiration": "2020-01-01T00:00:00Z",
        },
    }
    await world.client.create("v1/secrets", "kube-system", secret)

    async def is_gone() -> bool:
        return await world.found("v1/secrets", "kube-system", "bootstrap-token-abcdef") is None

    await eventually(is_gone)


def test_the_published_authority_is_compared_whole() -> None:
    made = published(None, "n", "pem")
    assert made is not None and published(made, "n", "pem") is None
    assert published({**made, "data": {"ca.crt": "x"}}, "n", "pem") == made
