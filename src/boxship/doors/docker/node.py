"""The machine as a node of a cluster: join it, say how it stands, leave it. Paths of our own, below /boxship."""

from typing import Protocol

import msgspec

from boxship.doors.docker.call import Call, no_content, reply
from boxship.doors.docker.router import Route
from boxship.transport.exchange import Reply


class JoinOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Which cluster, and as what. `server` is https://HOST:PORT, `ca_hash` "sha256:…" of its authority's key, `address`
    the node's own ("" for that of the way to the server), `certificate_seconds` how long its certificates may hold
    (0: as long as the cluster gives)."""

    server: str = msgspec.field(name="Server")
    token: str = msgspec.field(name="Token")
    ca_hash: str = msgspec.field(name="CAHash")
    node_name: str = msgspec.field(name="NodeName", default="")
    address: str = msgspec.field(name="Address", default="")
    labels: dict[str, str] = msgspec.field(name="Labels", default={})
    taints: tuple[str, ...] = msgspec.field(name="Taints", default=())
    certificate_seconds: int = msgspec.field(name="CertificateSeconds", default=0)


class PartState(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the node: "running", or "waiting" until it is tried again, with why."""

    name: str = msgspec.field(name="Name")
    state: str = msgspec.field(name="State")
    why: str = msgspec.field(name="Why", default="")


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """How the node stands. `certificate_until` is RFC 3339."""

    server: str = msgspec.field(name="Server")
    node_name: str = msgspec.field(name="NodeName")
    address: str = msgspec.field(name="Address", default="")
    pod_cidr: str = msgspec.field(name="PodCIDR", default="")
    certificate_until: str = msgspec.field(name="CertificateUntil", default="")
    parts: tuple[PartState, ...] = msgspec.field(name="Parts", default=())


class Membership(Protocol):
    """Who makes a node of this machine. Raises kinds of `boxship.errors`."""

    async def join(self, order: JoinOrder) -> NodeState: ...

    def state(self) -> NodeState:
        """Raises NotFound where this machine is no node."""

    async def leave(self) -> None:
        """Take away all that the cluster put here; the API is not asked. Raises NotFound where this is no node."""


async def join(call: Call) -> Reply:
    return reply(await call.membership.join(await call.body(JoinOrder)))


async def show(call: Call) -> Reply:
    return reply(call.membership.state())


async def leave(call: Call) -> Reply:
    await call.membership.leave()
    return no_content()


ROUTES = (
    Route("POST", "/boxship/node", join),
    Route("GET", "/boxship/node", show),
    Route("DELETE", "/boxship/node", leave),
)
