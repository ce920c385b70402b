"""Certificate signing requests: nodes' are approved by themselves, approved ones are signed, old ones go
(kubernetes.io, "Certificates and Certificate Signing Requests").

What each signer signs is a table of what it refuses; the reasons are the original's.
"""

import base64
import datetime
from collections.abc import Callable

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.times import moment, stamp
from boxship.cluster.reconcile.cache import Cache, Key
from boxship.cluster.reconcile.queue import Queue
from boxship.cluster.reconcile.runner import Again
from boxship.errors import Invalid
from boxship.pki.certificates import Issuer
from boxship.pki.cluster_requests import SigningRequest, issue, read_request

RESOURCE = "certificates.k8s.io/v1/certificatesigningrequests"
REVIEWS = "authorization.k8s.io/v1/subjectaccessreviews"
CLIENT, NODE = "kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet"
SERVING, UNKNOWN = "kubernetes.io/kubelet-serving", "kubernetes.io/legacy-unknown"
SIGNERS = (CLIENT, NODE, SERVING, UNKNOWN)
NODES, NODE_PREFIX = "system:nodes", "system:node:"
LIFE = datetime.timedelta(days=365)
LEAST_LIFE = datetime.timedelta(seconds=600)
DECIDED_LIFE = datetime.timedelta(hours=1)
PENDING_LIFE = datetime.timedelta(hours=24)
CLIENT_USAGES = ({"digital signature", "key encipherment", "client auth"}, {"digital signature", "client auth"})
SERVER_USAGES = ({"digital signature", "key encipherment", "server auth"}, {"digital signature", "server auth"})


