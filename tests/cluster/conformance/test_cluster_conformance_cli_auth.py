"""Accounts, tokens, certificates and reviews, as the conformance list's section on rights asks for them."""

import base64
import itertools
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conformance_kit import Space
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from nodes_kit import condition
from watching_kit import watching

from boxship.pki.keys import dump_key, new_key
from daemons import kubectl_program

pytestmark = pytest.mark.slow

MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount"
REQUESTS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


# Covers: Conformance tests minimum number of nodes.
def test_two_nodes_take_pods(space: Space) -> None:
    nodes = space.cluster.get("nodes")
    assert sum(not node["spec"].get("taints") and condition(node, "Ready") == "True" for node in nodes) >= 2


def _signing_request(folder: Path) -> tuple[str, Path]:
    """A request in base64 for a new key, and the key."""
    key = folder / "key.pem"
    key.write_bytes(dump_key(new_key(), None))
    asked = ["openssl", "req", "-new", "-key", str(key), "-subj", "/O=team/CN=conformance-user"]
    made = subprocess.run(asked, capture_output=True, check=True).stdout
    return base64.b64encode(made).decode(), key


def _answered(space: Space, method: str, path: str, body: Any = None, kind: str = "", **headers: str) -> Any:
    fields = {**({"Content-Type": kind} if kind else {}), **{name.replace("_", "-"): headers[name] for name in headers}}
    answer = space.cluster.control.request(method, path, body, fields)
    assert answer.status in (200, 201), (answer.status, answer.body)
    return answer.object


# Covers: CertificateSigningRequest API.
def test_certificates_are_asked_for_approved_and_changed(space: Space, tmp_path: Path) -> None:
    request, key = _signing_request(tmp_path)
    labels = {"case": space.name}
    wanted = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": f"{space.name}-", "labels": labels},
        "spec": {"request": request, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]},
    }
    found = _answered(space, "GET", "/apis/certificates.k8s.io/v1")["resources"]
    names = {one["name"]: set(one["verbs"]) for one in found}
    whole = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert names["certificatesigningrequests"] == whole
    assert names["certificatesigningrequests/approval"] == {"get", "patch", "update"}
    assert names["certificatesigningrequests/status"] == {"get", "patch", "update"}

    with watching(space.cluster, REQUESTS, labelSelector=f"case={space.name}") as seen:
        first, second = (_answered(space, "POST", REQUESTS, wanted)["metadata"]["name"] for _ in range(2))
        path = f"{REQUESTS}/{first}"
        patched = _answered(
            space, "PATCH", path, {"metadata": {"annotations": {"patched": "yes"}}}, "application/merge-patch+json"
        )
        assert patched["metadata"]["annotations"]["patched"] == "yes"
        patched["metadata"]["annotations"]["updated"] = "yes"
        assert _answered(space, "PUT", path, patched)["metadata"]["annotations"]["updated"] == "yes"
        seen.until_count(4)
        assert seen.told == [("ADDED", first), ("ADDED", second), ("MODIFIED", first), ("MODIFIED", first)]

        change = {
            "metadata": {"annotations": {"approval": "patched"}},
            "status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Case", "message": "by patch"}]},
        }
        approved = _answered(space, "PATCH", f"{path}/approval", change, "application/merge-patch+json")
        assert approved["metadata"]["annotations"]["approval"] == "patched"
        assert approved["status"]["conditions"][0]["reason"] == "Case"
        space.until(lambda: _answered(space, "GET", path)["status"].get("certificate"), "the certificate is issued")
        issued = tmp_path / "crt.pem"
        issued.write_bytes(base64.b64decode(_answered(space, "GET", f"{path}/status")["status"]["certificate"]))
        assert space.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}") == "kubernetes-admin"
        config = _configured(space, tmp_path, key, issued)
        who = space.kubectl("auth", "whoami", "-o", "json", "--kubeconfig", str(config))
        assert json.loads(who)["status"]["userInfo"]["username"] == "conformance-user"
        assert "team" in json.loads(who)["status"]["userInfo"]["groups"]

        other = _answered(space, "GET", f"{REQUESTS}/{second}/approval")
        other["status"]["conditions"] = [{"type": "Denied", "status": "True", "reason": "Case", "message": "no"}]
        assert condition(_answered(space, "PUT", f"{REQUESTS}/{second}/approval", other), "Denied") == "True"
        more = {"type": "Told", "status": "True", "reason": "Case", "message": "by status"}
        change = {
            "metadata": {"annotations": {"status": "patched"}},
            "status": {"conditions": [*other["status"]["conditions"], more]},  # the list is replaced as a whole
        }
        told = _answered(space, "PATCH", f"{REQUESTS}/{second}/status", change, "application/merge-patch+json")
        assert told["metadata"]["annotations"]["status"] == "patched"
        assert condition(told, "Told") == "True" and condition(told, "Denied") == "True"

        _answered(space, "DELETE", path)
        _answered(space, "DELETE", f"{REQUESTS}?labelSelector=case%3D{space.name}")
        space.until(lambda: {("DELETED", first), ("DELETED", second)} <= set(seen.told), "both are told as deleted")
    assert not _answered(space, "GET", f"{REQUESTS}?labelSelector=case%3D{space.name}")["items"]


