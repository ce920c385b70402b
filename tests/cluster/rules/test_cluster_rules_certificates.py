"""The rules of certificate requests and reviews: each wrong field with the original's words."""

import base64
from typing import Any

import pytest
from rules_kit import causes, changed, refused

from boxship.cluster.objects.failure import Failure
from boxship.cluster.objects.kinds import rules_of
from boxship.cluster.objects.kinds.certificates import validate_approval


def pem(kind: str, inside: str = "eA==") -> str:
    return base64.b64encode(f"-----BEGIN {kind}-----\n{inside}\n-----END {kind}-----\n".encode()).decode()


CERTIFICATES = "certificates.k8s.io"
REQUEST: dict[str, Any] = {
    "metadata": {"name": "r"},
    "spec": {
        "request": pem("CERTIFICATE REQUEST"),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    },
}


@pytest.mark.parametrize(
    ("path", "value", "cause"),
    [
        (
            "spec.request",
            pem("CERTIFICATE"),
            f'spec.request: Invalid value: "{pem("CERTIFICATE")}": PEM block type must be CERTIFICATE REQUEST',
        ),
        ("spec.request", "!", 'spec.request: Invalid value: "!": PEM block type must be CERTIFICATE REQUEST'),
        ("spec.usages", [], "spec.usages: Required value"),
        ("spec.usages", ["client auth"] * 2, 'spec.usages[1]: Duplicate value: "client auth"'),
        ("spec.signerName", "", "spec.signerName: Required value"),
        (
            "spec.signerName",
            "signer",
            'spec.signerName: Invalid value: "signer": must be a fully qualified domain and path of the form '
            "'example.com/signer-name'",
        ),
        (
            "spec.signerName",
            "here/x",
            'spec.signerName: Invalid value: "here": should be a domain with at least two segments separated by dots',
        ),
        (
            "spec.signerName",
            "kubernetes.io/legacy-unknown",
            'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via '
            "this API version",
        ),
        (
            "spec.expirationSeconds",
            599,
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ],
)
def test_certificate_requests(path: str, value: Any, cause: str) -> None:
    assert refused(CERTIFICATES, "CertificateSigningRequest", REQUEST) == []
    assert cause in refused(CERTIFICATES, "CertificateSigningRequest", changed(REQUEST, path, value))


def decided(*kinds: str, certificate: str = "", status: str = "True") -> dict[str, Any]:
    conditions = [{"type": kind, "status": status} for kind in kinds]
    return changed(REQUEST, "status", {"conditions": conditions, "certificate": certificate})


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (decided(), decided("Approved"), []),
        (decided("Approved"), decided("Approved", "Failed"), []),
        (
            decided(),
            decided("Approved", "Denied"),
            ['status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'],
        ),
        (
            decided("Approved"),
            decided(),
            ['status.conditions: Forbidden: updates may not remove a condition of type "Approved"'],
        ),
        (
            decided(),
            decided("Approved", status="False"),
            ['status.conditions[0].status: Unsupported value: "False": supported values: "True"'],
        ),
        (decided(), decided("Odd", "Odd"), ['status.conditions[1].type: Duplicate value: "Odd"']),
    ],
)
def test_approvals(old: dict[str, Any], new: dict[str, Any], found: list[str]) -> None:
    assert [f"{cause.field}: {cause.message}" for cause in validate_approval(new, old)] == found


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (decided("Approved"), decided("Approved", certificate=pem("CERTIFICATE")), []),
        (
            decided(),
            decided("Approved"),
            ['status.conditions: Forbidden: updates may not add a condition of type "Approved"'],
        ),
        (
            decided(certificate=pem("CERTIFICATE")),
            decided(certificate=pem("CERTIFICATE", "eQ==")),
            ["status.certificate: Forbidden: updates may not modify existing certificate content"],
        ),
        (
            decided(),
            decided(certificate=pem("PRIVATE KEY")),
            [
                'status.certificate: Invalid value: "<certificate data>": only CERTIFICATE PEM blocks are allowed, '
                'found "PRIVATE KEY"'
            ],
        ),
    ],
)
def test_issued_certificates(old: dict[str, Any], new: dict[str, Any], found: list[str]) -> None:
    rules = rules_of(CERTIFICATES, "CertificateSigningRequest")
    assert [f"{cause.field}: {cause.message}" for cause in rules.validate_status(new, old)] == found


