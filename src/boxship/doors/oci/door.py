"""The door itself: who asks, route, right, handler, reply; the headers that every reply carries."""

import asyncio
import time

from boxship.doors.oci import manifests
from boxship.doors.oci.call import Call, json_reply
from boxship.doors.oci.counts import Counts
from boxship.doors.oci.errors import error_reply, refusal
from boxship.doors.oci.gate import Gate, too_many
from boxship.doors.oci.metrics import metrics
from boxship.doors.oci.router import Action, Route, find
from boxship.errors import Unauthenticated
from boxship.registry import Registry
from boxship.registry.access import Identity
from boxship.registry.logins import TooManyGuesses
from boxship.registry.names import check_name
from boxship.transport.exchange import Reply, Request

HEADERS = {"Docker-Distribution-Api-Version": "registry/2.0", "X-Content-Type-Options": "nosniff"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
RIGHT_NAMES = {"pull": "pull", "push": "pull,push", "delete": "delete"}


class Door:
    """Serves the distribution API over one registry. `handle` is a transport handler."""

    def __init__(self, registry: Registry, gate: Gate, *, shows_metrics: bool = False) -> None:
        self._registry = registry
        self._gate = gate
        self._shows_metrics = shows_metrics
        self.counts = Counts()

    async def handle(self, request: Request) -> Reply | None:
        """Answer one request. Nothing but cancellation leaves this function as an exception."""
        began = time.monotonic()
        found = find(request.path)
        try:
            reply = await self._answer(request, found)
        except asyncio.CancelledError:
            raise
        except TooManyGuesses as error:
            reply = too_many(error)
        except Exception as error:  # the border of a request: error_reply logs what is a mistake of ours
            reply = error_reply(error, request)
        method = request.method if request.method in METHODS else "other"
        label = found[0].label if found else "other"
        self.counts.answered(method, label, reply.status, time.monotonic() - began)
        return _shaped(request, reply)

    async def _answer(self, request: Request, found: tuple[Route, dict[str, str]] | None) -> Reply:
        if request.path == "/token":
            return await self._gate.token(request)
        try:
            identity = await self._gate.identify(request)
        except Unauthenticated as error:
            self.counts.logins_failed += 1
            return self._gate.challenge(request, str(error), error="invalid_token")
        if found is None:
            return await self._answer_apart(request, identity)
        route, names = found
        action = route.actions.get(request.method)
        if action is None:
            return _wrong_method(request, ", ".join(sorted(route.actions)))
        call = Call(self._registry, self._gate.access, self.counts, request, names, identity)
        if not call.may(action.right):
            return self._denied(call, action, route)
        return await action.handler(call)

    async def _answer_apart(self, request: Request, identity: Identity) -> Reply:
        """What lies beside the repositories."""
        path = request.path
        if path not in ("/v2", "/v2/", "/v2/_catalog") and not (path == "/metrics" and self._shows_metrics):
            return refusal(404, "UNSUPPORTED", f"there is no {path[:200]}")
        if request.method not in ("GET", "HEAD"):
            return _wrong_method(request, "GET, HEAD")
        if path == "/v2/_catalog":
            call = Call(self._registry, self._gate.access, self.counts, request, {"name": ""}, identity)
            if self._gate.access.is_closed_to(identity) and not identity.grants:
                return self._gate.challenge(request, "cannot list repositories: log in", "registry:catalog:*")
            return await manifests.catalogue(call)
        if self._gate.access.is_closed_to(identity) and (identity.grants is None or path == "/metrics"):
            return self._gate.challenge(request, "cannot go on: log in")
        if path == "/metrics":
            return metrics(self.counts, self._registry)
        return json_reply({})

    def _denied(self, call: Call, action: Action, route: Route) -> Reply:
        """403 for somebody who is known and may not; 401 for who may once he says who he is, or has a wider token.
        Raises NameInvalid, for what is no name must not get into a header."""
        check_name(call.name)
        message = f"cannot {action.right} repository {call.name}: it is not allowed"
        is_narrow = call.identity.grants is not None and action.right not in call.identity.grants.get(call.name, ())
        if self._gate.asks and (not call.identity.user or is_narrow):
            # A push begins with the question which blobs are there; some clients never ask for a wider token later.
            right = "push" if call.request.method == "HEAD" and route.label == "blob" else action.right
            scope = f"repository:{call.name}:{RIGHT_NAMES[right]}"
            return self._gate.challenge(call.request, message, scope, "insufficient_scope" if is_narrow else "")
        return refusal(403, "DENIED", message)


def _wrong_method(request: Request, allowed: str) -> Reply:
    return refusal(405, "UNSUPPORTED", f"there is no {request.method[:16]} of {request.path[:200]}", {"Allow": allowed})


def _shaped(request: Request, reply: Reply) -> Reply:
    """The reply with the headers of all; for HEAD without its body, but with its length."""
    headers = {**HEADERS, **reply.headers}
    if request.method != "HEAD":
        return Reply(reply.status, headers, reply.body)
    if isinstance(reply.body, bytes):
        headers.setdefault("Content-Length", str(len(reply.body)))
    return Reply(reply.status, headers)