def _configured(space: Space, folder: Path, key: Path, certificate: Path) -> Path:
    """A kubeconfig of a user with that certificate."""
    config = folder / "kubeconfig"
    control = space.cluster.control
    words: tuple[tuple[str, ...], ...] = (
        ("set-cluster", "c", f"--server={control.url}", f"--certificate-authority={control.data}/pki/ca.crt"),
        ("set-credentials", "u", f"--client-certificate={certificate}", f"--client-key={key}"),
        ("set-context", "x", "--cluster=c", "--user=u"),
        ("use-context", "x"),
    )
    for each in words:
        space.cluster.kubectl("config", *each, "--kubeconfig", str(config))
    return config


def _claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_unpacked(token.split(".")[1]))
    return found


def _unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_signed(token: str, keys: list[dict[str, str]]) -> bool:
    """Whether one of the published keys has signed it; it raises where the signature is wrong."""
    head, body, signature = token.split(".")
    key = next(one for one in keys if one["kid"] == json.loads(_unpacked(head))["kid"])
    x, y = (int.from_bytes(_unpacked(key[axis]), "big") for axis in ("x", "y"))
    raw = _unpacked(signature)
    signed = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    public.verify(signed, f"{head}.{body}".encode(), ECDSA(hashes.SHA256()))
    return True


