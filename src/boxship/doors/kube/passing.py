"""Requests for what other servers serve (APIServices): let in here as all others, then passed on as they came."""

from boxship.cluster.api.aggregation.forwarding import Forwarded, Forwarding
from boxship.cluster.api.aggregation.services import Elsewhere, Services
from boxship.cluster.api.gate import Gate, Visit
from boxship.cluster.api.request import Ask
from boxship.doors.kube.errors import BODY_BYTES
from boxship.errors import Unsupported
from boxship.transport.exchange import Reply, Request

STALL_SECONDS = 30.0  # a client that takes nothing for so long is cut off


class Passing:
    """What the door asks when a group is not its own."""

    def __init__(self, services: Services, forwarding: Forwarding, gate: Gate) -> None:
        self._services = services
        self._forwarding = forwarding
        self._gate = gate

    def find(self, group: str, version: str) -> Elsewhere | None:
        return self._services.find(group, version)

    def of_path(self, path: str) -> Elsewhere | None:
        """Of the discovery document of a group and version, "/apis/GROUP/VERSION"."""
        words = path.strip("/").split("/")
        return self.find(words[1], words[2]) if len(words) == 3 and words[0] == "apis" else None

    async def reply(self, elsewhere: Elsewhere, visit: Visit, request: Request, ask: Ask) -> Reply:
        """The other server's answer, as it comes. Raises Failure."""
        if "upgrade" in visit.headers:
            raise Unsupported("unsupported: upgraded connections to aggregated APIs")
        async with self._gate.let_in(visit, ask) as user:
            body = await request.body(BODY_BYTES)
            forwarded = await self._forwarding.forward(
                elsewhere, user, request.method, request.target, visit.headers, body, request.peer
            )
        return _reply(forwarded)


def _reply(forwarded: Forwarded) -> Reply:
    return Reply(forwarded.status, forwarded.headers, forwarded.body, STALL_SECONDS)
