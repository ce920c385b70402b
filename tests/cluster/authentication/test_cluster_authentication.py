"""Who asks: tokens of service accounts and what they are bound to, bootstrap tokens, certificates, other identities."""

import base64
import datetime
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.serialization import Encoding
from world_kit import ISSUER, World, running_world

from boxship.cluster.api.authentication.authenticator import NOBODY, bearer_token
from boxship.cluster.api.authentication.impersonation import account_of
from boxship.cluster.api.request import User
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure
from boxship.pki.certificates import load_certificates

together = pytest.mark.asyncio(loop_scope="module")  # on the loop of the module's world
REVIEWS = "authentication.k8s.io/v1/tokenreviews"


class Clock:
    """Implements clock.Clock: as far ahead as the test says."""

    def __init__(self) -> None:
        self.ahead = datetime.timedelta()

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC) + self.ahead


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running_world(tmp_path_factory.mktemp("world"), with_controllers=False) as running:
        yield running


@pytest.fixture
def clock(world: World, monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(world.tokens, "_clock", made)
    monkeypatch.setattr(world.authenticator._bootstrap, "_clock", made)
    return made


async def account(world: World, name: str) -> Object:
    made = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    return await world.client.create("v1/serviceaccounts", "default", made)


async def token(world: World, name: str, **spec: object) -> str:
    made = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"audiences": [ISSUER], **spec},
        "metadata": {"name": name},
    }
    answer = await world.client.create("v1/serviceaccounts", "default", made, subresource="token")
    return str(answer["status"]["token"])


def bearer(text: str) -> dict[str, list[str]]:
    return {"authorization": [f"Bearer {text}"]}


def claims_of(text: str) -> dict[str, object]:
    part = text.split(".")[1]
    decoded: dict[str, object] = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


@together
async def test_a_token_says_who_it_is_and_ends(world: World, clock: Clock) -> None:
    made = await account(world, "robot")
    text = await token(world, "robot", expirationSeconds=600)
    user = await world.authenticator.authenticate(bearer(text), None)
    assert user.name == "system:serviceaccount:default:robot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
    assert user.uid == made["metadata"]["uid"]
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    clock.ahead = datetime.timedelta(seconds=670)
    with pytest.raises(Failure, match="Unauthorized"):
        await world.authenticator.authenticate(bearer(text), None)


@together
async def test_a_token_goes_with_its_account(world: World) -> None:
    await account(world, "short")
    text = await token(world, "short")
    await world.client.delete("v1/serviceaccounts", "default", "short")
    with pytest.raises(Failure):
        await world.authenticator.authenticate(bearer(text), None)
    await account(world, "short")
    with pytest.raises(Failure, match="is another by now"):
        await world.authenticator.review(text)


@together
async def test_a_token_is_for_its_audience_alone(world: World) -> None:
    await account(world, "aimed")
    text = await token(world, "aimed", audiences=["vault"])
    with pytest.raises(Failure):
        await world.authenticator.authenticate(bearer(text), None)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    asked = {**review, "spec": {"token": text, "audiences": ["vault", "other"]}}
    status = (await world.client.create(REVIEWS, "", asked))["status"]
    assert status["authenticated"] and status["audiences"] == ["vault"]
    status = (await world.client.create(REVIEWS, "", {**review, "spec": {"token": "nonsense"}}))["status"]
    assert not status.get("authenticated") and status["error"]


