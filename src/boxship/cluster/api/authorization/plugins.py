"""What rights decide at admission: who may make what he only said he would change, who may grant roles, and who may ask
for, approve and sign certificates.

These need the authoriser, so they stand here and not beside the other plugins; the names are the original's where it
has one. Texts are the original's.
"""

import base64

import msgspec

from boxship.cluster.api.admission import Attributes, Plugin
from boxship.cluster.api.authorization.authorizer import Authorizer
from boxship.cluster.api.authorization.escalation import check_escalation
from boxship.cluster.api.request import SYSTEM_MASTERS, Ask, of_request
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import forbidden
from boxship.errors import Invalid
from boxship.pki.cluster_requests import read_request

CERTIFICATES = "certificates.k8s.io"
CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


def guards(authorizer: Authorizer) -> tuple[Plugin, ...]:
    """All of them in their order."""
    return (
        CreateByUpdate(authorizer),
        RoleEscalation(authorizer),
        CertificateApproval(authorizer),
        CertificateSigning(authorizer),
        CertificateSubjectRestriction(),
    )


class _Guard:
    """Asks for a right and changes nothing."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def admit(self, attributes: Attributes) -> None:
        return None


class CreateByUpdate(_Guard):
    """A server-side apply, or an update, of what is not there is a create, and takes the right to one. The original
    asks for it in its handlers."""

    name = "CreateByUpdate"

    async def validate(self, attributes: Attributes) -> None:
        request = attributes.request
        if attributes.operation == "CREATE" and request.verb in ("update", "patch") and not request.subresource:
            await self._authorizer.check(msgspec.structs.replace(of_request(request), verb="create"))


class RoleEscalation(_Guard):
    """Nobody gives away what he has not."""

    name = "RoleEscalation"

    async def validate(self, attributes: Attributes) -> None:
        request = attributes.request
        if attributes.operation in ("CREATE", "UPDATE") and attributes.object is not None and not request.subresource:
            await check_escalation(self._authorizer, request.user, request.resource, attributes.object, attributes.old)


class CertificateApproval(_Guard):
    """Who approves or denies a request has to have the verb `approve` on its signer."""

    name = "CertificateApproval"

    async def validate(self, attributes: Attributes) -> None:
        if attributes.operation == "UPDATE" and _is_request(attributes, "approval"):
            await _check_signer(self._authorizer, attributes, "approve")


class CertificateSigning(_Guard):
    """Who writes a certificate or a condition has to have the verb `sign` on the signer."""

    name = "CertificateSigning"

    async def validate(self, attributes: Attributes) -> None:
        if attributes.operation != "UPDATE" or not _is_request(attributes, "status"):
            return
        old, new = ((one or {}).get("status") or {} for one in (attributes.old, attributes.object))
        if any(old.get(field) != new.get(field) for field in ("certificate", "conditions")):
            await _check_signer(self._authorizer, attributes, "sign")


class CertificateSubjectRestriction:
    """None may ask to become a master."""

    name = "CertificateSubjectRestriction"

    async def admit(self, attributes: Attributes) -> None:
        return None

    async def validate(self, attributes: Attributes) -> None:
        if attributes.operation != "CREATE" or not _is_request(attributes, "") or attributes.object is None:
            return
        spec = attributes.object.get("spec") or {}
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        try:
            asked = read_request(base64.b64decode(spec.get("request") or ""))
        except (Invalid, ValueError):
            return  # the rules of the kind say so
        if SYSTEM_MASTERS in asked.groups:
            why = f"use of {CLIENT_SIGNER} signer with {SYSTEM_MASTERS} group is not allowed"
            raise forbidden(attributes.request.resource, attributes.name, why)


async def _check_signer(authorizer: Authorizer, attributes: Attributes, verb: str) -> None:
    """The right on the signer itself, or on all of its domain."""
    signer = _signer(attributes.old) or _signer(attributes.object)
    user = attributes.request.user
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        if (await authorizer.authorize(Ask(user, verb, CERTIFICATES, "*", "signers", name=name))).allowed:
            return
    why = f'user not permitted to {verb} requests with signerName "{signer}"'
    raise forbidden(attributes.request.resource, attributes.name, why)


def _is_request(attributes: Attributes, subresource: str) -> bool:
    resource = attributes.request.resource
    place = (resource.group, resource.plural, attributes.request.subresource)
    return place == (CERTIFICATES, "certificatesigningrequests", subresource)


def _signer(request: Object | None) -> str:
    return str(((request or {}).get("spec") or {}).get("signerName", ""))
