"""The rules of certificates.k8s.io: CertificateSigningRequest, and its subresources approval and status.

Source: pkg/apis/certificates/validation, pkg/registry/certificates, documentation "Certificate Signing Requests". Only
the form of requests and certificates is looked at: keys and signatures are `pki`'s. Who asks is written in by the API.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from boxship.cluster.objects import Object, names
from boxship.cluster.objects.failure import Cause
from boxship.cluster.objects.kinds.checking import Found, kept
from boxship.cluster.objects.rules import Rules

USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
DECIDED = ("Approved", "Denied")
ONLY_TRUE = (*DECIDED, "Failed")
STATUSES = ("False", "True", "Unknown")
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
LEAST_SECONDS = 600
BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)
SIGNER_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text or "", validate=False)
    except (binascii.Error, ValueError, TypeError):
        return b""


def wrong_request(text: Any) -> str:
    """Why base64 text is not one request in PEM."""
    found = BLOCK.search(_decoded(text))
    return "" if found and found.group(1) == b"CERTIFICATE REQUEST" else "PEM block type must be CERTIFICATE REQUEST"


def wrong_certificate(text: Any) -> str:
    """Why base64 text is not one or more certificates in PEM."""
    if not text:
        return ""
    blocks = BLOCK.findall(_decoded(text))
    for kind, inside in blocks:
        if kind != b"CERTIFICATE":
            return f'only CERTIFICATE PEM blocks are allowed, found "{kind.decode()}"'
        if b":" in inside:
            return "no PEM block headers are permitted"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


def validate_signer(found: Found, signer: str, path: str) -> None:
    """DOMAIN/PATH, of lowercase labels."""
    if not signer:
        found.required(path)
        return
    domain, slash, rest = signer.partition("/")
    if not slash or "/" in rest:
        found.invalid(path, signer, SIGNER_FORM)
        return
    labels = domain.split(".")
    for label in labels:
        why = names.label(label)
        found.because(path, domain, why and f'validating label "{label}": {why}')
    if len(labels) < 2:
        found.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    for label in rest.split("."):
        why = names.label(label)
        found.because(path, rest, why and f'validating label "{label}": {why}')


def _conditions(object: Object) -> Sequence[Mapping[str, Any]]:
    listed: Sequence[Mapping[str, Any]] = (object.get("status") or {}).get("conditions") or ()
    return listed


def _validate_conditions(found: Found, object: Object) -> None:
    path = "status.conditions"
    seen: list[str] = []
    for index, condition in enumerate(_conditions(object)):
        kind, status = condition.get("type") or "", condition.get("status") or ""
        if not kind:
            found.required(f"{path}[{index}].type")
        allowed = ("True",) if kind in ONLY_TRUE else STATUSES
        if not status:
            found.required(f"{path}[{index}].status")
        elif status not in allowed:
            found.unsupported(f"{path}[{index}].status", status, allowed)
        if kind in DECIDED and any(other in seen for other in DECIDED if other != kind):
            found.invalid(path, kind, "Approved and Denied conditions are mutually exclusive")
        if kind in seen:
            found.duplicate(f"{path}[{index}].type", kind)
        seen.append(kind)


def _validate(object: Object) -> Sequence[Cause]:
    found = Found()
    spec = object.get("spec") or {}
    request, usages = spec.get("request"), spec.get("usages") or []
    found.because("spec.request", request or "", wrong_request(request))
    if not usages:
        found.required("spec.usages")
    for index, usage in enumerate(usages):
        if usage not in USAGES:
            found.unsupported(f"spec.usages[{index}]", usage, USAGES)
        if usage in usages[:index]:
            found.duplicate(f"spec.usages[{index}]", usage)
    signer, seconds = spec.get("signerName") or "", spec.get("expirationSeconds")
    if signer == LEGACY_SIGNER:
        why = "the legacy signerName is not allowed via this API version"
        found.invalid("spec.signerName", signer, why)
    else:
        validate_signer(found, signer, "spec.signerName")
    if seconds is not None and seconds < LEAST_SECONDS:
        why = "may not specify a duration less than 600 seconds (10 minutes)"
        found.invalid("spec.expirationSeconds", seconds, why)
    _validate_result(found, object)
    return found.causes


def _validate_result(found: Found, object: Object) -> None:
    _validate_conditions(found, object)
    why = wrong_certificate((object.get("status") or {}).get("certificate"))
    found.because("status.certificate", "<certificate data>", why)


def _of_type(object: Object, kind: str) -> list[Mapping[str, Any]]:
    return [condition for condition in _conditions(object) if condition.get("type") == kind]


def _validate_kept(found: Found, new: Object, old: Object) -> None:
    for kind in ONLY_TRUE:
        if len(_of_type(new, kind)) < len(_of_type(old, kind)):
            found.forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')


def _validate_status(new: Object, old: Object) -> Sequence[Cause]:
    """The certificate comes here, once; decisions do not."""
    found = Found()
    _validate_result(found, new)
    _validate_kept(found, new, old)
    for kind in DECIDED:
        after, before = _of_type(new, kind), _of_type(old, kind)
        if len(after) > len(before):
            found.forbidden("status.conditions", f'updates may not add a condition of type "{kind}"')
        elif len(after) == len(before) and after != before:
            found.forbidden("status.conditions", f'updates may not modify a condition of type "{kind}"')
    certificates = [(object.get("status") or {}).get("certificate") or "" for object in (new, old)]
    if certificates[1] and certificates[0] != certificates[1]:
        found.forbidden("status.certificate", "updates may not modify existing certificate content")
    return found.causes


def validate_approval(new: Object, old: Object) -> Sequence[Cause]:
    """On a write to `approval`, which brings conditions and nothing else."""
    found = Found()
    _validate_conditions(found, new)
    _validate_kept(found, new, old)
    return found.causes


def _prepare_create(object: Object) -> None:
    object["status"] = {}


def _prepare_update(new: Object, old: Object) -> None:
    kept(new, old, "spec", "status")


def _fields(object: Object) -> dict[str, str]:
    return {"spec.signerName": (object.get("spec") or {}).get("signerName") or ""}


RULES: Mapping[str, Rules] = {
    "CertificateSigningRequest": Rules(
        prepare_create=_prepare_create,
        prepare_update=_prepare_update,
        validate=_validate,
        validate_status=_validate_status,
        validate_name=names.path_segment,
        fields=_fields,
    )
}