@together
async def test_a_token_is_bound_to_a_pod(world: World, clock: Clock) -> None:
    await account(world, "bound")
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"serviceAccountName": "bound", "nodeName": "n1", "containers": [{"name": "a", "image": "x"}]},
    }
    made = await world.itself.create("v1/pods", "default", pod)
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": made["metadata"]["uid"]}
    text = await token(world, "bound", boundObjectRef=reference, expirationSeconds=3607)
    user, _ = await world.authenticator.review(text)
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("web",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    private = claims_of(text)["kubernetes.io"]
    assert isinstance(private, dict) and private["warnafter"] and private["pod"]["uid"] == made["metadata"]["uid"]
    clock.ahead = datetime.timedelta(days=200)  # such a token outlives what it was asked for
    await world.authenticator.review(text)
    clock.ahead = datetime.timedelta()
    for wrong, why in (
        ({**reference, "uid": "1-2"}, "does not match the UID in record"),
        ({**reference, "name": "nobody"}, '"nobody" not found'),
        ({**reference, "kind": "ConfigMap"}, "cannot bind token to object of type v1, Kind=ConfigMap"),
    ):
        with pytest.raises(Failure, match=why):
            await world.tokens.issue("default", "bound", {"spec": {"boundObjectRef": wrong}})
    with pytest.raises(Failure, match="different serviceaccount name"):
        await world.tokens.issue("default", "robot", {"spec": {"boundObjectRef": reference}})
    await world.itself.delete("v1/pods", "default", "web", grace=0)
    with pytest.raises(Failure, match="the pod web is gone"):
        await world.authenticator.review(text)


@together
async def test_forged_and_foreign_tokens_are_refused(world: World) -> None:
    await account(world, "forged")
    head, body, signature = (await token(world, "forged")).split(".")
    claims = {**claims_of(f"{head}.{body}."), "sub": "system:admin"}
    other = base64.urlsafe_b64encode(msgspec.json.encode(claims)).decode().rstrip("=")
    foreign = world.authority.tokens.sign({**claims_of(f"{head}.{body}."), "iss": "https://else.test"})
    broken = world.authority.tokens.sign({"iss": ISSUER, "exp": "soon"})
    for text in (f"{head}.{other}.{signature}", foreign, broken, "a.b.c", "x" * 100_000, ""):
        with pytest.raises(Failure) as refused:
            await world.authenticator.authenticate(bearer(text), None)
        assert refused.value.code == 401


def secret(**data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": f"bootstrap-token-{data['token-id']}"},
        "stringData": data,
    }


@together
async def test_bootstrap_tokens(world: World, clock: Clock) -> None:
    data = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:workers",
        "expiration": "2036-01-01T00:00:00Z",
    }
    await world.client.create("v1/secrets", "kube-system", secret(**data))
    await world.client.create(
        "v1/secrets", "kube-system", secret(**{**data, "token-id": "unused", "usage-bootstrap-authentication": "false"})
    )
    await world.client.create(
        "v1/secrets", "kube-system", secret(**{**data, "token-id": "master", "auth-extra-groups": "system:masters"})
    )
    user = await world.authenticator.authenticate(bearer("abcdef.0123456789abcdef"), None)
    assert user.name == "system:bootstrap:abcdef"
    assert user.groups == ("system:bootstrappers", "system:bootstrappers:workers", "system:authenticated")
    for wrong in (
        "abcdef.0123456789abcdee",
        "unused.0123456789abcdef",
        "master.0123456789abcdef",
        "nobody.0123456789abcdef",
    ):
        with pytest.raises(Failure):
            await world.authenticator.authenticate(bearer(wrong), None)
    clock.ahead = datetime.timedelta(days=4000)
    with pytest.raises(Failure):
        await world.authenticator.authenticate(bearer("abcdef.0123456789abcdef"), None)


def certificate(world: World, name: str) -> bytes:
    path, _ = world.authority.client(name)
    return load_certificates(path.read_bytes(), name)[0].public_bytes(Encoding.DER)


@together
async def test_a_token_that_lies_in_a_secret_is_for_the_api_alone(world: World) -> None:
    uid = (await account(world, "old"))["metadata"]["uid"]
    text = world.tokens.legacy_token("default", "old", uid, "old-token")
    made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "old-token"}, "stringData": {"token": text}}
    await world.client.create("v1/secrets", "default", made)
    assert (await world.authenticator.review(text))[1] == (ISSUER,)
    assert (await world.authenticator.review(text, ["vault", ISSUER]))[1] == (ISSUER,)
    with pytest.raises(Failure, match="is invalid for the target audiences"):
        await world.authenticator.review(text, ["vault"])


@together
async def test_certificates_and_the_front_proxy(world: World) -> None:
    user = await world.authenticator.authenticate({}, certificate(world, "admin"))
    assert (user.name, user.groups) == ("kubernetes-admin", ("system:masters", "system:authenticated"))
    headers = {
        "x-remote-user": ["jane"],
        "x-remote-group": ["team", "other"],
        "x-remote-uid": ["7"],
        "x-remote-extra-example.test%2fscope": ["a", "b"],
    }
    spoken = await world.authenticator.authenticate(headers, certificate(world, "front-proxy-client"))
    assert spoken == User("jane", ("team", "other", "system:authenticated"), "7", {"example.test/scope": ("a", "b")})
    with pytest.raises(Failure):
        await world.authenticator.authenticate({}, certificate(world, "front-proxy-client"))
    assert (await world.authenticator.authenticate(headers, certificate(world, "admin"))).name == "kubernetes-admin"
    assert await world.authenticator.authenticate(headers, None) == NOBODY
    with pytest.raises(Failure) as refused:  # a node may have led the API server to itself
        await world.authenticator.authenticate({}, certificate(world, "apiserver-kubelet-client"))
    assert refused.value.code == 401