class CertificateRequests:
    """`issuer` is the cluster's authority, `now` the time, `longest` how long certificates hold where nobody asks for
    less."""

    name = "certificate-controller"
    workers = 2

    def __init__(
        self,
        client: Client,
        requests: Cache,
        issuer: Issuer,
        now: Callable[[], datetime.datetime],
        longest: datetime.timedelta = LIFE,
    ) -> None:
        self._client = client
        self._requests = requests
        self._issuer = issuer
        self._now = now
        self._longest = longest
        self.caches = (requests,)
        self.queue: Queue[str] = Queue()
        requests.subscribe(self._changed)

    async def reconcile(self, name: str) -> Again | None:
        request = self._requests.get(("", name))
        if request is None or request["metadata"].get("deletionTimestamp"):
            return None
        seconds = (end_of(request) - self._now()).total_seconds()
        if seconds <= 0:
            await self._client.delete(RESOURCE, "", name, uid=request["metadata"]["uid"])
            return None
        state = states(request)
        if not state & {"Approved", "Denied", "Failed"}:
            await self._approve(request)
        elif state & {"Approved"} and not state & {"Denied", "Failed"} and not has_certificate(request):
            await self._sign(request)
        return Again(seconds)

    async def _approve(self, request: Object) -> None:
        """What a node asks for itself, or a machine that may become a node."""
        spec = request["spec"]
        if spec.get("signerName") not in (NODE, SERVING):
            return
        try:
            asked = read_request(base64.b64decode(spec["request"]))
        except (Invalid, ValueError):
            return
        if spec["signerName"] == SERVING:
            if is_own_server(spec, asked):
                condition = self._condition("Approved", "AutoApproved", "The node's own name and nothing else.")
                await self._client.update(RESOURCE, with_condition(request, condition), subresource="approval")
            return
        if refusal(NODE, asked, spec.get("usages") or ()):
            return
        for own, right, message in (
            (True, "selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
            (False, "nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
        ):
            if (not own or spec.get("username") == asked.name) and await self._may(spec, right):
                condition = self._condition("Approved", "AutoApproved", message)
                await self._client.update(RESOURCE, with_condition(request, condition), subresource="approval")
                return

    async def _may(self, spec: Object, right: str) -> bool:
        """Whether the one who asks has the right to have it approved."""
        group, resource = "certificates.k8s.io", "certificatesigningrequests"
        attributes = {"group": group, "resource": resource, "verb": "create", "subresource": right, "version": "*"}
        asked = {key: spec[key] for key in ("uid", "groups", "extra") if spec.get(key)}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": spec.get("username", ""), "resourceAttributes": attributes, **asked},
        }
        answer = await self._client.create(REVIEWS, "", review)
        return bool(answer["status"]["allowed"])

    async def _sign(self, request: Object) -> None:
        spec = request["spec"]
        signer, usages = spec.get("signerName", ""), spec.get("usages") or ()
        if signer not in SIGNERS:
            return
        try:
            asked = read_request(base64.b64decode(spec["request"]))
            why = refusal(signer, asked, usages)
            if why:
                raise Invalid(why)
            made = issue(asked, usages, self._issuer, self._now(), life_of(spec, self._longest))
        except (Invalid, ValueError) as error:
            condition = self._condition("Failed", "SignerValidationFailure", str(error))
            await self._client.update(RESOURCE, with_condition(request, condition), subresource="status")
            return
        status = {**(request.get("status") or {}), "certificate": base64.b64encode(made).decode()}
        await self._client.update(RESOURCE, {**request, "status": status}, subresource="status")

    def _condition(self, kind: str, reason: str, message: str) -> Object:
        return {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastUpdateTime": stamp(self._now()),
        }

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.queue.add(key[1])


def refusal(signer: str, asked: SigningRequest, usages: object) -> str:
    """Why a signer does not sign this; "": it does."""
    given = set(usages if isinstance(usages, (list, tuple)) else ())
    if signer == CLIENT:
        allowed = given <= CLIENT_USAGES[0] and "client auth" in given
        return "" if allowed else f"usages did not match [{' '.join(sorted(CLIENT_USAGES[0]))}]"
    if signer == UNKNOWN:
        return ""
    serving = signer == SERVING
    if asked.groups != (NODES,):
        return "subject organization is not system:nodes"
    if serving and not (asked.hosts or asked.addresses):
        return "DNS or IP subjectAltName is required"
    if not serving and asked.hosts:
        return "DNS subjectAltNames are not allowed"
    if not serving and asked.addresses:
        return "IP subjectAltNames are not allowed"
    if asked.mails:
        return "Email subjectAltNames are not allowed"
    if asked.links:
        return "URI subjectAltNames are not allowed"
    if not asked.name.startswith(NODE_PREFIX):
        return "subject common name does not begin with system:node:"
    wanted = SERVER_USAGES if serving else CLIENT_USAGES
    return "" if given in wanted else f"usages did not match [{' '.join(sorted(wanted[0]))}]"


def is_own_server(spec: Object, asked: SigningRequest) -> bool:
    """Whether a node asks for a certificate of its own server under its own name alone. Addresses and names of others
    are for people to approve: with them a node could stand in for somebody else."""
    node = asked.name.removeprefix(NODE_PREFIX)
    if refusal(SERVING, asked, spec.get("usages") or ()) or spec.get("username") != asked.name:
        return False
    return asked.hosts == (node,) and not asked.addresses and node.partition(".")[0] not in ("kubernetes", "localhost")


def life_of(spec: Object, longest: datetime.timedelta = LIFE) -> datetime.timedelta:
    """How long the certificate holds: what was asked, within our bounds."""
    asked = spec.get("expirationSeconds")
    return longest if not asked else min(max(datetime.timedelta(seconds=int(asked)), LEAST_LIFE), longest)


def states(request: Object) -> set[str]:
    """The conditions that hold."""
    conditions = (request.get("status") or {}).get("conditions") or ()
    return {one["type"] for one in conditions if one.get("status", "True") == "True"}


def has_certificate(request: Object) -> bool:
    return bool((request.get("status") or {}).get("certificate"))


def with_condition(request: Object, condition: Object) -> Object:
    status = request.get("status") or {}
    return {**request, "status": {**status, "conditions": [*(status.get("conditions") or ()), condition]}}


def end_of(request: Object) -> datetime.datetime:
    """When the request has lain there long enough."""
    created = _moment(request["metadata"]["creationTimestamp"])
    conditions = (request.get("status") or {}).get("conditions") or ()
    decided = [one for one in conditions if one["type"] in ("Approved", "Denied", "Failed")]
    if not decided or (has_certificate(request) is False and "Approved" in {one["type"] for one in decided[-1:]}):
        return created + PENDING_LIFE
    return max([_moment(one.get("lastUpdateTime") or "") or created for one in decided] + [created]) + DECIDED_LIFE


def _moment(text: str) -> datetime.datetime:
    try:
        return moment(text)
    except ValueError:
        return datetime.datetime.fromtimestamp(0, datetime.UTC)
