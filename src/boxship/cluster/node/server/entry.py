"""Who may ask a node: the API server by its client certificate, anybody else as far as the API lets them.

A client is known by a certificate of the cluster's authority, or by a bearer token that the API reviews; then the API
is asked whether it may do that to `nodes/pods`, `nodes/log`, `nodes/stats` …, or to `nodes/proxy`, which stands for
most of them (kubernetes.io, "Kubelet authentication/authorization"). Answers are remembered for a while. Nobody is ever
let in because the API is away.
"""

import asyncio
import datetime
import hashlib
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from boxship.cluster.access import Client
from boxship.cluster.objects import Object
from boxship.cluster.objects.failure import Failure, unauthorized
from boxship.errors import Unauthenticated
from boxship.pki.cluster_clients import clients_of
from boxship.transport.exchange import Request

MASTERS = "system:masters"
ALLOWED_SECONDS, DENIED_SECONDS = 300.0, 30.0  # as the original remembers the API's word
TOKEN_SECONDS = 120.0
REMEMBERED = 1024
ASK_SECONDS = 10.0
VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
STARTING = ("exec", "attach", "portForward", "run")
ALL = "proxy"
# The first word of a path and the parts of the node of which the right to one is enough; everything else is "proxy".
PARTS: Mapping[str, tuple[str, ...]] = {
    "pods": ("pods", ALL),
    "runningpods": ("pods", ALL),
    "healthz": ("healthz", ALL),
    "configz": ("configz", ALL),
    "stats": ("stats",),
    "metrics": ("metrics",),
    "logs": ("log",),
    "spec": ("spec",),
    "checkpoint": ("checkpoint",),
    "images": ("images",),
}


class Caller(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


class Entry:
    """`client` asks the API for us; `authority` is the cluster's, in PEM; `node` our name."""

    def __init__(self, client: Client, authority: bytes, node: str) -> None:
        self._client = client
        self._certificates = clients_of(authority)
        self._node = node
        self._tokens: dict[bytes, tuple[float, Caller | None]] = {}
        self._rights: dict[tuple[Caller, str, str], tuple[float, bool]] = {}

    async def admit(self, request: Request) -> Caller:
        """Raises Failure 401, 403 or 503."""
        caller = await self._identify(request)
        if MASTERS in caller.groups:
            return caller
        place = request.path.strip("/").partition("/")[0]
        # A WebSocket begins with a GET, and what it begins is no reading.
        verb = "create" if place in STARTING else VERBS.get(request.method, request.method.lower())
        parts = PARTS.get(place, (ALL,))
        for part in parts:
            if await self._may(caller, verb, part):
                return caller
        where = f"(user={caller.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(parts)}])"
        raise Failure(403, "Forbidden", f"Forbidden {where}")

    async def _identify(self, request: Request) -> Caller:
        shown = request.certificate
        if shown is not None:
            try:
                found = self._certificates.identify(shown, datetime.datetime.now(datetime.UTC))
            except Unauthenticated as error:
                raise unauthorized() from error
            return Caller(found.name, found.groups, found.uid)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthorized()
        caller = await self._of_token(token.strip())
        if caller is None:
            raise unauthorized()
        return caller

    async def _of_token(self, token: str) -> Caller | None:
        key = hashlib.sha256(token.encode()).digest()
        until, known = self._tokens.get(key, (0.0, None))
        if until > time.monotonic():
            return known
        review = await self._review("authentication.k8s.io/v1/tokenreviews", "TokenReview", {"token": token})
        caller = None
        if review.get("authenticated"):
            user = review.get("user") or {}
            caller = Caller(user.get("username") or "", tuple(user.get("groups") or ()), user.get("uid") or "")
        _remember(self._tokens, key, (time.monotonic() + TOKEN_SECONDS, caller))
        return caller

    async def _may(self, caller: Caller, verb: str, part: str) -> bool:
        key = (caller, verb, part)
        until, known = self._rights.get(key, (0.0, False))
        if until > time.monotonic():
            return known
        spec = {
            "user": caller.name,
            "groups": list(caller.groups),
            "uid": caller.uid,
            "resourceAttributes": {
                "verb": verb,
                "version": "v1",
                "resource": "nodes",
                "subresource": part,
                "name": self._node,
            },
        }
        review = await self._review("authorization.k8s.io/v1/subjectaccessreviews", "SubjectAccessReview", spec)
        allowed = bool(review.get("allowed"))
        seconds = ALLOWED_SECONDS if allowed else DENIED_SECONDS
        _remember(self._rights, key, (time.monotonic() + seconds, allowed))
        return allowed

    async def _review(self, resource: str, kind: str, spec: Object) -> Object:
        """The status of a review that the API answers. Raises Failure 503 where it does not."""
        object = {"apiVersion": resource.rpartition("/")[0], "kind": kind, "metadata": {}, "spec": spec}
        try:
            async with asyncio.timeout(ASK_SECONDS):
                answer = await self._client.create(resource, "", object)
        except (Failure, TimeoutError) as error:
            raise Failure(503, "ServiceUnavailable", f"cannot ask the API who may come in: {error}") from error
        return answer.get("status") or {}


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) >= REMEMBERED:
        known.pop(next(iter(known)))
    known[key] = value


def serving_context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """For the node's listener: asks clients for a certificate, and lets those in that have none. Blocks shortly."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cafile=authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