# Covers: OIDC Discovery (ServiceAccountIssuerDiscovery); Service Account Tokens Must AutoMount;
#   TokenRequestProjection should mount a projected volume with token using TokenRequest API.
def test_a_pod_has_tokens_that_others_can_check(space: Space) -> None:
    """It asks from inside, with the stock client and what is mounted alone."""
    client = Path(kubectl_program())
    space.apply(f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: asking}}
        spec:
          terminationGracePeriodSeconds: 0
          securityContext: {{runAsUser: 1000, fsGroup: 10000}}
          volumes:
          - {{name: client, hostPath: {{path: {client.resolve().parent}}}}}
          - {{name: lib, hostPath: {{path: /usr/lib}}}}
          - {{name: lib64, hostPath: {{path: /lib64}}}}
          - name: own
            projected:
              sources:
              - serviceAccountToken: {{path: token, audience: oidc-test, expirationSeconds: 7200}}
          containers:
          - name: c
            image: busybox
            imagePullPolicy: IfNotPresent
            command: [sleep, "600"]
            env: [{{name: HOME, value: /tmp}}]
            volumeMounts:
            - {{name: client, mountPath: /client, readOnly: true}}
            - {{name: lib, mountPath: /lib, readOnly: true}}
            - {{name: lib64, mountPath: /lib64, readOnly: true}}
            - {{name: own, mountPath: /own}}
    """)
    space.until_ready("asking")
    assert space.shell("asking", f"cat {MOUNTED}/namespace") == space.name
    ours = (space.cluster.control.data / "pki" / "ca.crt").read_text().strip()
    assert ours in space.shell("asking", f"cat {MOUNTED}/ca.crt")

    token = space.shell("asking", f"cat {MOUNTED}/token")
    review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}}
    told = _answered(space, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert told["authenticated"] is True
    assert told["user"]["username"] == f"system:serviceaccount:{space.name}:default"
    assert f"system:serviceaccounts:{space.name}" in told["user"]["groups"]
    assert told["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["asking"]

    raw = f"/client/{client.resolve().name} get --raw "
    document = json.loads(space.shell("asking", f"{raw} /.well-known/openid-configuration"))
    keys = json.loads(space.shell("asking", f"{raw} /openid/v1/jwks"))["keys"]
    own = space.shell("asking", "cat /own/token")
    for each, audience in ((token, document["issuer"]), (own, "oidc-test")):
        claims = _claims(each)
        assert _is_signed(each, keys) and claims["iss"] == document["issuer"] and claims["aud"] == [audience]
        assert claims["sub"] == f"system:serviceaccount:{space.name}:default"
        assert claims["exp"] > time.time() > claims["iat"] - 60
    rights = space.shell("asking", f"stat -L -c '%a %u %g' /own/token {MOUNTED}/token").split("\n")
    assert rights[:2] == ["640 1000 10000"] * 2  # with an fsGroup its members read it


# Covers: Service account tokens auto mount optionally.
def test_tokens_are_mounted_where_nobody_opts_out(space: Space) -> None:
    said: dict[str, bool | None] = {"default": None, "mounting": True, "refusing": False}
    for name, mounts in said.items():
        if mounts is not None:
            space.made("serviceaccounts", {"metadata": {"name": name}, "automountServiceAccountToken": mounts})
    for (account, by_account), by_pod in itertools.product(said.items(), (None, True, False)):
        spec: dict[str, Any] = {"serviceAccountName": account, "containers": [{"name": "c", "image": "busybox"}]}
        if by_pod is not None:
            spec["automountServiceAccountToken"] = by_pod
        made = space.made("pods?dryRun=All", {"metadata": {"name": "trying"}, "spec": spec})
        mounted = made["spec"]["containers"][0].get("volumeMounts") or []
        decides = by_pod if by_pod is not None else by_account
        assert any(one["mountPath"] == MOUNTED for one in mounted) is (decides is not False), (account, by_pod)


# Covers: RootCA ConfigMap test.
def test_every_namespace_has_the_authority(space: Space) -> None:
    def whole(data: dict[str, str] | None = None) -> bool:
        return not space.is_gone("configmaps/kube-root-ca.crt") and (
            space.read("configmaps/kube-root-ca.crt")["data"] == (data or first["data"])
        )

    space.until(lambda: not space.is_gone("configmaps/kube-root-ca.crt"), "it is there")
    first = space.read("configmaps/kube-root-ca.crt")
    assert "BEGIN CERTIFICATE" in first["data"]["ca.crt"]
    space.kubectl("delete", "configmap", "kube-root-ca.crt", "--wait=false")
    space.until(whole, "it is there again")
    space.patched("configmaps/kube-root-ca.crt", {"data": {"ca.crt": "", "more": "words"}})
    space.until(whole, "it says again what it should")


# Covers: ServiceAccount lifecycle test; ServiceAccount, update a ServiceAccount.
def test_an_account_lives_and_dies(space: Space) -> None:
    with watching(space.cluster, space.path("serviceaccounts"), labelSelector="case=account") as seen:
        space.made("serviceaccounts", {"metadata": {"name": "one", "labels": {"case": "account"}}})
        seen.until(("ADDED", "one"))
        change = {"automountServiceAccountToken": False}
        assert space.patched("serviceaccounts/one", change)["automountServiceAccountToken"] is False
        everywhere = _answered(space, "GET", "/api/v1/serviceaccounts?labelSelector=case%3Daccount")["items"]
        assert [(one["metadata"]["name"], one["automountServiceAccountToken"]) for one in everywhere] == [
            ("one", False)
        ]
        found = space.read("serviceaccounts/one")
        assert space.replaced("serviceaccounts/one", {**found, "automountServiceAccountToken": True})[
            "automountServiceAccountToken"
        ]
        assert space.request("DELETE", "serviceaccounts?labelSelector=case%3Daccount").status == 200
        seen.until(("ADDED", "one"), ("MODIFIED", "one"), ("MODIFIED", "one"), ("DELETED", "one"))


# Covers: SubjectReview, API Operations.
def test_reviews_say_what_impersonation_meets(space: Space) -> None:
    space.made("serviceaccounts", {"metadata": {"name": "asking"}})
    user = f"system:serviceaccount:{space.name}:asking"
    asked = {"verb": "list", "resource": "configmaps", "namespace": space.name}
    group = "/apis/authorization.k8s.io/v1"

    def allowed(root: str, kind: str, **subject: Any) -> Any:
        body = {"kind": kind, "spec": {"resourceAttributes": asked, **subject}}
        return _answered(space, "POST", f"{root}/{kind.lower()}s", body)["status"]["allowed"]

    def met() -> tuple[Any, ...]:
        own = {"kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}}
        answer = space.request("GET", "configmaps", headers={"Impersonate-User": user})
        return (
            allowed(group, "SubjectAccessReview", user=user),
            allowed(f"{group}/namespaces/{space.name}", "LocalSubjectAccessReview", user=user),
            _answered(space, "POST", f"{group}/selfsubjectaccessreviews", own, Impersonate_User=user)["status"][
                "allowed"
            ],
            answer.status == 200,
        )

    assert met() == (False, False, False, False)
    space.kubectl("create", "rolebinding", "viewing", "--clusterrole=view", f"--serviceaccount={space.name}:asking")
    assert met() == (True, True, True, True)
    who = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    told = _answered(space, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", who, Impersonate_User=user)
    assert told["status"]["userInfo"]["username"] == user
    assert f"system:serviceaccounts:{space.name}" in told["status"]["userInfo"]["groups"]