@together
async def test_what_was_shown_and_is_wrong_is_refused(world: World) -> None:
    assert await world.authenticator.authenticate({}, None) == NOBODY
    for headers in ({"authorization": ["Basic YTpi"]}, {"authorization": ["Bearer"]}):
        with pytest.raises(Failure):
            await world.authenticator.authenticate(headers, None)
    with pytest.raises(Failure):
        await world.authenticator.authenticate({}, b"no certificate")


def test_where_tokens_stand() -> None:
    assert bearer_token({"authorization": ["bearer  abc "]}) == "abc"
    text = base64.urlsafe_b64encode(b"abc").decode().rstrip("=")
    name = f"base64url.bearer.authorization.k8s.io.{text}"
    assert bearer_token({"sec-websocket-protocol": [f"{name}, v5.channel.k8s.io"]}) == "abc"
    assert bearer_token({"sec-websocket-protocol": ["base64url.bearer.authorization.k8s.io.é"]}) == ""
    assert bearer_token({"cookie": ["x"]}) is None


@together
async def test_who_may_act_as_whom(world: World) -> None:
    master, joe = User("root", ("system:masters",)), User("joe", ("system:authenticated",))
    headers = {"impersonate-user": ["jane"], "impersonate-group": ["team"], "impersonate-extra-scope": ["x", "y"]}
    acting = await world.authenticator.impersonate(master, headers, world.authorizer)
    assert acting == User("jane", ("team", "system:authenticated"), "", {"scope": ("x", "y")})
    robot = {"impersonate-user": ["system:serviceaccount:default:robot"]}
    acting = await world.authenticator.impersonate(master, robot, world.authorizer)
    assert acting.groups == ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
    nobody = await world.authenticator.impersonate(master, {"impersonate-user": ["system:anonymous"]}, world.authorizer)
    assert nobody.groups == ("system:unauthenticated",)
    assert await world.authenticator.impersonate(joe, {"accept": ["x"]}, world.authorizer) is joe
    with pytest.raises(Failure, match='users "jane" is forbidden: User "joe" cannot impersonate resource "users"'):
        await world.authenticator.impersonate(joe, headers, world.authorizer)
    with pytest.raises(Failure) as refused:
        await world.authenticator.impersonate(master, {"impersonate-group": ["team"]}, world.authorizer)
    assert refused.value.code == 400


@together
async def test_the_right_to_act_as_one_user_is_not_that_for_a_group(world: World) -> None:
    group = "rbac.authorization.k8s.io"
    rules = [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["jane"]}]
    role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "as-jane"}, "rules": rules}
    bound = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "as-jane"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "as-jane"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "max"}],
    }
    await world.client.create(f"{group}/v1/clusterroles", "", role)
    await world.client.create(f"{group}/v1/clusterrolebindings", "", bound)
    max_ = User("max", ("system:authenticated",))
    acting = await world.authenticator.impersonate(max_, {"impersonate-user": ["jane"]}, world.authorizer)
    assert acting.name == "jane"
    for headers in (
        {"impersonate-user": ["jane"], "impersonate-group": ["system:masters"]},
        {"impersonate-user": ["jane"], "impersonate-uid": ["1"]},
        {"impersonate-user": ["jane"], "impersonate-extra-a": ["b"]},
        {"impersonate-user": ["kubernetes-admin"]},
    ):
        with pytest.raises(Failure) as refused:
            await world.authenticator.impersonate(max_, headers, world.authorizer)
        assert refused.value.code == 403


def test_service_accounts_are_known_by_their_user_name() -> None:
    assert account_of("system:serviceaccount:a:b") == ("a", "b")
    for other in ("jane", "system:serviceaccount:a", "system:serviceaccount:a:", "system:serviceaccount:a:b:c"):
        assert account_of(other) == ("", "")


@together
async def test_others_can_check_our_tokens(world: World) -> None:
    document = msgspec.json.decode(world.tokens.discovery_document("https://api.test:6443/"))
    assert document["issuer"] == ISSUER
    assert document["jwks_uri"] == "https://api.test:6443/openid/v1/jwks"
    keys = msgspec.json.decode(world.tokens.key_set())["keys"]
    assert keys[0]["kty"] == "EC" and keys[0]["alg"] in document["id_token_signing_alg_values_supported"]