def test_a_plain_update_of_a_request_changes_nothing() -> None:
    old = decided("Approved")
    new = changed(old, "spec.usages", ["any"])
    rules_of(CERTIFICATES, "CertificateSigningRequest").prepare_update(new, old)
    assert new == old
    signer = {"spec.signerName": "kubernetes.io/kube-apiserver-client"}
    assert rules_of(CERTIFICATES, "CertificateSigningRequest").fields(old) == signer


AUTHORIZATION = "authorization.k8s.io"
ATTRIBUTES = {"verb": "get", "resource": "pods", "namespace": "d"}


@pytest.mark.parametrize(
    ("kind", "review", "found"),
    [
        ("SubjectAccessReview", {"spec": {"user": "u", "resourceAttributes": ATTRIBUTES}}, []),
        ("SelfSubjectAccessReview", {"spec": {"nonResourceAttributes": {"path": "/x"}}}, []),
        (
            "SelfSubjectAccessReview",
            {"spec": {}},
            [
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or "
                "resourceAttributes must be specified"
            ],
        ),
        (
            "SelfSubjectAccessReview",
            {"spec": {"resourceAttributes": ATTRIBUTES, "nonResourceAttributes": {}}},
            [
                "spec.nonResourceAttributes: Invalid value: {}: cannot be specified in combination with "
                "resourceAttributes"
            ],
        ),
        (
            "SubjectAccessReview",
            {"spec": {"resourceAttributes": ATTRIBUTES}},
            ['spec.user: Invalid value: "": at least one of user or group must be specified'],
        ),
        (
            "SelfSubjectAccessReview",
            {"metadata": {"name": "x"}, "spec": {"resourceAttributes": ATTRIBUTES}},
            ['metadata: Invalid value: {"name":"x"}: must be empty'],
        ),
        (
            "LocalSubjectAccessReview",
            {"metadata": {"namespace": "d"}, "spec": {"user": "u", "resourceAttributes": ATTRIBUTES}},
            [],
        ),
        (
            "LocalSubjectAccessReview",
            {"metadata": {"namespace": "e"}, "spec": {"user": "u", "resourceAttributes": ATTRIBUTES}},
            ['spec.resourceAttributes.namespace: Invalid value: "d": must match metadata.namespace'],
        ),
        (
            "LocalSubjectAccessReview",
            {"metadata": {"namespace": "e"}, "spec": {"user": "u", "nonResourceAttributes": {}}},
            ["spec.nonResourceAttributes: Invalid value: {}: disallowed on this kind of request"],
        ),
    ],
)
def test_reviews(kind: str, review: dict[str, Any], found: list[str]) -> None:
    assert causes(AUTHORIZATION, kind, review) == found


@pytest.mark.parametrize(
    ("group", "kind", "text"),
    [
        ("authentication.k8s.io", "TokenReview", "token is required for TokenReview in authentication"),
        (AUTHORIZATION, "SelfSubjectRulesReview", "no namespace on request"),
    ],
)
def test_reviews_without_a_question(group: str, kind: str, text: str) -> None:
    with pytest.raises(Failure, match=text) as refusal:
        causes(group, kind, {"spec": {}})
    assert refusal.value.code == 400


@pytest.mark.parametrize(
    ("seconds", "found"),
    [
        (None, []),
        (600, []),
        (599, ["spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"]),
        (
            1 << 33,
            [f"spec.expirationSeconds: Invalid value: {1 << 33}: may not specify a duration larger than 2^32 seconds"],
        ),
    ],
)
def test_requests_of_tokens(seconds: int | None, found: list[str]) -> None:
    spec = {} if seconds is None else {"expirationSeconds": seconds}
    assert refused("authentication.k8s.io", "TokenRequest", {"spec": spec}) == found
